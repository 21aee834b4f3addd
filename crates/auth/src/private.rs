//! Directories and files that nobody else may look into.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use platform::durable;

/// Why something is not private.
#[derive(Debug)]
pub enum PrivateError {
    /// Others may look into it or write it.
    Open(PathBuf, u32),
    /// It is somebody else's.
    Foreign(PathBuf),
    /// The system refused something.
    Io(&'static str, PathBuf, io::Error),
}

/// Makes a directory that is this user's alone, or sees that it is.
///
/// # Errors
/// Where it is not, or cannot be made.
pub fn directory(path: &Path) -> Result<(), PrivateError> {
    platform::make_private_dir(path)
        .map_err(|error| PrivateError::Io("make", path.to_owned(), error))?;
    check(path)
}

/// Reads a file that is this user's alone; `None` where there is none.
///
/// # Errors
/// Where others can read it too, or it cannot be read.
pub fn read(path: &Path) -> Result<Option<String>, PrivateError> {
    if matches!(fs::metadata(path), Err(error) if error.kind() == io::ErrorKind::NotFound) {
        return Ok(None);
    }
    check(path)?;
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(PrivateError::Io("read", path.to_owned(), error)),
    }
}

/// Replaces a file by one that is this user's alone. It is never there in part, and once this returns
/// it is there after a power cut.
///
/// # Errors
/// The folder cannot be written, or the disk is full or fails; the file before is still there.
pub fn write(path: &Path, text: &str) -> Result<(), PrivateError> {
    durable::replace(path, text.as_bytes())
        .map_err(|error| PrivateError::Io("write", path.to_owned(), error))
}

/// Locks a file, which is made where there is none, until what is returned is dropped.
///
/// # Errors
/// The system's.
pub fn lock(path: &Path) -> Result<fs::File, PrivateError> {
    let failed = |error| PrivateError::Io("lock", path.to_owned(), error);
    let file =
        fs::File::options().create(true).truncate(false).write(true).open(path).map_err(failed)?;
    file.lock().map_err(failed)?;
    Ok(file)
}

fn check(path: &Path) -> Result<(), PrivateError> {
    let data =
        fs::metadata(path).map_err(|error| PrivateError::Io("look at", path.to_owned(), error))?;
    if !platform::is_own(&data) {
        return Err(PrivateError::Foreign(path.to_owned()));
    }
    match platform::mode_for_others(&data) {
        0 => Ok(()),
        mode => Err(PrivateError::Open(path.to_owned(), mode)),
    }
}

impl fmt::Display for PrivateError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(path, mode) => write!(
                out,
                "{} is open to other users (mode bits {mode:03o}) and must be yours alone; run: \
                 chmod go= {}",
                path.display(),
                path.display()
            ),
            Self::Foreign(path) => write!(
                out,
                "{} belongs to another user, who could change it; run this as that user, or name \
                 another directory with --state-dir",
                path.display()
            ),
            Self::Io(operation, path, error) => {
                write!(out, "cannot {operation} {}: {error}", path.display())
            }
        }
    }
}

impl std::error::Error for PrivateError {}
