//! Throttles for log lines that clients can cause, so that these cannot fill a disk.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use log::Level;

/// The least time between two lines of one kind.
const PAUSE: Duration = Duration::from_secs(1);

/// A throttle for one kind of line: at most one line a second.
#[derive(Debug, Default)]
pub struct Throttle {
    state: Mutex<Lines>,
}

/// The lines of one kind so far.
#[derive(Debug, Default)]
struct Lines {
    /// The time of the last line that was logged.
    last: Option<Instant>,
    /// The lines that were left out since then.
    left_out: u64,
}

impl Throttle {
    /// Logs a warning, unless a line of this kind was logged within the last second. The next line
    /// has the number of those that were left out.
    pub fn warn(&self, now: Instant, line: impl FnOnce() -> String) {
        self.log(Level::Warn, now, line);
    }

    /// Does the same as [`warn`](Self::warn), at the level info.
    pub fn info(&self, now: Instant, line: impl FnOnce() -> String) {
        self.log(Level::Info, now, line);
    }

    fn log(&self, level: Level, now: Instant, line: impl FnOnce() -> String) {
        if let Some(left_out) = self.admit(now) {
            write(level, left_out, &line());
        }
    }

    /// Returns how many lines were left out since the last one, if one more may be logged.
    fn admit(&self, now: Instant) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.last.is_some_and(|last| now.saturating_duration_since(last) < PAUSE) {
            state.left_out += 1;
            return None;
        }
        let left_out = state.left_out;
        *state = Lines { last: Some(now), left_out: 0 };
        Some(left_out)
    }
}

/// A throttle for one kind of line about several names, at most one line a second for each name.
/// The names must not be chosen by clients: they are never removed.
#[derive(Debug, Default)]
pub struct NamedThrottle {
    kinds: Mutex<HashMap<String, Throttle>>,
}

impl NamedThrottle {
    /// Does the same as [`Throttle::info`], for the lines about `name`.
    pub fn info(&self, name: &str, now: Instant, line: impl FnOnce() -> String) {
        self.log(Level::Info, name, now, line);
    }

    /// Does the same as [`Throttle::warn`], for the lines about `name`.
    pub fn warn(&self, name: &str, now: Instant, line: impl FnOnce() -> String) {
        self.log(Level::Warn, name, now, line);
    }

    fn log(&self, level: Level, name: &str, now: Instant, line: impl FnOnce() -> String) {
        if let Some(left_out) = self.admit(name, now) {
            write(level, left_out, &line());
        }
    }

    fn admit(&self, name: &str, now: Instant) -> Option<u64> {
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kind) = kinds.get(name) {
            return kind.admit(now);
        }
        kinds.entry(name.to_owned()).or_default().admit(now)
    }
}

/// A budget for lines of all kinds from one source: 500 lines at once, and 100 a second in the long
/// run.
#[derive(Debug)]
pub struct LineBudget {
    state: Mutex<Credit>,
}

/// The state of a budget.
#[derive(Debug)]
struct Credit {
    lines: u64,
    since: Option<Instant>,
    left_out: u64,
}

/// The lines that a [`LineBudget`] admits at once.
const AT_ONCE: u64 = 500;
/// The lines a second that a [`LineBudget`] admits in the long run.
const A_SECOND: u64 = 100;

impl Default for LineBudget {
    fn default() -> Self {
        Self { state: Mutex::new(Credit { lines: AT_ONCE, since: None, left_out: 0 }) }
    }
}

impl LineBudget {
    /// Returns how many lines were left out since the last one, if one more may be logged.
    pub fn admit(&self, now: Instant) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let since = *state.since.get_or_insert(now);
        let seconds = now.saturating_duration_since(since).as_secs();
        if seconds > 0 {
            state.lines = seconds.saturating_mul(A_SECOND).saturating_add(state.lines).min(AT_ONCE);
            state.since = Some(now);
        }
        if state.lines == 0 {
            state.left_out += 1;
            return None;
        }
        state.lines -= 1;
        Some(std::mem::take(&mut state.left_out))
    }
}

fn write(level: Level, left_out: u64, line: &str) {
    match left_out {
        0 => log::log!(level, "{line}"),
        more => log::log!(level, "{line} ({more} similar lines left out before)"),
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

    #[test]
    fn lines_of_a_source_are_bounded() {
        let (budget, start) = (LineBudget::default(), Instant::now());
        let admitted = |at: Instant| (0..2_000).filter(|_| budget.admit(at).is_some()).count();
        assert_eq!(admitted(start), 500);
        assert_eq!(budget.admit(start + PAUSE), Some(1_500), "what was left out is told once");
        assert_eq!(admitted(start + PAUSE), 99);
        assert_eq!(budget.admit(start + 2 * PAUSE), Some(1_901));
        assert_eq!(admitted(start + 60 * PAUSE), 500);
    }

    #[test]
    fn names_have_a_second_each() {
        let (throttle, start) = (NamedThrottle::default(), Instant::now());
        let at = |name, millis| throttle.admit(name, start + Duration::from_millis(millis));
        assert_eq!((at("alice", 0), at("bob", 1), at("alice", 2)), (Some(0), Some(0), None));
        assert_eq!((at("alice", 1000), at("bob", 1001)), (Some(1), Some(0)));
    }
}
