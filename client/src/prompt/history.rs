//! The lines of earlier prompts, kept in a file that only its owner reads.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

use crate::{places::folders, prompt::line};

/// As many lines are kept.
pub const LINES: usize = 1000;

/// The file: `DROPIN_HISTORY`, else `dropin/client_history` in the user's state directory; none where
/// the variable is empty, or where there is no such directory.
pub fn file() -> Option<PathBuf> {
    match env::var_os("DROPIN_HISTORY") {
        Some(named) if named.is_empty() => None,
        Some(named) => Some(PathBuf::from(named)),
        None => {
            let folder = folders::state_dir()?;
            Some(folder.join("dropin").join("client_history"))
        }
    }
}

/// Makes the file where there is none, with its folder, and takes it from others' eyes. False, and
/// nothing done, for what keeps no lines: a device such as `/dev/null`, a pipe.
pub fn prepare(file: &Path) -> io::Result<bool> {
    // Before it is opened, since that may wait for a pipe's other end. A folder is a mistake, and
    // said to be one by opening it.
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
    hide(&file)?;
    Ok(true)
}

/// Whether a line may be kept, in the file or for this session: it tells no key, and does not start
/// with a blank, by which people keep a line out.
pub fn may_keep(line: &str) -> bool {
    !line.trim().is_empty() && !line.starts_with([' ', '\t']) && !line::has_secret(line)
}

#[cfg(unix)]
fn hide(file: &fs::File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    if file.metadata()?.permissions().mode() & 0o077 == 0 {
        return Ok(());
    }
    file.set_permissions(fs::Permissions::from_mode(0o600))
}
