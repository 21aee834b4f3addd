//! The path of the settings file.

use std::path::{Path, PathBuf};

use crate::{
    error::Error,
    places::{args::ConnectionArgs, environment::Environment, settings::Settings},
};

/// The settings file of this run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsFile {
    /// The path, at which there need not be a file.
    pub path: PathBuf,
    /// An option or a variable names the file, so that it must exist.
    is_required: bool,
}

impl SettingsFile {
    /// Returns the file that flags or environment name, else the one in the configuration
    /// directory; `None` where there is no such directory.
    pub fn find(flags: &ConnectionArgs, environment: &Environment) -> Option<Self> {
        let variable = environment.get("DROPIN_CONFIG").map(PathBuf::from);
        match flags.config.clone().or(variable) {
            Some(path) => Some(Self { path, is_required: true }),
            None => environment
                .config_dir
                .as_ref()
                .map(|dir| Self { path: dir.join("dropin/client.toml"), is_required: false }),
        }
    }

    /// Reads the settings.
    pub fn load(&self) -> Result<Settings, Error> {
        Settings::load(&self.path, self.is_required)
    }

    /// Returns the path to write places to; without a file there is none.
    pub fn writable(file: Option<&Self>) -> Result<&Path, Error> {
        file.map(|file| file.path.as_path()).ok_or_else(|| {
            Error::Usage(
                "there is no configuration directory to keep places in: give --config FILE"
                    .to_owned(),
            )
        })
    }
}
