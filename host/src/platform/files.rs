//! Files and libraries.

use std::{fs, fs::Metadata, io, path::Path};

/// How the system's libraries end, without the dot.
pub const LIBRARY_EXTENSION: &str = std::env::consts::DLL_EXTENSION;

/// Opens a file to read it, at once: a pipe would wait for its writer.
///
/// # Errors
/// The system's, and where it is a link, a pipe or whatever else is no plain file.
pub fn open_plain(path: &Path) -> io::Result<fs::File> {
    open(path, true)
}

/// As [`open_plain`], but a link is followed.
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
    let file = options.open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no plain file")),
    }
}

/// How many names a file has; 1 where the system does not tell.
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

/// What tells a file or folder from another of the same name; all the same where the system does
/// not tell.
#[must_use]
pub fn identity(file: &Metadata) -> (u64, u64) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        (file.dev(), file.ino())
    }
    #[cfg(not(unix))]
    {
        let _ = file;
        (0, 0)
    }
}

/// Whether a file is still mapped into this process; `None` where the system does not tell.
#[must_use]
pub fn is_mapped(path: &Path) -> Option<bool> {
    if !cfg!(target_os = "linux") {
        return None;
    }
    let maps = std::fs::read("/proc/self/maps").ok()?;
    Some(memchr::memmem::find(&maps, path.as_os_str().as_encoded_bytes()).is_some())
}

/// Makes a directory, where there is none, that its owner alone may look into; the directories
/// above it are made as usual.
///
/// # Errors
/// The system's.
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
        made => made,
    }
}

/// What users other than the owner may do with a file: bits as in `chmod`; none where the system
/// does not tell.
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

/// The same rights, but that nobody else may write.
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

/// A file's owner and what everybody may do with it, for comparing; all the same where the system
/// does not tell.
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

/// Whether a file is this user's or the system's own; so where the system does not tell.
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
