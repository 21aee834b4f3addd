//! Files and libraries.

use std::{fs::Metadata, path::Path};

/// How the system's libraries end, without the dot.
pub const LIBRARY_EXTENSION: &str = std::env::consts::DLL_EXTENSION;

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
