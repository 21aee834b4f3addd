//! The history of prompt lines, in a file that only its owner can read.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

use crate::prompt::line;

/// The number of stored lines.
pub const MAX_LINES: usize = 1000;

/// Returns the file: `DROPIN_HISTORY`, else `dropin/client_history` in the user's state directory.
///
/// It is `None` where the variable is empty, or where there is no such directory.
pub fn path() -> Option<PathBuf> {
    match env::var_os("DROPIN_HISTORY") {
        Some(named) if named.is_empty() => None,
        Some(named) => Some(PathBuf::from(named)),
        None => {
            let folder = platform::state_dir()?;
            Some(folder.join("dropin").join("client_history"))
        }
    }
}

/// Creates the file and its folder where they are missing, for the owner alone.
///
/// Returns false for a file that stores no lines: a device such as `/dev/null`, or a pipe.
pub fn prepare(file: &Path) -> io::Result<bool> {
    // Opening a pipe can wait for its other end. Opening a folder gives a fitting error.
    if fs::metadata(file).is_ok_and(|found| !found.is_file() && !found.is_dir()) {
        return Ok(false);
    }
    if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(folder)?;
    }
    let mut options = fs::File::options();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(file)?;
    if !file.metadata()?.is_file() {
        return Ok(false);
    }
    #[cfg(unix)]
    make_private(&file)?;
    Ok(true)
}

/// Returns true for a line that the history can store.
///
/// A line with a key is not stored, nor is one that starts with a blank, as in a shell.
pub fn can_store(line: &str) -> bool {
    !line.trim().is_empty() && !line.starts_with([' ', '\t']) && !line::has_secret(line)
}

#[cfg(unix)]
fn make_private(file: &fs::File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    if file.metadata()?.permissions().mode() & 0o077 == 0 {
        return Ok(());
    }
    file.set_permissions(fs::Permissions::from_mode(0o600))
}
