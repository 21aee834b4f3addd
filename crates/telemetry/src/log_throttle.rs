//! Log lines that a client can cause, so few that they cannot fill a disk.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use log::Level;

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
        self.log(Level::Warn, now, line);
    }

    /// As [`warn`](Self::warn), for what is nothing to worry about.
    pub fn info(&self, now: Instant, line: impl FnOnce() -> String) {
        self.log(Level::Info, now, line);
    }

    fn log(&self, level: Level, now: Instant, line: impl FnOnce() -> String) {
        if let Some(left_out) = self.admit(now) {
            write(level, left_out, &line());
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

/// The same kind of line about several things, each of which has its own second: what one of them
/// causes hides no line about another. For names that clients cannot make up.
#[derive(Debug, Default)]
pub struct NamedThrottle {
    kinds: Mutex<HashMap<String, Throttle>>,
}

impl NamedThrottle {
    /// As [`Throttle::info`], about `name`.
    pub fn info(&self, name: &str, now: Instant, line: impl FnOnce() -> String) {
        self.log(Level::Info, name, now, line);
    }

    /// As [`Throttle::warn`], about `name`.
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

/// Bounds lines of many kinds from one source: so many at once, and so many a second in the long run.
#[derive(Debug)]
pub struct LineBudget {
    state: Mutex<Credit>,
}

/// Lines that a source may log now, and what it has not been let.
#[derive(Debug)]
struct Credit {
    lines: u64,
    since: Option<Instant>,
    left_out: u64,
}

/// Lines that a [`LineBudget`] lets through at once.
const AT_ONCE: u64 = 500;
/// Lines a second that it lets through in the long run.
const A_SECOND: u64 = 100;

impl Default for LineBudget {
    fn default() -> Self {
        Self { state: Mutex::new(Credit { lines: AT_ONCE, since: None, left_out: 0 }) }
    }
}

impl LineBudget {
    /// Whether one more may be logged, and how many were left out since the last.
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
        more => log::log!(level, "{line} (and {more} more of the kind before)"),
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
