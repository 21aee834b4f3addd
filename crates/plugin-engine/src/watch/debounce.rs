//! Decides which files in the plugins folder have settled: complete, or removed for good.
//!
//! Pure: callers pass events and scans with the time at which they were seen, and get changes.

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate::{plugin_control::FileChange, state::configuration::plugin_of};

/// The time for which a file must be gone before it counts as removed. A file that is replaced by
/// remove and create comes back within this time.
const GONE: Duration = Duration::from_millis(200);

/// The time for which a file counts as being written after its last write event. Not every writer
/// closes the file afterwards: `truncate` never opens it.
const SILENT: Duration = Duration::from_secs(3);

/// An observation about a file, from an event of the system or from a scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FsEvent {
    /// Its name is new; it may be written next.
    Created(PathBuf),
    /// A process is writing to it.
    Writing(PathBuf),
    /// It is complete: closed after writing, or put there by a rename or a link. Carries its stamp
    /// if it could be read.
    Complete(PathBuf, Option<FileStamp>),
    /// The file or something that decides about it may have changed. Carries its stamp if it could
    /// be read.
    Touched(PathBuf, Option<FileStamp>),
    /// Its name is gone.
    Vanished(PathBuf),
    /// Events were lost.
    Lost,
}

/// The metadata of a library by which a change is noticed: if the stamp is equal, content and trust
/// are almost certainly equal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileStamp {
    /// Identity, size and time of the file.
    pub file: FileSummary,
    /// Its owner and its permission bits.
    pub rights: (u32, u32),
    /// Identity, size and time of its signature file, if there is one.
    pub signature: Option<FileSummary>,
}

/// The metadata of one file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileSummary {
    /// Its identity within its file system.
    pub identity: u64,
    /// Its size in bytes.
    pub size: u64,
    /// The time of its last change, in nanoseconds since 1970.
    pub changed: u128,
}

/// The result of a scan of the folder.
#[derive(Debug, Default)]
pub struct Listing {
    /// The files that are there.
    pub files: Vec<(PathBuf, FileStamp)>,
    /// Files that may exist but could not be accessed.
    pub unknown: Vec<PathBuf>,
}

impl From<Vec<(PathBuf, FileStamp)>> for Listing {
    fn from(files: Vec<(PathBuf, FileStamp)>) -> Self {
        Self { files, unknown: Vec::new() }
    }
}

/// Remembers the last observation of each file.
pub struct Debouncer {
    /// The time for which a file must stay unchanged before it counts as complete.
    still: Duration,
    known: HashMap<PathBuf, FileStamp>,
    /// Files that are being written, and the time of their last write event.
    writing: HashMap<PathBuf, Instant>,
    moving: HashMap<PathBuf, (FileStamp, Instant)>,
    vanished: HashMap<PathBuf, Instant>,
    /// Files that could not be accessed at the last scan: they are reported once they can be.
    unknown: HashSet<PathBuf>,
    /// The folder itself could not be read at the last scan.
    is_unreadable: bool,
    ready: Vec<FileChange>,
}

impl Debouncer {
    /// Makes a debouncer that has seen nothing yet.
    #[must_use]
    pub fn new(still: Duration) -> Self {
        Self {
            still,
            known: HashMap::new(),
            writing: HashMap::new(),
            moving: HashMap::new(),
            vanished: HashMap::new(),
            unknown: HashSet::new(),
            is_unreadable: false,
            ready: Vec::new(),
        }
    }

    /// Notes an event.
    pub fn note(&mut self, fs_event: FsEvent, now: Instant) {
        match fs_event {
            FsEvent::Created(path) => {
                self.vanished.remove(&path);
            }
            FsEvent::Writing(path) => {
                self.vanished.remove(&path);
                self.moving.remove(&path);
                self.ready.retain(|change| *change != FileChange::Ready(path.clone()));
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

    /// Notes a scan of the folder.
    pub fn scan(&mut self, listing: impl Into<Listing>, now: Instant) {
        let Listing { files, unknown } = listing.into();
        self.is_unreadable = false;
        let there: HashSet<&Path> =
            files.iter().map(|(path, _)| path).chain(&unknown).map(PathBuf::as_path).collect();
        let seen = self.known.keys().chain(self.moving.keys());
        for path in seen.filter(|path| !there.contains(path.as_path())) {
            self.vanished.entry(path.clone()).or_insert(now);
        }
        self.moving.retain(|path, _| there.contains(path.as_path()));
        self.unknown.retain(|path| there.contains(path.as_path()));
        self.suspend(&unknown, now);
        self.writing.retain(|_, since| now.saturating_duration_since(*since) < SILENT);
        for (path, stamp) in files {
            // An empty library is about to be written; a configuration may be empty.
            let begun = stamp.file.size == 0 && plugin_of(&path).is_none();
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
                        self.ready.push(FileChange::Ready(path));
                    }
                }
                _ => {
                    self.moving.insert(path, (stamp, now));
                }
            }
        }
    }

    /// Notes that the folder could not be read: the state of its files is unknown until a scan
    /// succeeds.
    pub fn scan_failed(&mut self, now: Instant) {
        self.is_unreadable = true;
        let files: Vec<_> = self.known.keys().chain(self.moving.keys()).cloned().collect();
        self.suspend(&files, now);
        self.writing.values_mut().for_each(|since| *since = now);
        self.vanished.values_mut().for_each(|since| *since = now);
    }

    /// Suspends these files until a scan can access them again.
    fn suspend(&mut self, files: &[PathBuf], now: Instant) {
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

    /// Returns the changes that have settled by `now`.
    pub fn due(&mut self, now: Instant) -> Vec<FileChange> {
        let gone: Vec<PathBuf> = self
            .vanished
            .iter()
            .filter(|(_, since)| {
                !self.is_unreadable && now.saturating_duration_since(**since) >= GONE
            })
            .map(|(path, _)| path.clone())
            .collect();
        for path in gone {
            self.vanished.remove(&path);
            self.known.remove(&path);
            self.ready.push(FileChange::Gone(path));
        }
        std::mem::take(&mut self.ready)
    }

    /// Returns the time at which a change may settle next; `None` if no change is pending.
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        let gone =
            self.vanished.values().filter(|_| !self.is_unreadable).map(|since| *since + GONE);
        gone.chain(self.next_scan()).min()
    }

    /// Returns the time at which a scan may find that a file has settled; `None` if no file needs
    /// one.
    #[must_use]
    pub fn next_scan(&self) -> Option<Instant> {
        let still = self.moving.values().map(|(_, since)| *since + self.still);
        let silent = self.writing.values().map(|since| *since + SILENT);
        still.chain(silent).min()
    }

    fn complete(&mut self, path: PathBuf) {
        self.vanished.remove(&path);
        self.moving.remove(&path);
        let change = FileChange::Ready(path);
        if !self.ready.contains(&change) {
            self.ready.push(change);
        }
    }
}

#[cfg(test)]
#[path = "debounce_tests.rs"]
mod tests;
