//! The user's folders.

use std::path::PathBuf;

/// Where the user's settings are: `~/.config` on Linux, `%APPDATA%` on Windows.
#[must_use]
pub fn config_dir() -> Option<PathBuf> {
    named("APPDATA").or_else(dirs::config_dir)
}

/// Where programs keep what is this machine's alone: `~/.local/state` on Linux, `%LOCALAPPDATA%` on
/// Windows.
#[must_use]
pub fn state_dir() -> Option<PathBuf> {
    named("LOCALAPPDATA").or_else(dirs::state_dir).or_else(dirs::data_local_dir)
}

/// The folder that a variable names, which Windows sets for every user; the system's own answer
/// would be the same also where it has been changed for this program.
fn named(variable: &str) -> Option<PathBuf> {
    if !cfg!(windows) {
        return None;
    }
    std::env::var_os(variable).map(PathBuf::from).filter(|folder| folder.is_absolute())
}
