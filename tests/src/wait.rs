//! Waiting for something to become true: the only place that sleeps.

use std::{
    thread,
    time::{Duration, Instant},
};

/// How long anything may take. Far more than it does, so that a loaded machine fails nothing.
pub const LIMIT: Duration = Duration::from_secs(90);

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
    let (deadline, mut pause) = (Instant::now() + limit, Duration::from_millis(1));
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {limit:?} in vain: {what}");
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}
