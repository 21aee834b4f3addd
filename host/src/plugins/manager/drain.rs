//! When a plugin may be paused: while its calls are short.
//!
//! A hand-over needs a moment without calls. To hold new calls back while a long one runs would
//! stall every caller, so the long ones are waited for first, and new calls go on meanwhile.

use std::time::{Duration, Instant};

use crate::running_call::RunningCall;

/// The pause after the first attempt that failed; each is twice as long as the one before.
const FIRST: Duration = Duration::from_millis(250);

/// The longest pause between two attempts.
const LONGEST: Duration = Duration::from_secs(10);

/// Waits until the calls that were running at one moment have ended, and ended soon.
pub(super) struct Drain {
    calls: Vec<RunningCall>,
    since: Instant,
    /// Attempts that failed so far wait this long before the next.
    backoff: Duration,
    not_before: Option<Instant>,
}

impl Drain {
    /// Waits for these calls.
    pub(super) fn new(calls: Vec<RunningCall>, now: Instant) -> Self {
        Self { calls, since: now, backoff: FIRST, not_before: None }
    }

    /// Whether the plugin may be paused now: of the calls observed last none is left, and they were
    /// gone within `pause`, so that those that run now will probably be, too. Else it observes
    /// those that `find` returns.
    pub(super) fn is_over(
        &mut self,
        now: Instant,
        pause: Duration,
        find: impl FnOnce() -> Vec<RunningCall>,
    ) -> bool {
        self.calls.retain(RunningCall::is_running);
        if !self.calls.is_empty() || self.not_before.is_some_and(|time| now < time) {
            return false;
        }
        if now.saturating_duration_since(self.since) <= pause {
            return true;
        }
        (self.calls, self.since) = (find(), now);
        self.calls.is_empty()
    }

    /// A call outlasted the pause all the same: these are running now.
    pub(super) fn retry(&mut self, calls: Vec<RunningCall>, now: Instant) {
        (self.calls, self.since, self.not_before) = (calls, now, Some(now + self.backoff));
        self.backoff = (self.backoff * 2).min(LONGEST);
    }

    /// The calls that it waits for.
    pub(super) fn calls(&self) -> &[RunningCall] {
        &self.calls
    }
}
