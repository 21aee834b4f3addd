//! Log lines that a stranger can cause, so few that they cannot fill a disk.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Between two lines of one kind.
const PAUSE: Duration = Duration::from_secs(1);

/// One kind of line: at most one a second.
#[derive(Debug, Default)]
pub struct Throttle {
    state: Mutex<(Option<Instant>, u64)>,
}

impl Throttle {
    /// Logs a warning, unless one of this kind has just been logged. What is left out is counted
    /// and told with the next one.
    pub fn warn(&self, now: Instant, line: impl FnOnce() -> String) {
        if let Some(left_out) = self.admit(now) {
            match left_out {
                0 => log::warn!("{}", line()),
                more => log::warn!("{} (and {more} more of the kind before)", line()),
            }
        }
    }

    /// Whether one more may be logged, and how many were left out since the last.
    fn admit(&self, now: Instant) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.0.is_some_and(|last| now.saturating_duration_since(last) < PAUSE) {
            state.1 += 1;
            return None;
        }
        let left_out = state.1;
        *state = (Some(now), 0);
        Some(left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_a_second_and_the_rest_is_counted() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        let at = |millis| throttle.admit(start + Duration::from_millis(millis));
        assert_eq!((at(0), at(1), at(999)), (Some(0), None, None));
        assert_eq!((at(1000), at(1500), at(2000)), (Some(2), None, Some(1)));
    }
}
