//! The time at which the records of a journal reach the disk.

use std::{fmt, str::FromStr};

/// The time at which the records of a journal reach the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SyncPolicy {
    /// Before each reply.
    Always,
    /// Once a second: a power cut costs a second at most, and a crash of the host nothing.
    #[default]
    Everysec,
    /// When the system decides to.
    Never,
}

impl SyncPolicy {
    /// The names, as in the settings.
    pub const NAMES: [&str; 3] = ["always", "everysec", "never"];
}

impl FromStr for SyncPolicy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "always" => Ok(Self::Always),
            "everysec" => Ok(Self::Everysec),
            "never" => Ok(Self::Never),
            _ => Err("a journal is synced \"always\", \"everysec\" or \"never\"".into()),
        }
    }
}

impl fmt::Display for SyncPolicy {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(match self {
            Self::Always => "always",
            Self::Everysec => "everysec",
            Self::Never => "never",
        })
    }
}
