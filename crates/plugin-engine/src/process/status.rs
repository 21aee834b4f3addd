//! Describes the processes of a plugin, for people and for metrics.

use std::time::Duration;

use sandbox::Limits;

/// The processes of a plugin.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProcessStatus {
    /// `process`, or `script` for one that runs once a call.
    pub place: &'static str,
    /// The numbers of the processes that serve.
    pub pids: Vec<u32>,
    /// The time for which the oldest of them has served.
    pub uptime: Duration,
    /// The number of starts after an unexpected end, and of those that an operator asked for.
    pub restarts: u64,
    /// The number of unexpected ends.
    pub crashes: u64,
    /// The last unexpected end, and the time since then.
    pub last_exit: Option<(String, Duration)>,
    /// The resident memory of all of them, in bytes; `None` where the system does not report it.
    pub memory: Option<u64>,
    /// The limits in force, for each of the processes.
    pub limits: Limits,
    /// The longest time of a call.
    pub call_timeout: Option<Duration>,
    /// True if one of them has ended too often and is not started again before its next trial.
    pub is_quarantined: bool,
    /// The reason for which it does not serve; `None` if it does.
    pub unavailable: Option<String>,
}
