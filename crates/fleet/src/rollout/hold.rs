//! The knowledge of the task of the rollouts about each.

use std::time::{Duration, Instant};

use super::{record::Held, state::Rollout, step::View, version::Version};

/// The time after which a change that was not possible is tried again.
const RETRY: Duration = Duration::from_secs(2);

/// A rollout, as this host has seen it last.
pub struct Hold {
    /// The rollout.
    pub rollout: Rollout,
    /// Its revision.
    pub revision: u64,
    /// The time at which this host has seen that revision.
    pub changed: Instant,
    /// The time of the last change that failed.
    failed: Option<Instant>,
}

/// A version that this host tries.
pub struct Trial {
    /// The version.
    pub version: Version,
    /// The hash of its content, as the engine computes it; `None` until it is fetched.
    pub hash: Option<blake3::Hash>,
    /// True until it is fetched, or cannot be.
    pub is_fetching: bool,
    /// The time at which it was put into the plugins folder.
    pub placed: Option<Instant>,
    /// The time since which it is served.
    pub served: Option<Instant>,
    /// The time of the start.
    pub began: Instant,
}

impl Hold {
    /// Makes the hold of a rollout with this revision.
    pub fn new(rollout: Rollout, revision: u64) -> Self {
        Self { rollout, revision, changed: Instant::now(), failed: None }
    }

    /// Notes that a change was not possible.
    pub fn note_failure(&mut self) {
        self.failed = Some(Instant::now());
    }

    /// Returns true if a change may be tried now.
    pub fn may_change(&self) -> bool {
        self.failed.is_none_or(|failed| failed.elapsed() >= RETRY)
    }

    /// Returns the facts that decide the next step of the host of this id.
    pub fn view<'a>(
        &self,
        id: &'a str,
        held: Option<&'a Held>,
        trial: Option<&'a Trial>,
    ) -> View<'a> {
        let wanted = trial.filter(|trial| trial.version.id == self.rollout.wanted.id);
        let refused = held.and_then(|held| held.refused.as_ref());
        View {
            id,
            held: held.and_then(|held| held.id.as_deref()),
            is_confirmed: held.is_some_and(|held| held.is_confirmed),
            busy: trial.map(|trial| trial.version.id.as_str()),
            refused: refused.map(|(id, reason)| (id.as_str(), reason.as_str())),
            is_own_fault: held.is_some_and(|held| held.is_own_fault),
            served: wanted.and_then(|trial| trial.served).map(|since| since.elapsed()),
            silent: self.changed.elapsed(),
        }
    }
}

impl Trial {
    /// Begins the trial of a version that is not fetched yet.
    pub fn begin(version: Version) -> Self {
        Self {
            version,
            hash: None,
            is_fetching: true,
            placed: None,
            served: None,
            began: Instant::now(),
        }
    }
}
