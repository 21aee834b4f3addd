//! Private directories and files, to which other users have no access.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use platform::durable;

/// The reason for which a directory or file cannot be used as private.
#[derive(Debug, thiserror::Error)]
pub enum PrivateError {
    /// Other users have access.
    #[error(
        "{} is open to other users (mode bits {mode:03o}) and must be yours alone; run: \
         chmod go= {}",
        path.display(),
        path.display()
    )]
    Open {
        /// The directory or file.
        path: PathBuf,
        /// The mode bits of other users.
        mode: u32,
    },
    /// It belongs to another user.
    #[error(
        "{} belongs to another user, who could change it; run this as that user, or name another \
         directory with --state-dir",
        .0.display()
    )]
    Foreign(PathBuf),
    /// A system call failed.
    #[error("cannot {operation} {}: {source}", path.display())]
    Io {
        /// The operation, as a verb.
        operation: &'static str,
        /// The directory or file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

/// Makes a private directory, or checks that an existing one is private.
///
/// # Errors
/// It cannot be made, belongs to another user, or other users have access to it.
pub fn directory(path: &Path) -> Result<(), PrivateError> {
    platform::make_private_dir(path).map_err(failed("make", path))?;
    check_private(path)
}

/// Reads a private file. Returns `None` if it does not exist.
///
/// # Errors
/// It cannot be read, belongs to another user, or other users have access to it.
pub fn read(path: &Path) -> Result<Option<String>, PrivateError> {
    if matches!(fs::metadata(path), Err(error) if error.kind() == io::ErrorKind::NotFound) {
        return Ok(None);
    }
    check_private(path)?;
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", path)(error)),
    }
}

/// Replaces a file with a private one, atomically. After a successful return the new file survives
/// a power cut.
///
/// # Errors
/// The folder cannot be written, or the disk is full or fails. The previous file then stays.
pub fn write(path: &Path, text: &str) -> Result<(), PrivateError> {
    durable::replace(path, text.as_bytes()).map_err(failed("write", path))
}

/// Locks a file, which is made if it does not exist. The lock lasts until the returned file drops.
///
/// # Errors
/// The file cannot be made, opened or locked.
pub fn lock(path: &Path) -> Result<fs::File, PrivateError> {
    let file = fs::File::options().create(true).truncate(false).write(true).open(path);
    let file = file.map_err(failed("lock", path))?;
    file.lock().map_err(failed("lock", path))?;
    Ok(file)
}

fn check_private(path: &Path) -> Result<(), PrivateError> {
    let data = fs::metadata(path).map_err(failed("access", path))?;
    if !platform::is_own(&data) {
        return Err(PrivateError::Foreign(path.to_owned()));
    }
    match platform::mode_for_others(&data) {
        0 => Ok(()),
        mode => Err(PrivateError::Open { path: path.to_owned(), mode }),
    }
}

fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> PrivateError {
    move |source| PrivateError::Io { operation, path: path.to_owned(), source }
}
