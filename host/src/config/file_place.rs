//! The place of the settings file.

use std::{io, path::PathBuf};

use clap::Command;

use super::file::{FileError, SettingsFile};

/// The place of the settings file.
#[derive(Clone, Debug, Default)]
pub(super) enum FilePlace {
    /// The subcommand reads no settings file.
    #[default]
    None,
    /// The file that a flag or a variable names.
    Named(PathBuf),
    /// The file in the user's configuration directory, which need not exist.
    OfUser(PathBuf),
}

impl FilePlace {
    /// Returns the place that was named, or else the one in the user's configuration directory.
    pub(super) fn of(named: Option<&PathBuf>) -> Self {
        match named {
            Some(path) => Self::Named(path.clone()),
            None => platform::config_dir()
                .map_or(Self::None, |folder| Self::OfUser(folder.join("dropin").join("host.toml"))),
        }
    }

    /// Reads the file, whose keys are the flags of this command. Returns an empty one if there is
    /// no file and none was named.
    pub(super) fn read(&self, command: &Command) -> Result<SettingsFile, FileError> {
        match self {
            Self::None => Ok(SettingsFile::default()),
            Self::Named(path) => SettingsFile::read(path, command),
            Self::OfUser(path) => match SettingsFile::read(path, command) {
                Err(FileError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                    Ok(SettingsFile::default())
                }
                read => read,
            },
        }
    }
}
