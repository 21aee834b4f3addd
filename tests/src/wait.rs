//! Waiting for a condition: the only module that sleeps.

use std::{
    io::{self, Write},
    panic::Location,
    thread,
    time::Duration,
};

use crate::stall;

#[cfg(target_os = "linux")]
use crate::stacks::dump;

/// Returns `None`: other systems have no `/proc` in which to find the processes.
#[cfg(not(target_os = "linux"))]
fn dump() -> Option<String> {
    None
}

/// Time limit of a wait, not counting the time in which the machine itself stood still. A loaded
/// machine was seen to stand still for 20 s of one wait, which is no fault of the host. A host that
/// stands still is at fault in any case.
pub const LIMIT: Duration = Duration::from_secs(30);

/// A longer wait is reported, even if it succeeds.
const SLOW: Duration = Duration::from_secs(5);

/// After this time the stacks of the processes that the tests have started are shown.
const STACKS_AFTER: Duration = Duration::from_secs(20);

/// Waits until the condition holds.
///
/// # Panics
/// The condition does not hold within the limit.
#[track_caller]
pub fn wait_until(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) {
    wait_for(what, limit, || condition().then_some(()));
}

/// Waits until `look` returns a value, and returns it.
///
/// # Panics
/// There is no value within the limit.
#[track_caller]
pub fn wait_for<T>(what: &str, limit: Duration, look: impl FnMut() -> Option<T>) -> T {
    WaitTimer::start().wait_for(what, limit, look)
}

/// The duration of one wait, and how much of it the machine itself stood still.
pub(crate) struct WaitTimer {
    time: stall::Stopwatch,
    /// Time after which the stacks are shown; `None` once they have been.
    stacks_after: Option<Duration>,
    show: fn(&str),
}

impl WaitTimer {
    /// Starts the measurement of a wait.
    pub(crate) fn start() -> Self {
        Self::showing_after(STACKS_AFTER, show)
    }

    /// Starts the measurement of a wait whose stacks are passed to `show` after this time.
    pub(crate) fn showing_after(after: Duration, show: fn(&str)) -> Self {
        Self { time: stall::Stopwatch::start(), stacks_after: Some(after), show }
    }

    #[track_caller]
    pub(crate) fn wait_for<T>(
        mut self,
        what: &str,
        limit: Duration,
        mut look: impl FnMut() -> Option<T>,
    ) -> T {
        let mut pause = Duration::from_millis(1);
        loop {
            if let Some(found) = look() {
                self.report(what);
                return found;
            }
            if let Some(over) = self.timeout(what, limit) {
                panic!("{over}");
            }
            thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(20));
        }
    }

    /// Returns a message once the wait has lasted for its limit. A long wait has the stacks shown,
    /// once; the time that this takes does not count.
    #[track_caller]
    pub(crate) fn timeout(&mut self, what: &str, limit: Duration) -> Option<String> {
        let (waited, stalled) = self.time.read();
        if self.stacks_after.is_some_and(|after| waited >= after) {
            self.stacks_after = None;
            self.show_stacks(what);
            self.time.discard((waited, stalled));
        }
        self.time.left(limit).is_zero().then(|| {
            format!(
                "waited {waited:.1?} in vain (the machine itself stood still for {stalled:.1?} of \
                 it): {what}"
            )
        })
    }

    /// Reports the wait if it was slow.
    #[track_caller]
    pub(crate) fn report(&self, what: &str) {
        let (waited, _) = self.time.read();
        if waited >= SLOW {
            (self.show)(&self.line("slow wait", what));
        }
    }

    #[track_caller]
    fn show_stacks(&self, what: &str) {
        let line = self.line("a wait lasts", what);
        if let Some(dump) = dump() {
            (self.show)(&format!("{line}{dump}--- end of the stacks\n"));
        }
    }

    #[track_caller]
    fn line(&self, state: &str, what: &str) -> String {
        let (waited, stalled) = self.time.read();
        let place = Location::caller();
        format!(
            "{state}: {waited:.1?} at {place} (the machine itself stood still for {stalled:.1?} of \
             it): {what}\n"
        )
    }
}

/// Writes a text past the test runner, which shows the output of failed tests only.
fn show(text: &str) {
    // Best effort: the text is for people.
    let _ = io::stderr().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stall_of_the_machine_does_not_count() {
        let left = |waited, stalled| {
            let [waited, stalled] = [waited, stalled].map(Duration::from_secs);
            stall::left(waited, stalled, LIMIT).as_secs()
        };
        assert_eq!((left(0, 0), left(29, 0), left(30, 0), left(31, 0)), (30, 1, 0, 0));
        assert_eq!((left(59, 30), left(60, 30), left(60, 31)), (1, 0, 1));
        assert_eq!((left(119, 119), left(120, 120)), (1, 0), "it does not wait for ever");
    }
}
