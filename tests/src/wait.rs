//! Waiting for something to become true: the only place that sleeps.

use std::{
    io::{self, Write},
    panic::Location,
    thread,
    time::{Duration, Instant},
};

use crate::stall;

/// How long anything may take. Far more than it does, so that a loaded machine fails nothing.
pub const LIMIT: Duration = Duration::from_secs(90);

/// A wait that takes longer is reported, also when it succeeds.
const SLOW: Duration = Duration::from_secs(5);

/// Waits until the condition holds.
///
/// # Panics
/// Where it does not within the limit.
#[track_caller]
pub fn wait_until(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) {
    wait_for(what, limit, || condition().then_some(()));
}

/// Waits until there is something, and returns it.
///
/// # Panics
/// Where there is nothing within the limit.
#[track_caller]
pub fn wait_for<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let (watch, mut pause) = (Stopwatch::start(), Duration::from_millis(1));
    loop {
        if let Some(found) = look() {
            watch.report(what);
            return found;
        }
        let (waited, stalled) = watch.read();
        assert!(
            waited < limit,
            "waited {limit:?} in vain (the machine itself stood still for {stalled:.1?} of it): \
             {what}"
        );
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

/// The time of one wait, and how much of it the machine itself stood still.
pub(crate) struct Stopwatch {
    started: Instant,
    stalled: Duration,
}

impl Stopwatch {
    /// The wait begins.
    pub(crate) fn start() -> Self {
        Self { started: Instant::now(), stalled: stall::total() }
    }

    fn read(&self) -> (Duration, Duration) {
        (self.started.elapsed(), stall::total().saturating_sub(self.stalled))
    }

    /// Reports the wait if it was slow, past the test runner, which shows the output of failed
    /// tests alone.
    #[track_caller]
    pub(crate) fn report(&self, what: &str) {
        let (waited, stalled) = self.read();
        if waited < SLOW {
            return;
        }
        let line = format!(
            "slow wait: {waited:.1?} at {} (the machine itself stood still for {stalled:.1?} of \
             it): {what}\n",
            Location::caller()
        );
        // Best effort: it is for people.
        let _ = io::stderr().write_all(line.as_bytes());
    }
}
