//! The lines of earlier prompts, kept in a file that only its owner reads.

use crate::line;
use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// As many lines are kept.
pub const LINES: usize = 1000;

/// The file: `DROPIN_HISTORY`, else `dropin/client_history` in the user's state directory; none where
/// the variable is empty, or where there is no such directory.
pub fn file() -> Option<PathBuf> {
    match env::var_os("DROPIN_HISTORY") {
        Some(named) if named.is_empty() => None,
        Some(named) => Some(PathBuf::from(named)),
        None => {
            let folder = dirs::state_dir().or_else(dirs::data_local_dir)?;
            Some(folder.join("dropin").join("client_history"))
        }
    }
}

/// Makes the file where there is none, with its folder, and takes it from others' eyes.
pub fn prepare(file: &Path) -> io::Result<()> {
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
    #[cfg(unix)]
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    drop(file);
    Ok(())
}

/// Whether a line may be kept, in the file or for this session: it tells no key, and does not start
/// with a blank, by which people keep a line out.
pub fn may_keep(line: &str) -> bool {
    !line.trim().is_empty() && !line.starts_with([' ', '\t']) && !line::has_secret(line)
}
