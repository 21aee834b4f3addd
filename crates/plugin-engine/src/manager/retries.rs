//! Schedules retries of files that could not be loaded.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// The first pause before a retry; it doubles after each.
const FIRST: Duration = Duration::from_millis(200);

/// The longest pause.
const LONGEST: Duration = Duration::from_secs(60);

/// The time for which another program may have a file open before that is reported.
const HELD: Duration = Duration::from_secs(10);

/// Files to retry, and when.
#[derive(Default)]
pub struct Retries {
    waiting: BTreeMap<PathBuf, Retry>,
}

struct Retry {
    pause: Duration,
    /// The time of the first attempt.
    since: Instant,
    /// True once the log has said that the file is held.
    is_reported: bool,
    /// `None` while it is being retried.
    due: Option<Instant>,
}

impl Retries {
    /// Schedules a retry of a file after a pause.
    pub fn retry_later(&mut self, path: &Path, now: Instant) {
        let retry = self
            .waiting
            .entry(path.to_owned())
            .and_modify(|retry| retry.pause = (retry.pause * 2).min(LONGEST))
            .or_insert(Retry { pause: FIRST, since: now, is_reported: false, due: None });
        retry.due = Some(now + retry.pause);
    }

    /// Schedules an early retry of a file that another program has open. Returns true if that is to
    /// be reported now, which happens once.
    pub fn retry_soon(&mut self, path: &Path, now: Instant) -> bool {
        let new = Retry { pause: FIRST, since: now, is_reported: false, due: None };
        let retry = self.waiting.entry(path.to_owned()).or_insert(new);
        retry.due = Some(now + FIRST);
        let is_due = !retry.is_reported && now.saturating_duration_since(retry.since) >= HELD;
        retry.is_reported |= is_due;
        is_due
    }

    /// Removes a file.
    pub fn forget(&mut self, path: &Path) {
        self.waiting.remove(path);
    }

    /// Returns true if a file waits for a retry, or is being retried.
    #[must_use]
    pub fn is_known(&self, path: &Path) -> bool {
        self.waiting.contains_key(path)
    }

    /// Returns true if a file has been tried several times.
    #[must_use]
    pub fn is_late(&self, path: &Path) -> bool {
        self.waiting.get(path).is_some_and(|retry| retry.pause > 2 * FIRST)
    }

    /// Returns the files to retry now.
    pub fn due(&mut self, now: Instant) -> Vec<PathBuf> {
        let due = self
            .waiting
            .iter_mut()
            .filter_map(|(path, retry)| retry.due.take_if(|due| *due <= now).map(|_| path.clone()));
        due.collect()
    }

    /// Returns the longest time until a retry may be due.
    #[must_use]
    pub fn pause(&self) -> Duration {
        let waits = self.waiting.values().any(|retry| retry.due.is_some());
        if waits { FIRST / 2 } else { LONGEST }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn held_file_is_retried_and_logged_once() {
        let (mut retries, start, path) = (Retries::default(), Instant::now(), Path::new("a"));
        let mut reports = Vec::new();
        for tick in 0..100 {
            let now = start + FIRST * tick;
            if retries.retry_soon(path, now) {
                reports.push(now - start);
            }
            assert_eq!(retries.due(now), [] as [PathBuf; 0], "not at once");
            assert_eq!(retries.due(now + FIRST), [path]);
        }
        assert_eq!(reports, [HELD]);
    }

    #[test]
    fn file_is_late_from_third_try() {
        let (mut retries, now, path) = (Retries::default(), Instant::now(), Path::new("a"));
        for late in [false, false, true, true] {
            retries.retry_later(path, now);
            assert_eq!(retries.is_late(path), late);
        }
    }

    #[test]
    fn only_waiting_file_is_known_and_polled_often() {
        let (mut retries, now, path) = (Retries::default(), Instant::now(), Path::new("a"));
        assert_eq!((retries.is_known(path), retries.pause()), (false, LONGEST));
        retries.retry_later(path, now);
        assert_eq!((retries.is_known(path), retries.pause()), (true, FIRST / 2));
        assert_eq!(retries.due(now + FIRST), [path]);
        assert_eq!((retries.is_known(path), retries.pause()), (true, LONGEST), "it is being tried");
        retries.forget(path);
        assert!(!retries.is_known(path));
    }

    #[test]
    fn pauses_grow_up_to_a_limit() {
        let (mut retries, start, path) = (Retries::default(), Instant::now(), Path::new("a"));
        let (mut now, mut pause) = (start, FIRST);
        for _ in 0..20 {
            retries.retry_later(path, now);
            assert_eq!(retries.due(now + pause - Duration::from_millis(1)), [] as [PathBuf; 0]);
            now += pause;
            assert_eq!(retries.due(now), [path]);
            assert_eq!(retries.due(now), [] as [PathBuf; 0], "once");
            pause = (pause * 2).min(LONGEST);
        }
        assert!(retries.is_late(path));
        retries.forget(path);
        assert!(!retries.is_late(path));
        retries.retry_later(path, now);
        assert_eq!(retries.due(now + FIRST), [path]);
    }
}
