//! Opens, identifies and replaces files, and reports permissions and mappings.

use std::{
    fs,
    fs::Metadata,
    io,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use super::durable::{Disk, RealDisk};

/// The extension of the system's libraries, without the dot.
pub const LIBRARY_EXTENSION: &str = std::env::consts::DLL_EXTENSION;

/// Opens a regular file for reading, without blocking: opening a pipe would wait for its writer.
///
/// # Errors
/// The file is missing or cannot be opened, or is a link, a pipe or another special file.
pub fn open_plain(path: &Path) -> io::Result<fs::File> {
    open(path, true)
}

/// Works as [`open_plain`], but follows links.
///
/// # Errors
/// As `open_plain`.
pub fn open_file(path: &Path) -> io::Result<fs::File> {
    open(path, false)
}

fn open(path: &Path, itself: bool) -> io::Result<fs::File> {
    let mut options = fs::File::options();
    options.read(true);
    #[cfg(unix)]
    {
        use rustix::fs::OFlags;
        let links = if itself { OFlags::NOFOLLOW } else { OFlags::empty() };
        let flags = (links | OFlags::NONBLOCK).bits().cast_signed();
        std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, flags);
    }
    #[cfg(not(unix))]
    let _ = itself;
    let other = || io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file");
    match options.open(path) {
        Ok(file) if file.metadata()?.is_file() => Ok(file),
        Ok(_) => Err(other()),
        // Windows opens no directory.
        Err(error) if cfg!(windows) => Err(if path.is_dir() { other() } else { error }),
        Err(error) => Err(error),
    }
}

/// Returns the number of hard links of a file; 1 on systems that do not report it.
#[must_use]
pub fn links(file: &Metadata) -> u64 {
    #[cfg(unix)]
    return std::os::unix::fs::MetadataExt::nlink(file);
    #[cfg(not(unix))]
    {
        let _ = file;
        1
    }
}

/// Returns a number that distinguishes a file from another of the same name on the same volume, as
/// far as the system provides one: the inode, or the creation time on Windows.
#[must_use]
pub fn identity(file: &Metadata) -> u64 {
    #[cfg(unix)]
    return std::os::unix::fs::MetadataExt::ino(file);
    #[cfg(windows)]
    std::os::windows::fs::MetadataExt::creation_time(file)
}

/// Returns the identity of a file or folder: volume and file number.
///
/// # Errors
/// The path does not exist or cannot be accessed.
pub fn path_identity(path: &Path) -> io::Result<(u64, u64)> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let folder = fs::metadata(path)?;
        Ok((folder.dev(), folder.ino()))
    }
    #[cfg(windows)]
    {
        let folder = winapi_util::Handle::from_path_any(path)?;
        let data = winapi_util::file::information(&folder)?;
        Ok((data.volume_serial_number(), data.file_index()))
    }
}

/// Returns true if a library's file is still mapped into this process; `None` on systems that do
/// not report it.
#[must_use]
pub fn is_mapped(path: &Path) -> Option<bool> {
    if cfg!(windows) {
        // A file that is mapped for execution cannot be opened for writing.
        let opened = fs::File::options().write(true).open(path);
        return Some(opened.is_err_and(|error| is_in_use(&error)));
    }
    if !cfg!(target_os = "linux") {
        return None;
    }
    let maps = fs::read("/proc/self/maps").ok()?;
    Some(memchr::memmem::find(&maps, path.as_os_str().as_encoded_bytes()).is_some())
}

/// Opens a file of another program for reading, once it is complete: on Windows nobody may write to
/// it meanwhile. Does not block, even on a pipe without a writer.
///
/// # Errors
/// The file is missing or cannot be opened; the error [`is_in_use`] if another program has it.
pub fn open_complete(path: &Path) -> io::Result<fs::File> {
    let mut options = fs::File::options();
    options.read(true);
    #[cfg(unix)]
    {
        let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, flags);
    }
    #[cfg(windows)]
    {
        use windows_sys::Win32::Storage::FileSystem::{FILE_SHARE_DELETE, FILE_SHARE_READ};
        let share = FILE_SHARE_READ | FILE_SHARE_DELETE;
        std::os::windows::fs::OpenOptionsExt::share_mode(&mut options, share);
    }
    options.open(path)
}

/// Returns true if another program has the file at the moment: on Windows one that writes or runs
/// it, or a virus scanner.
#[must_use]
pub fn is_in_use(error: &io::Error) -> bool {
    #[cfg(windows)]
    {
        use windows_sys::Win32::Foundation::{
            ERROR_LOCK_VIOLATION, ERROR_SHARING_VIOLATION, ERROR_USER_MAPPED_FILE,
        };
        let code = error.raw_os_error().map(i32::cast_unsigned);
        let known = [ERROR_SHARING_VIOLATION, ERROR_LOCK_VIOLATION, ERROR_USER_MAPPED_FILE];
        code.is_some_and(|code| known.contains(&code))
    }
    #[cfg(unix)]
    {
        let _ = error;
        false
    }
}

/// Returns true if the failure of an operation may pass: for example, a disk or a network that does
/// not answer.
#[must_use]
pub fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind as E;
    let lasting = [
        E::NotFound,
        E::PermissionDenied,
        E::NotADirectory,
        E::IsADirectory,
        E::InvalidInput,
        E::InvalidData,
        E::InvalidFilename,
        E::Unsupported,
    ];
    // More links than the system follows: their kind has no name in stable Rust.
    #[cfg(unix)]
    let looped = error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error());
    #[cfg(windows)]
    let looped = false;
    // An error without a number does not come from the system.
    error.raw_os_error().is_some() && !looped && !lasting.contains(&error.kind())
}

/// Renames or removes files, and retries for a second while another program has them: on Windows a
/// virus scanner often opens a file that has just been written.
///
/// # Errors
/// The error of the last attempt.
pub fn retry_while_in_use<T>(act: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    retry_while_in_use_until(Instant::now() + Duration::from_secs(1), act)
}

/// Works as [`retry_while_in_use`], but retries until `deadline`.
///
/// # Errors
/// The error of the last attempt.
pub fn retry_while_in_use_until<T>(
    deadline: Instant,
    mut act: impl FnMut() -> io::Result<T>,
) -> io::Result<T> {
    const PAUSE: Duration = Duration::from_millis(25);
    // Denied or not empty: a file is being removed, but is not gone yet.
    let passing = |error: &io::Error| {
        use io::ErrorKind as E;
        let kinds = [E::PermissionDenied, E::DirectoryNotEmpty];
        cfg!(windows) && (is_in_use(error) || kinds.contains(&error.kind()))
    };
    loop {
        match act() {
            Err(error) if passing(&error) && Instant::now() < deadline => thread::sleep(PAUSE),
            done => return done,
        }
    }
}

/// Makes a directory that only its owner may read, unless it exists. Missing parents get the usual
/// permissions.
///
/// # Errors
/// The directory or a parent cannot be made, or the path names a file.
pub fn make_private_dir(path: &Path) -> io::Result<()> {
    if let Some(above) = path.parent() {
        fs::create_dir_all(above)?;
    }
    #[allow(unused_mut, reason = "there is nothing to set on other systems")]
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(error),
        Ok(()) => {
            // Best effort: this user may not be able to read the parent.
            if let Some(above) = path.parent() {
                let _ = RealDisk.flush_folder(above);
            }
            Ok(())
        }
    }
}

/// Returns the permissions of users other than the owner, as bits in `chmod`; 0 on systems that do
/// not report them.
#[must_use]
pub fn mode_for_others(file: &Metadata) -> u32 {
    #[cfg(unix)]
    return std::os::unix::fs::MetadataExt::mode(file) & 0o077;
    #[cfg(not(unix))]
    {
        let _ = file;
        0
    }
}

/// Removes the permission to write from everybody but the owner.
#[must_use]
pub fn closed_to_others(mut rights: fs::Permissions) -> fs::Permissions {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        rights.set_mode(rights.mode() & !0o022);
    }
    #[cfg(not(unix))]
    let _ = &mut rights;
    rights
}

/// Gives a file the permissions of an installed program, or of data: all may read it, its owner
/// alone may write it. Has no effect on systems without such permissions.
///
/// # Errors
/// The permissions cannot be changed.
pub fn set_program_rights(path: &Path, is_executable: bool) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = if is_executable { 0o755 } else { 0o644 };
        fs::set_permissions(path, fs::Permissions::from_mode(mode))
    }
    #[cfg(not(unix))]
    {
        let _ = (path, is_executable);
        Ok(())
    }
}

/// Returns a file's owner and mode, to compare them; always equal on systems that do not report
/// them.
#[must_use]
pub fn rights(file: &Metadata) -> (u32, u32) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        (file.uid(), file.mode())
    }
    #[cfg(not(unix))]
    {
        let _ = file;
        (0, 0)
    }
}

/// Returns true if a file belongs to this user or to root, or if the system does not report its
/// owner.
#[must_use]
pub fn is_own(file: &Metadata) -> bool {
    #[cfg(unix)]
    {
        let owner = std::os::unix::fs::MetadataExt::uid(file);
        owner == 0 || owner == rustix::process::geteuid().as_raw()
    }
    #[cfg(not(unix))]
    {
        let _ = file;
        true
    }
}

#[cfg(all(test, target_os = "linux"))]
mod pipes {
    use super::*;

    #[test]
    fn opening_pipe_without_writer_does_not_block() {
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        let temp = tempfile::tempdir().unwrap();
        let pipe = temp.path().join("pipe");
        mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR, 0).unwrap();
        assert!(!open_complete(&pipe).unwrap().metadata().unwrap().is_file());
    }
}

#[cfg(all(test, windows))]
mod tests {
    use super::*;

    #[test]
    fn file_in_use_is_retried_until_deadline() {
        let in_use = || io::Error::from_raw_os_error(32);
        let far = Instant::now() + Duration::from_secs(600);
        let mut tries = 0;
        let done = retry_while_in_use_until(far, || {
            tries += 1;
            if tries < 4 { Err(in_use()) } else { Ok(tries) }
        });
        assert_eq!(done.unwrap(), 4);
        assert!(is_in_use(&retry_while_in_use(|| Err::<(), _>(in_use())).unwrap_err()));
        let other = retry_while_in_use_until(far, || Err::<(), _>(io::ErrorKind::NotFound.into()));
        assert_eq!(other.unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
