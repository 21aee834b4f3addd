//! The plugin under development.

use std::{
    fs,
    path::{Path, PathBuf},
};

use plugin_engine::{files::kind::FileKind, process::settings::SettingsSource};

use crate::{cli::check, config::Dev};

/// The plugin under development.
#[derive(Clone, Debug)]
pub(super) enum Plugin {
    /// A crate that cargo builds.
    Crate {
        /// Its folder.
        folder: PathBuf,
        /// The arguments for `cargo build`.
        arguments: Vec<String>,
    },
    /// An executable file that needs no build.
    Executable(PathBuf),
}

impl Plugin {
    /// Returns the plugin that the command line names, or the reason for which there is none.
    pub(super) fn of(dev: &Dev) -> Result<Self, String> {
        let path = dev.plugin.clone();
        if path.join("Cargo.toml").is_file() {
            let release = dev.release.then(|| "--release".to_owned());
            let arguments = release.into_iter().chain(dev.cargo.iter().cloned()).collect();
            return Ok(Self::Crate { folder: path, arguments });
        }
        if !path.is_file() {
            return Err(format!(
                "there is no Cargo.toml in {}: name the folder of a plugin's crate, or an \
                 executable file; `cargo xtask new-plugin NAME` makes one",
                path.display()
            ));
        }
        if dev.release || !dev.cargo.is_empty() {
            return Err(format!("{} is not built: leave out the flags of cargo", path.display()));
        }
        check(&path, &dev.serve.plugin_tables)
            .map_err(|reason| format!("cannot serve {}: {reason}", path.display()))?;
        Ok(Self::Executable(path))
    }

    /// Returns the folder in which an executable finds its modules.
    pub(super) fn module_folder(&self) -> Option<PathBuf> {
        let Self::Executable(file) = self else { return None };
        Some(fs::canonicalize(file).ok()?.parent()?.to_owned())
    }
}

/// Checks that a file can be served as an executable.
pub(super) fn check(file: &Path, settings: &dyn SettingsSource) -> Result<(), String> {
    match check::kind_of(file, settings) {
        Ok(FileKind::Executable) => Ok(()),
        Ok(FileKind::Library) => Err("it is a library: name the folder of its crate".to_owned()),
        Err(refusal) => Err(refusal.to_string()),
    }
}
