//! Waiting for something to become true: the only place that sleeps.

use std::{
    io::{self, Write},
    panic::Location,
    thread,
    time::Duration,
};

use crate::stall;

#[cfg(target_os = "linux")]
use crate::stacks::dump;

/// Other systems have no `/proc` to find the processes by.
#[cfg(not(target_os = "linux"))]
fn dump() -> Option<String> {
    None
}

/// How long anything may take, beside the time that the machine itself stood still. A loaded machine
/// has done so for 20 s of one wait, which is no fault of the host; that the host does so is one,
/// however long the machine did.
pub const LIMIT: Duration = Duration::from_secs(30);

/// A wait that takes longer is reported, also when it succeeds.
const SLOW: Duration = Duration::from_secs(5);

/// A wait that takes longer has the stacks shown of what the tests have started.
const STACKS_AFTER: Duration = Duration::from_secs(10);

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
pub fn wait_for<T>(what: &str, limit: Duration, look: impl FnMut() -> Option<T>) -> T {
    Stopwatch::start().wait_for(what, limit, look)
}

/// The time of one wait, and how much of it the machine itself stood still.
pub(crate) struct Stopwatch {
    time: stall::Stopwatch,
    /// When the stacks are shown. `None` once they have been.
    stacks_after: Option<Duration>,
    show: fn(&str),
}

impl Stopwatch {
    /// The wait begins.
    pub(crate) fn start() -> Self {
        Self::showing_after(STACKS_AFTER, show)
    }

    /// The wait begins; the stacks are shown so after this time.
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
            if let Some(over) = self.over(what, limit) {
                panic!("{over}");
            }
            thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(20));
        }
    }

    /// Says so once the wait has lasted for its limit. One that lasts has the stacks shown, once;
    /// the time that this takes does not count.
    #[track_caller]
    pub(crate) fn over(&mut self, what: &str, limit: Duration) -> Option<String> {
        let (waited, stalled) = self.time.read();
        if self.stacks_after.is_some_and(|after| waited >= after) {
            self.stacks_after = None;
            self.show_stacks(what);
            self.time.set_back((waited, stalled));
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

/// Shows a text past the test runner, which shows the output of failed tests alone.
fn show(text: &str) {
    // Best effort: it is for people.
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
