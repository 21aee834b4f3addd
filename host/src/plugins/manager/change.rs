//! A change of what a plugin serves.

use std::time::Instant;

use super::{
    candidate::{Asked, Candidate},
    drain::Drain,
    file_name,
};
use crate::plugins::{handover::NotQuiet, manifest::Manifest, refusal::Refusal};

/// A change of what a plugin serves.
pub(super) enum Change {
    /// Serves this in place of what is served, if anything is.
    Replace(Candidate, Manifest),
    /// Takes its commands away: its file is gone, or it is to be disabled.
    Withdraw { disable: bool, asked: Asked },
}

/// A change that waits for calls that run.
pub(super) struct Pending {
    pub(super) change: Change,
    pub(super) drain: Drain,
    pub(super) since: Instant,
    /// Whether the log and those who asked know that it waits.
    pub(super) is_told: bool,
}

/// Why a change was not made.
pub(super) enum Stopped {
    /// A call is in the way: later.
    Busy,
    /// It is not to be made.
    Refused(Refusal),
}

impl From<Refusal> for Stopped {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<NotQuiet> for Stopped {
    fn from(problem: NotQuiet) -> Self {
        match problem {
            NotQuiet::Busy(..) => Self::Busy,
            NotQuiet::Saving => Self::Refused(Refusal::Handover { problem: problem.to_string() }),
        }
    }
}

impl Change {
    /// The file that is to be served; `None` where nothing is.
    pub(super) fn file(&self) -> Option<String> {
        match self {
            Self::Replace(candidate, _) => Some(file_name(&candidate.path)),
            Self::Withdraw { .. } => None,
        }
    }

    pub(super) fn asked(&mut self) -> &mut Asked {
        match self {
            Self::Replace(candidate, _) => &mut candidate.asked,
            Self::Withdraw { asked, .. } => asked,
        }
    }
}

impl Pending {
    /// The `plugin` subcommand that asks for such a change.
    pub(super) fn order(&self) -> &'static str {
        match &self.change {
            Change::Replace(candidate, _) if candidate.is_rollback => "rollback",
            Change::Replace(..) => "reload",
            Change::Withdraw { .. } => "disable",
        }
    }

    /// The library that is to be served, if there is one.
    pub(super) fn candidate(&mut self) -> Option<&mut Candidate> {
        match &mut self.change {
            Change::Replace(candidate, _) => Some(candidate),
            Change::Withdraw { .. } => None,
        }
    }

    /// Describes the change and the calls that it waits for.
    pub(super) fn describe(&self) -> String {
        let what = match &self.change {
            Change::Replace(candidate, manifest) => {
                format!("version {} of {}", manifest.version, file_name(&candidate.path))
            }
            Change::Withdraw { disable: true, .. } => "its disabling".into(),
            Change::Withdraw { disable: false, .. } => "its withdrawal".into(),
        };
        let waited = self.since.elapsed().as_secs_f64();
        let calls = self.drain.calls();
        match calls.first() {
            Some(call) if calls.len() > 1 => {
                let more = calls.len() - 1;
                format!("{what} waits since {waited:.1} s for {call} and {more} more")
            }
            Some(call) => format!("{what} waits since {waited:.1} s for {call}"),
            None => format!("{what} waits since {waited:.1} s for calls that overlap"),
        }
    }
}
