//! Files that could not be taken and may be taken later.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// The first pause before another try; each is twice as long as the one before.
const FIRST: Duration = Duration::from_millis(200);

/// The longest pause.
const LONGEST: Duration = Duration::from_secs(60);

/// How long somebody may have a file open before that is worth a word.
const HELD: Duration = Duration::from_secs(10);

/// Files that are to be tried again, and when.
#[derive(Default)]
pub struct Retries {
    waiting: BTreeMap<PathBuf, Retry>,
}

struct Retry {
    pause: Duration,
    /// The first time, and whether it was told that the file is held.
    since: Instant,
    told: bool,
    /// `None` while it is being tried.
    due: Option<Instant>,
}

impl Retries {
    /// Has a file tried again after a pause.
    pub fn later(&mut self, path: &Path, now: Instant) {
        let retry = self
            .waiting
            .entry(path.to_owned())
            .and_modify(|retry| retry.pause = (retry.pause * 2).min(LONGEST))
            .or_insert(Retry { pause: FIRST, since: now, told: false, due: None });
        retry.due = Some(now + retry.pause);
    }

    /// Has a file tried again soon that somebody has open. Returns whether that is to be told now, which
    /// it is once.
    pub fn held(&mut self, path: &Path, now: Instant) -> bool {
        let new = Retry { pause: FIRST, since: now, told: false, due: None };
        let retry = self.waiting.entry(path.to_owned()).or_insert(new);
        retry.due = Some(now + FIRST);
        let tell = !retry.told && now.saturating_duration_since(retry.since) >= HELD;
        retry.told |= tell;
        tell
    }

    /// Forgets about a file.
    pub fn forget(&mut self, path: &Path) {
        self.waiting.remove(path);
    }

    /// Whether a file waits for another try, or is being tried again.
    #[must_use]
    pub fn is_known(&self, path: &Path) -> bool {
        self.waiting.contains_key(path)
    }

    /// Whether a file has been tried several times.
    #[must_use]
    pub fn is_late(&self, path: &Path) -> bool {
        self.waiting.get(path).is_some_and(|retry| retry.pause > 2 * FIRST)
    }

    /// The files to be tried now.
    pub fn due(&mut self, now: Instant) -> Vec<PathBuf> {
        let due = self
            .waiting
            .iter_mut()
            .filter_map(|(path, retry)| retry.due.take_if(|due| *due <= now).map(|_| path.clone()));
        due.collect()
    }

    /// How long until something may be due, at the most.
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
        let mut told = Vec::new();
        for tick in 0..100 {
            let now = start + FIRST * tick;
            if retries.held(path, now) {
                told.push(now - start);
            }
            assert_eq!(retries.due(now), [] as [PathBuf; 0], "not at once");
            assert_eq!(retries.due(now + FIRST), [path]);
        }
        assert_eq!(told, [HELD]);
    }

    #[test]
    fn file_is_late_from_third_try() {
        let (mut retries, now, path) = (Retries::default(), Instant::now(), Path::new("a"));
        for late in [false, false, true, true] {
            retries.later(path, now);
            assert_eq!(retries.is_late(path), late);
        }
    }

    #[test]
    fn only_waiting_file_is_known_and_polled_often() {
        let (mut retries, now, path) = (Retries::default(), Instant::now(), Path::new("a"));
        assert_eq!((retries.is_known(path), retries.pause()), (false, LONGEST));
        retries.later(path, now);
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
            retries.later(path, now);
            assert_eq!(retries.due(now + pause - Duration::from_millis(1)), [] as [PathBuf; 0]);
            now += pause;
            assert_eq!(retries.due(now), [path]);
            assert_eq!(retries.due(now), [] as [PathBuf; 0], "once");
            pause = (pause * 2).min(LONGEST);
        }
        assert!(retries.is_late(path));
        retries.forget(path);
        assert!(!retries.is_late(path));
        retries.later(path, now);
        assert_eq!(retries.due(now + FIRST), [path]);
    }
}
