//! Which files in the plugins folder have settled: they are complete, or gone for good.
//!
//! Pure: signs and scans come in with the time at which they were seen, changes go out.

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::configuration::plugin_of;
use crate::desk::Change;

/// How long a file must be gone before it counts: who replaces a file by removing it first puts
/// the new one there within this time.
const GONE: Duration = Duration::from_millis(200);

/// What the system, or a look at the folder, tells of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sign {
    /// Its name is new; what is to come of it is not known.
    Created(PathBuf),
    /// Somebody is writing to it.
    Writing(PathBuf),
    /// It is complete: closed after writing, or put there by a rename or a link. It looked so,
    /// where it could be looked at.
    Complete(PathBuf, Option<Look>),
    /// It looks as if it might have changed, or what is around it has. It looked so, where it could
    /// be looked at.
    Touched(PathBuf, Option<Look>),
    /// Its name is gone.
    Vanished(PathBuf),
    /// Signs were lost.
    Lost,
}

/// What a library looks like from outside: if this is the same, so, nearly always, are its content
/// and what decides whether it is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// The file.
    pub file: Outside,
    /// Its owner, and what everybody may do with it.
    pub rights: (u32, u32),
    /// The file with its signature, where there is one.
    pub signature: Option<Outside>,
}

/// Which file it is, its size in bytes, and when it changed.
pub type Outside = (u64, u64, u128);

/// Remembers what was seen of each file.
pub struct Settler {
    /// How long a file must look the same before it counts as complete.
    still: Duration,
    known: HashMap<PathBuf, Look>,
    writing: HashSet<PathBuf>,
    moving: HashMap<PathBuf, (Look, Instant)>,
    vanished: HashMap<PathBuf, Instant>,
    ready: Vec<Change>,
}

impl Settler {
    /// Nothing has been seen yet.
    #[must_use]
    pub fn new(still: Duration) -> Self {
        Self {
            still,
            known: HashMap::new(),
            writing: HashSet::new(),
            moving: HashMap::new(),
            vanished: HashMap::new(),
            ready: Vec::new(),
        }
    }

    /// A sign was seen.
    pub fn note(&mut self, sign: Sign, now: Instant) {
        match sign {
            Sign::Created(path) => {
                self.vanished.remove(&path);
            }
            Sign::Writing(path) => {
                self.vanished.remove(&path);
                self.moving.remove(&path);
                self.ready.retain(|change| *change != Change::Ready(path.clone()));
                self.writing.insert(path);
            }
            Sign::Complete(path, look) => {
                self.writing.remove(&path);
                if let Some(look) = look {
                    self.known.insert(path.clone(), look);
                }
                self.complete(path);
            }
            Sign::Touched(path, look) => {
                if !self.writing.contains(&path) {
                    if let Some(look) = look {
                        self.known.insert(path.clone(), look);
                    }
                    self.complete(path);
                }
            }
            Sign::Vanished(path) => {
                self.writing.remove(&path);
                self.vanished.entry(path).or_insert(now);
            }
            Sign::Lost => self.writing.clear(),
        }
    }

    /// The folder was looked at: these files were there.
    pub fn scan(&mut self, listing: Vec<(PathBuf, Look)>, now: Instant) {
        let there: HashSet<&Path> = listing.iter().map(|(path, _)| path.as_path()).collect();
        let seen = self.known.keys().chain(self.moving.keys());
        for path in seen.filter(|path| !there.contains(path.as_path())) {
            self.vanished.entry(path.clone()).or_insert(now);
        }
        self.moving.retain(|path, _| there.contains(path.as_path()));
        for (path, look) in listing {
            // An empty library is one that is about to be written; a configuration may be empty.
            let begun = look.file.1 == 0 && plugin_of(&path).is_none();
            if self.writing.contains(&path) || begun {
                self.moving.remove(&path);
                continue;
            }
            self.vanished.remove(&path);
            if self.known.get(&path) == Some(&look) {
                self.moving.remove(&path);
                continue;
            }
            match self.moving.get(&path) {
                Some((before, since)) if *before == look => {
                    if now.saturating_duration_since(*since) >= self.still {
                        self.moving.remove(&path);
                        self.known.insert(path.clone(), look);
                        self.ready.push(Change::Ready(path));
                    }
                }
                _ => {
                    self.moving.insert(path, (look, now));
                }
            }
        }
    }

    /// What has settled by now.
    pub fn due(&mut self, now: Instant) -> Vec<Change> {
        let gone: Vec<PathBuf> = self
            .vanished
            .iter()
            .filter(|(_, since)| now.saturating_duration_since(**since) >= GONE)
            .map(|(path, _)| path.clone())
            .collect();
        for path in gone {
            self.vanished.remove(&path);
            self.known.remove(&path);
            self.ready.push(Change::Gone(path));
        }
        std::mem::take(&mut self.ready)
    }

    /// When something may settle that has not yet; `None` where nothing is on its way.
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        let gone = self.vanished.values().map(|since| *since + GONE);
        let still = self.moving.values().map(|(_, since)| *since + self.still);
        gone.chain(still).min()
    }

    /// Whether a file waits for a scan that finds it unchanged.
    #[must_use]
    pub fn is_moving(&self) -> bool {
        !self.moving.is_empty()
    }

    fn complete(&mut self, path: PathBuf) {
        self.vanished.remove(&path);
        self.moving.remove(&path);
        let change = Change::Ready(path);
        if !self.ready.contains(&change) {
            self.ready.push(change);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STILL: Duration = Duration::from_millis(500);

    fn path(name: &str) -> PathBuf {
        PathBuf::from(name)
    }

    fn ready(name: &str) -> Vec<Change> {
        vec![Change::Ready(path(name))]
    }

    fn look(version: u64) -> Look {
        Look { file: (1, version, 0), ..Look::default() }
    }

    #[test]
    fn a_file_is_ready_when_its_writer_closes_it_and_not_before() {
        let (mut settler, now) = (Settler::new(STILL), Instant::now());
        settler.note(Sign::Writing(path("a")), now);
        for tick in 0..10 {
            settler.scan(vec![(path("a"), look(7))], now + STILL * tick);
            assert_eq!(settler.due(now + STILL * tick), []);
        }
        settler.note(Sign::Touched(path("a"), None), now + STILL * 10);
        assert_eq!(settler.due(now + STILL * 10), []);
        settler.note(Sign::Complete(path("a"), None), now + STILL * 10);
        assert_eq!(settler.due(now + STILL * 10), ready("a"));
    }

    #[test]
    fn without_signs_a_file_is_ready_when_it_has_stopped_changing() {
        let (mut settler, now) = (Settler::new(STILL), Instant::now());
        for tick in 0..5 {
            settler.scan(vec![(path("a"), look(u64::from(tick)))], now + STILL * tick);
            assert_eq!(settler.due(now + STILL * tick), []);
        }
        settler.scan(vec![(path("a"), look(4))], now + STILL * 5);
        assert_eq!(settler.due(now + STILL * 5), ready("a"));
        settler.scan(vec![(path("a"), look(4))], now + STILL * 9);
        assert_eq!(settler.due(now + STILL * 9), [], "once is enough");
    }

    #[test]
    fn a_file_that_comes_back_at_once_was_never_gone() {
        let (mut settler, now) = (Settler::new(STILL), Instant::now());
        settler.note(Sign::Vanished(path("a")), now);
        assert_eq!(settler.due(now + GONE / 2), []);
        settler.note(Sign::Writing(path("a")), now + GONE / 2);
        assert_eq!(settler.due(now + GONE * 9), []);
        settler.note(Sign::Complete(path("a"), None), now + GONE * 9);
        assert_eq!(settler.due(now + GONE * 9), ready("a"));
    }

    #[test]
    fn a_file_that_stays_away_is_gone() {
        let (mut settler, now) = (Settler::new(STILL), Instant::now());
        settler.note(Sign::Vanished(path("a")), now);
        assert_eq!(settler.next_due(), Some(now + GONE));
        assert_eq!(settler.due(now + GONE), [Change::Gone(path("a"))]);
        assert_eq!(settler.due(now + GONE * 2), []);
        assert_eq!(settler.next_due(), None);
    }

    #[test]
    fn a_scan_notices_what_no_sign_told() {
        let (mut settler, now) = (Settler::new(STILL), Instant::now());
        let both = vec![(path("a"), look(1)), (path("b"), look(1))];
        settler.scan(both.clone(), now);
        settler.scan(both, now + STILL);
        assert_eq!(settler.due(now + STILL).len(), 2);
        settler.scan(vec![(path("b"), look(1))], now + STILL * 2);
        assert_eq!(settler.due(now + STILL * 2 + GONE), [Change::Gone(path("a"))]);
    }

    #[test]
    fn a_writer_takes_back_that_a_file_was_ready_and_nothing_is_due_meanwhile() {
        let (mut settler, now) = (Settler::new(STILL), Instant::now());
        settler.scan(vec![(path("a"), look(1))], now);
        settler.note(Sign::Complete(path("a"), None), now);
        settler.note(Sign::Writing(path("a")), now);
        settler.scan(vec![(path("a"), look(2))], now + STILL);
        assert_eq!(settler.due(now + STILL), []);
        assert_eq!(settler.next_due(), None);
    }

    #[test]
    fn a_name_without_a_writer_is_ready_when_it_is_still() {
        let (mut settler, now) = (Settler::new(STILL), Instant::now());
        settler.note(Sign::Created(path("a")), now);
        settler.scan(vec![(path("a"), look(0))], now);
        settler.scan(vec![(path("a"), look(0))], now + STILL);
        assert_eq!(settler.due(now + STILL), [], "an empty file is not");
        settler.scan(vec![(path("a"), look(1))], now + STILL * 2);
        settler.scan(vec![(path("a"), look(1))], now + STILL * 3);
        assert_eq!(settler.due(now + STILL * 3), ready("a"));
    }

    #[test]
    fn an_empty_configuration_is_one_when_it_is_still() {
        let (mut settler, now) = (Settler::new(STILL), Instant::now());
        settler.scan(vec![(path("a.toml"), look(0))], now);
        assert_eq!(settler.due(now), []);
        settler.scan(vec![(path("a.toml"), look(0))], now + STILL);
        assert_eq!(settler.due(now + STILL), ready("a.toml"));
    }

    #[test]
    fn what_a_sign_told_a_scan_does_not_tell_again() {
        let (mut settler, now) = (Settler::new(STILL), Instant::now());
        settler.note(Sign::Complete(path("a"), Some(look(1))), now);
        assert_eq!(settler.due(now), ready("a"));
        for (tick, version, told) in [(1, 1, false), (2, 1, false), (3, 2, false), (4, 2, true)] {
            settler.scan(vec![(path("a"), look(version))], now + STILL * tick);
            assert_eq!(settler.due(now + STILL * tick) == ready("a"), told, "{tick}");
        }
    }

    #[test]
    fn after_lost_signs_a_scan_decides() {
        let (mut settler, now) = (Settler::new(STILL), Instant::now());
        settler.note(Sign::Writing(path("a")), now);
        settler.note(Sign::Lost, now);
        settler.scan(vec![(path("a"), look(1))], now);
        settler.scan(vec![(path("a"), look(1))], now + STILL);
        assert_eq!(settler.due(now + STILL), ready("a"));
    }
}
