//! Decides when a plugin may be paused: while its calls are short.
//!
//! A hand-over needs a moment without calls. Holding new calls back while a long one runs would
//! stall every caller, so long calls are waited for first, while new calls continue.

use std::time::{Duration, Instant};

use crate::context::RunningCall;

/// The pause after the first failed attempt; it doubles after each.
const FIRST: Duration = Duration::from_millis(250);

/// The longest pause between two attempts.
const LONGEST: Duration = Duration::from_secs(10);

/// Waits until all calls that were running at one moment have ended, within a short time.
pub(super) struct Drain {
    calls: Vec<Box<dyn RunningCall>>,
    since: Instant,
    /// The pause before the next attempt.
    backoff: Duration,
    not_before: Option<Instant>,
}

impl Drain {
    /// Makes a drain that waits for these calls.
    pub(super) fn new(calls: Vec<Box<dyn RunningCall>>, now: Instant) -> Self {
        Self { calls, since: now, backoff: FIRST, not_before: None }
    }

    /// Returns true if the plugin may be paused now: all observed calls have ended within `pause`,
    /// so the calls that run now will probably be short, too. Otherwise it observes the calls that
    /// `find` returns.
    pub(super) fn is_drained(
        &mut self,
        now: Instant,
        pause: Duration,
        find: impl FnOnce() -> Vec<Box<dyn RunningCall>>,
    ) -> bool {
        self.calls.retain(|call| call.is_running());
        if !self.calls.is_empty() || self.not_before.is_some_and(|time| now < time) {
            return false;
        }
        if now.saturating_duration_since(self.since) <= pause {
            return true;
        }
        (self.calls, self.since) = (find(), now);
        self.calls.is_empty()
    }

    /// Starts over after an attempt that a call outlasted: observes these calls, after a pause.
    pub(super) fn retry(&mut self, calls: Vec<Box<dyn RunningCall>>, now: Instant) {
        (self.calls, self.since, self.not_before) = (calls, now, Some(now + self.backoff));
        self.backoff = (self.backoff * 2).min(LONGEST);
    }

    /// Returns the calls that it waits for.
    pub(super) fn calls(&self) -> &[Box<dyn RunningCall>] {
        &self.calls
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::fakes::running_call;

    const PAUSE: Duration = Duration::from_millis(100);

    fn none() -> Vec<Box<dyn RunningCall>> {
        panic!("no call is searched for")
    }

    #[test]
    fn short_calls_are_not_waited_for_twice() {
        let (now, (call, session)) = (Instant::now(), running_call(1));
        let mut drain = Drain::new(vec![call], now);
        assert!(!drain.is_drained(now, PAUSE, none));
        assert_eq!(drain.calls().len(), 1);
        session.end_call();
        assert!(drain.is_drained(now + PAUSE, PAUSE, none));
    }

    #[test]
    fn long_calls_are_waited_for_again() {
        let (mut now, (call, first)) = (Instant::now(), running_call(1));
        let mut drain = Drain::new(vec![call], now);
        first.end_call();
        now += PAUSE * 2;
        let (call, second) = running_call(2);
        assert!(!drain.is_drained(now, PAUSE, || vec![call]));
        assert!(drain.calls().iter().all(|call| call.to_string().contains("session 2")));
        second.end_call();
        assert!(drain.is_drained(now + PAUSE, PAUSE, none), "it was observed only now");
        assert!(drain.is_drained(now + PAUSE * 2, PAUSE, Vec::new), "no other runs");
    }

    #[test]
    fn each_attempt_waits_longer_up_to_a_limit() {
        let (mut now, mut wait) = (Instant::now(), FIRST);
        let mut drain = Drain::new(Vec::new(), now);
        for _ in 0..10 {
            drain.retry(Vec::new(), now);
            let early = now + wait - Duration::from_millis(1);
            assert!(!drain.is_drained(early, LONGEST, none), "{wait:?}");
            now += wait;
            assert!(drain.is_drained(now, LONGEST, none), "{wait:?}");
            wait = (wait * 2).min(LONGEST);
        }
        assert_eq!(wait, LONGEST);
        let (call, _session) = running_call(1);
        drain.retry(vec![call], now);
        assert_eq!(drain.calls().len(), 1);
    }
}
