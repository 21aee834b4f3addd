//! The workspace: its folders and the plugins that ship.

use std::{env, fs, path::PathBuf};

use crate::error::TaskError;

/// Returns the workspace's folder.
pub fn root() -> PathBuf {
    // Cargo's variable at run time: the checkout may have been moved since xtask was built.
    let package = env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    package.parent().map(PathBuf::from).unwrap_or(package)
}

/// Returns cargo's target folder.
pub fn target() -> PathBuf {
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    root().join(target)
}

/// Returns the folder of cargo's output in this profile.
pub fn output(profile: &str) -> PathBuf {
    target().join(profile)
}

/// Returns the names of the shipped plugins, which are the packages in `plugins/`.
pub fn shipped_plugins() -> Result<Vec<String>, TaskError> {
    let folder = root().join("plugins");
    let failed = |error| TaskError::Io("read", folder.clone(), error);
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') && entry.path().join("Cargo.toml").is_file() {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// Returns cargo's arguments that select the shipped plugins.
pub fn shipped_packages() -> Result<Vec<String>, TaskError> {
    Ok(shipped_plugins()?.into_iter().flat_map(|name| ["--package".to_owned(), name]).collect())
}
