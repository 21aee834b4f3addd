//! The promise of a plugin's state over an end of the host.

use std::{fmt, str::FromStr, time::Duration};

pub use journal::SyncPolicy as JournalSync;

/// The default of [`Durability::snapshot_interval`].
const SNAPSHOT_INTERVAL: Duration = Duration::from_secs(60);

/// The promise of a plugin's state over an end of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Durability {
    /// The way in which the state is kept. `None`: [`Mode::Journal`] if a command of the plugin
    /// writes and the plugin keeps state, else [`Mode::Off`].
    pub mode: Option<Mode>,
    /// The time between two snapshots, 60 s by default; zero: none by time.
    pub snapshot_interval: Duration,
    /// The time at which the journal is flushed to the disk.
    pub journal_sync: JournalSync,
}

/// The way in which a plugin's state is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It is saved when the host ends in order.
    Off,
    /// It is also saved at every snapshot interval in which the plugin was called.
    Snapshot,
    /// Each command that writes is also recorded before its client gets the reply.
    Journal,
}

impl Default for Durability {
    fn default() -> Self {
        Self {
            mode: None,
            snapshot_interval: SNAPSHOT_INTERVAL,
            journal_sync: JournalSync::default(),
        }
    }
}

impl Mode {
    /// The names, as in the settings.
    pub const NAMES: [&str; 3] = ["off", "snapshot", "journal"];
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self::Off),
            "snapshot" => Ok(Self::Snapshot),
            "journal" => Ok(Self::Journal),
            _ => Err("a durability is \"off\", \"snapshot\" or \"journal\"".into()),
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(match self {
            Self::Off => "off",
            Self::Snapshot => "snapshot",
            Self::Journal => "journal",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_parsed_and_printed() {
        for name in Mode::NAMES {
            assert_eq!(name.parse::<Mode>().map(|mode| mode.to_string()), Ok(name.to_owned()));
        }
        for name in JournalSync::NAMES {
            let sync = name.parse::<JournalSync>();
            assert_eq!(sync.map(|sync| sync.to_string()), Ok(name.to_owned()));
        }
        for text in ["", "on", "Off", "always "] {
            let said = text.parse::<Mode>().unwrap_err();
            assert_eq!(said, "a durability is \"off\", \"snapshot\" or \"journal\"");
            let said = text.parse::<JournalSync>().unwrap_err();
            assert_eq!(said, "a journal is synced \"always\", \"everysec\" or \"never\"");
        }
    }
}
