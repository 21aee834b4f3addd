//! Which files in the plugins folder have settled: they are complete, or gone for good.
//!
//! Pure: events and scans come in with the time at which they were seen, changes go out.

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate::{plugin_control::Change, state::configuration::plugin_of};

/// How long a file must be gone before it counts: who replaces a file by removing it first puts
/// the new one there within this time.
const GONE: Duration = Duration::from_millis(200);

/// How long a file counts as being written after the last event of it. Not every writer closes the
/// file afterwards: `truncate` never opens it.
const SILENT: Duration = Duration::from_secs(3);

/// What the system, or a look at the folder, tells of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FsEvent {
    /// Its name is new; what is to come of it is not known.
    Created(PathBuf),
    /// Somebody is writing to it.
    Writing(PathBuf),
    /// It is complete: closed after writing, or put there by a rename or a link. It looked so,
    /// where it could be looked at.
    Complete(PathBuf, Option<FileStamp>),
    /// It looks as if it might have changed, or what is around it has. It looked so, where it could
    /// be looked at.
    Touched(PathBuf, Option<FileStamp>),
    /// Its name is gone.
    Vanished(PathBuf),
    /// Events were lost.
    Lost,
}

/// What a library looks like from outside: if this is the same, so, nearly always, are its content
/// and what decides whether it is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileStamp {
    /// The file.
    pub file: Outside,
    /// Its owner, and what everybody may do with it.
    pub rights: (u32, u32),
    /// The file with its signature, where there is one.
    pub signature: Option<Outside>,
}

/// Which file it is, its size in bytes, and when it changed.
pub type Outside = (u64, u64, u128);

/// What a look at the folder found.
#[derive(Debug, Default)]
pub struct Listing {
    /// The files that are there.
    pub files: Vec<(PathBuf, FileStamp)>,
    /// Files that could not be looked at, although they may be there.
    pub unknown: Vec<PathBuf>,
}

impl From<Vec<(PathBuf, FileStamp)>> for Listing {
    fn from(files: Vec<(PathBuf, FileStamp)>) -> Self {
        Self { files, unknown: Vec::new() }
    }
}

/// Remembers what was seen of each file.
pub struct Debouncer {
    /// How long a file must look the same before it counts as complete.
    still: Duration,
    known: HashMap<PathBuf, FileStamp>,
    /// Files that are being written, and the time of the last event of it.
    writing: HashMap<PathBuf, Instant>,
    moving: HashMap<PathBuf, (FileStamp, Instant)>,
    vanished: HashMap<PathBuf, Instant>,
    /// Files that could not be looked at last time: they are told of once they can be.
    unknown: HashSet<PathBuf>,
    /// The folder itself could not be looked at last time.
    blind: bool,
    ready: Vec<Change>,
}

impl Debouncer {
    /// Nothing has been seen yet.
    #[must_use]
    pub fn new(still: Duration) -> Self {
        Self {
            still,
            known: HashMap::new(),
            writing: HashMap::new(),
            moving: HashMap::new(),
            vanished: HashMap::new(),
            unknown: HashSet::new(),
            blind: false,
            ready: Vec::new(),
        }
    }

    /// An event was seen.
    pub fn note(&mut self, fs_event: FsEvent, now: Instant) {
        match fs_event {
            FsEvent::Created(path) => {
                self.vanished.remove(&path);
            }
            FsEvent::Writing(path) => {
                self.vanished.remove(&path);
                self.moving.remove(&path);
                self.ready.retain(|change| *change != Change::Ready(path.clone()));
                self.writing.insert(path, now);
            }
            FsEvent::Complete(path, stamp) => {
                self.writing.remove(&path);
                if let Some(stamp) = stamp {
                    self.known.insert(path.clone(), stamp);
                }
                self.complete(path);
            }
            FsEvent::Touched(path, stamp) => {
                if !self.writing.contains_key(&path) {
                    if let Some(stamp) = stamp {
                        self.known.insert(path.clone(), stamp);
                    }
                    self.complete(path);
                }
            }
            FsEvent::Vanished(path) => {
                self.writing.remove(&path);
                self.vanished.entry(path).or_insert(now);
            }
            FsEvent::Lost => self.writing.clear(),
        }
    }

    /// The folder was looked at.
    pub fn scan(&mut self, listing: impl Into<Listing>, now: Instant) {
        let Listing { files, unknown } = listing.into();
        self.blind = false;
        let there: HashSet<&Path> =
            files.iter().map(|(path, _)| path).chain(&unknown).map(PathBuf::as_path).collect();
        let seen = self.known.keys().chain(self.moving.keys());
        for path in seen.filter(|path| !there.contains(path.as_path())) {
            self.vanished.entry(path.clone()).or_insert(now);
        }
        self.moving.retain(|path, _| there.contains(path.as_path()));
        self.unknown.retain(|path| there.contains(path.as_path()));
        self.wait_for(&unknown, now);
        self.writing.retain(|_, since| now.saturating_duration_since(*since) < SILENT);
        for (path, stamp) in files {
            // An empty library is one that is about to be written; a configuration may be empty.
            let begun = stamp.file.1 == 0 && plugin_of(&path).is_none();
            if self.writing.contains_key(&path) || begun {
                self.moving.remove(&path);
                continue;
            }
            self.vanished.remove(&path);
            if self.unknown.remove(&path) {
                // It may have changed and changed back.
                self.known.remove(&path);
            }
            if self.known.get(&path) == Some(&stamp) {
                self.moving.remove(&path);
                continue;
            }
            match self.moving.get(&path) {
                Some((before, since)) if *before == stamp => {
                    if now.saturating_duration_since(*since) >= self.still {
                        self.moving.remove(&path);
                        self.known.insert(path.clone(), stamp);
                        self.ready.push(Change::Ready(path));
                    }
                }
                _ => {
                    self.moving.insert(path, (stamp, now));
                }
            }
        }
    }

    /// The folder could not be looked at: nothing is known of its files until it can be again.
    pub fn scan_failed(&mut self, now: Instant) {
        self.blind = true;
        let files: Vec<_> = self.known.keys().chain(self.moving.keys()).cloned().collect();
        self.wait_for(&files, now);
        self.writing.values_mut().for_each(|since| *since = now);
        self.vanished.values_mut().for_each(|since| *since = now);
    }

    /// What is known of these files waits until they can be looked at again.
    fn wait_for(&mut self, files: &[PathBuf], now: Instant) {
        for path in files {
            self.vanished.remove(path);
            if let Some((_, since)) = self.moving.get_mut(path) {
                *since = now;
            }
            if let Some(since) = self.writing.get_mut(path) {
                *since = now;
            }
            self.unknown.insert(path.clone());
        }
    }

    /// What has settled by now.
    pub fn due(&mut self, now: Instant) -> Vec<Change> {
        let gone: Vec<PathBuf> = self
            .vanished
            .iter()
            .filter(|(_, since)| !self.blind && now.saturating_duration_since(**since) >= GONE)
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
        let gone = self.vanished.values().filter(|_| !self.blind).map(|since| *since + GONE);
        gone.chain(self.next_scan()).min()
    }

    /// When a scan may find that a file has settled; `None` where no file waits for one.
    #[must_use]
    pub fn next_scan(&self) -> Option<Instant> {
        let still = self.moving.values().map(|(_, since)| *since + self.still);
        let silent = self.writing.values().map(|since| *since + SILENT);
        still.chain(silent).min()
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
#[path = "debounce_tests.rs"]
mod tests;
