//! Finds the user's folders.

use std::path::PathBuf;

/// Returns the folder of the user's settings: `~/.config` on Linux, `%APPDATA%` on Windows.
#[must_use]
pub fn config_dir() -> Option<PathBuf> {
    named("APPDATA").or_else(dirs::config_dir)
}

/// Returns the folder for data that belongs to this machine: `~/.local/state` on Linux,
/// `%LOCALAPPDATA%` on Windows.
#[must_use]
pub fn state_dir() -> Option<PathBuf> {
    named("LOCALAPPDATA").or_else(dirs::state_dir).or_else(dirs::data_local_dir)
}

/// Returns the folder that a variable names, on Windows, which sets it for every user. The system's
/// own answer would ignore a change of the variable for this program.
fn named(variable: &str) -> Option<PathBuf> {
    if !cfg!(windows) {
        return None;
    }
    std::env::var_os(variable).map(PathBuf::from).filter(|folder| folder.is_absolute())
}
