//! The journal of one plugin, which is being written: appending, waiting, and cutting.

use std::{
    fmt, io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
};

use parking_lot::Mutex;
use platform::durable::{self, Disk};

use crate::{
    commit::{Shared, Tail, explain},
    folder::{self, Found},
    frame,
    segment::{self, Header},
    sync_policy::SyncPolicy,
    writer::Writer,
};

/// The place and the promise of a journal.
#[derive(Clone)]
pub struct Options {
    /// The folder of its segments.
    pub folder: PathBuf,
    /// Its name, which begins those of its segments.
    pub name: String,
    /// The time at which its records reach the disk.
    pub sync: SyncPolicy,
    /// The disk.
    pub disk: Arc<dyn Disk>,
}

/// The reason for which records cannot be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// A description for people.
    pub text: String,
    /// True if written records may be lost, so that only a new snapshot makes them safe.
    pub needs_snapshot: bool,
}

/// The journal of one plugin, which is being written.
pub struct Journal {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Journal {
    /// Begins a new segment behind those that were found, at `now` in milliseconds since 1970. Cuts
    /// a torn record off.
    ///
    /// # Errors
    /// The disk is full or fails, or the system has no thread.
    pub fn open(options: Options, found: &Found, now: u64) -> io::Result<Self> {
        let disk = &options.disk;
        if let Some(torn) = &found.torn {
            let file = std::fs::File::options().write(true).open(&torn.file)?;
            file.set_len(torn.offset)?;
            disk.flush(&file)?;
        }
        for empty in &found.empty {
            durable::remove(empty)?;
        }
        let mut earlier = Vec::new();
        for (index, (number, first, file)) in found.segments.iter().enumerate() {
            let end = found.segments.get(index + 1).map_or(found.next, |(_, first, _)| *first);
            if end == *first && index + 1 == found.segments.len() {
                // It has no record, and the new one takes its place.
                durable::remove(file)?;
                continue;
            }
            if index + 1 == found.segments.len() {
                // A host that was killed may not have flushed it; another segment follows now.
                disk.flush_data(&std::fs::File::options().write(true).open(file)?)?;
            }
            earlier.push((*number, end, std::fs::metadata(file)?.len()));
        }
        let number = found.last + 1;
        let header = Header { number, first: found.next, begun: now };
        let place = (Arc::clone(disk), options.folder.clone(), options.name.clone());
        let writer = Writer::begin(place, header)?;
        let tail = Tail {
            owner: 0,
            bytes: Vec::new(),
            next: found.next,
            place: header.place(),
            time: now,
            payload: Vec::new(),
        };
        let bytes = earlier.iter().map(|(.., length)| *length).sum::<u64>() + writer.length();
        let shared = Arc::new(Shared {
            sync: AtomicU8::new(options.sync as u8),
            options,
            tail: Mutex::new(tail),
            writer: Mutex::new(writer),
            written: AtomicU64::new(found.next),
            flushed: AtomicU64::new(found.next),
            turn: Mutex::default(),
            flushes: Default::default(),
            ending: Default::default(),
            is_failing: AtomicBool::new(false),
            bytes: AtomicU64::new(bytes),
            earlier: Mutex::new(earlier),
        });
        let background = Arc::clone(&shared);
        let thread =
            thread::Builder::new().name("journal".into()).spawn(move || background.run())?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Changes the time at which records reach the disk, for those that are waited for from now on.
    pub fn set_sync(&self, sync: SyncPolicy) {
        self.shared.sync.store(sync as u8, Ordering::Relaxed);
    }

    /// Returns true if [`wait`](Self::wait) waits for the disk.
    #[must_use]
    pub fn waits_for_disk(&self) -> bool {
        self.shared.sync.load(Ordering::Relaxed) == SyncPolicy::Always as u8
    }

    /// Makes `owner` the only one that may append records.
    pub fn set_owner(&self, owner: u64) {
        self.shared.tail.lock().owner = owner;
    }

    /// Appends a record and returns its number; `None` if `owner` is not the journal's. The order
    /// of the calls is the order of the records. It is in memory alone until [`wait`](Self::wait)
    /// returns.
    pub fn append(&self, owner: u64, time: u64, commands: &[u8]) -> Option<u64> {
        let mut tail = self.shared.tail.lock();
        if tail.owner != owner {
            return None;
        }
        let Tail { bytes, next, place, time: before, payload, .. } = &mut *tail;
        segment::write_payload(payload, *before, time, commands);
        frame::write(bytes, *place, payload);
        *place = place.behind(frame::HEAD + payload.len());
        payload.shrink_to(64 << 10);
        *before = time;
        *next += 1;
        Some(*next - 1)
    }

    /// Waits until a record is as safe as [`Options::sync`] says: written, or flushed as well.
    ///
    /// # Errors
    /// The disk is full or fails. The record is kept in memory, and written once the disk can.
    pub fn wait(&self, number: u64) -> Result<(), Problem> {
        match self.shared.sync() {
            SyncPolicy::Always => self.shared.wait_for_flush(number),
            SyncPolicy::Everysec | SyncPolicy::Never => self.shared.wait_for_write(number),
        }
    }

    /// Writes and flushes all records that were appended before.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub fn flush(&self) -> Result<(), Problem> {
        let Some(last) = self.next().checked_sub(1) else { return Ok(()) };
        self.shared.wait_for_flush(last)
    }

    /// Writes all records that were appended before, so that they can be read.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub fn write_out(&self) -> Result<(), Problem> {
        self.shared.write_out()
    }

    /// Returns the number of the next record.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.shared.tail.lock().next
    }

    /// Returns true if records cannot be written. Costs one load.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.shared.is_failing.load(Ordering::Acquire)
    }

    /// Returns the reason for which records cannot be written; `None` if they can.
    #[must_use]
    pub fn problem(&self) -> Option<Problem> {
        self.shared.turn.lock().problem.clone()
    }

    /// Returns the length of the segments that have records from `number` on, in bytes.
    #[must_use]
    pub fn bytes_from(&self, number: u64) -> u64 {
        let earlier = self.shared.earlier.lock();
        let old = earlier.iter().filter(|(_, end, _)| *end <= number);
        self.bytes().saturating_sub(old.map(|(.., length)| *length).sum())
    }

    /// Returns the length of all segments, in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.shared.bytes.load(Ordering::Relaxed)
    }

    /// Makes the next [`cut`](Self::cut) short: flushes what there is.
    ///
    /// # Errors
    /// The disk is full or fails.
    pub fn prepare_cut(&self) -> Result<(), Problem> {
        let Some(last) = self.next().checked_sub(1) else { return Ok(()) };
        match self.problem() {
            // Some are lost, and a snapshot is to replace them all.
            Some(problem) if problem.needs_snapshot => self.shared.write_out(),
            _ => self.shared.wait_for_flush(last),
        }
    }

    /// Begins a new segment at `now`, in milliseconds since 1970, and returns the number of its
    /// first record. Nothing may be appended meanwhile. Changes nothing once `is_given_up` returns
    /// true: others may append again then.
    ///
    /// # Errors
    /// The disk is full or fails, or it was given up; the present segment goes on.
    pub fn cut(&self, now: u64, is_given_up: &dyn Fn() -> bool) -> Result<u64, Problem> {
        self.prepare_cut()?;
        let shared = &*self.shared;
        let (mut writer, mut tail) = (shared.writer.lock(), shared.tail.lock());
        let unexpected = |what: &str| {
            Err(Problem { text: format!("its journal was not cut: {what}"), needs_snapshot: false })
        };
        if is_given_up() {
            return unexpected("it was given up");
        }
        if !tail.bytes.is_empty() || !writer.unwritten.is_empty() {
            // Its bytes belong to the present segment.
            return unexpected("a record was appended meanwhile");
        }
        let ended = (writer.number(), tail.next, writer.length());
        let rotated = writer.rotate(tail.next, now);
        let explained = |error| explain("begin the next file of", writer.path(), &error, false);
        (tail.place, tail.time) = (rotated.map_err(explained)?, now);
        shared.earlier.lock().push(ended);
        shared.bytes.fetch_add(writer.length(), Ordering::Relaxed);
        Ok(tail.next)
    }

    /// Notes that a snapshot with all records below `number` is on the disk: a journal that had
    /// lost some of them is sound again. One that was begun before the loss changes nothing.
    pub fn note_snapshot(&self, number: u64) {
        let mut turn = self.shared.turn.lock();
        let is_lost = turn.problem.as_ref().is_some_and(|problem| problem.needs_snapshot);
        if is_lost && number >= turn.doubted {
            self.shared.flushed.fetch_max(number, Ordering::AcqRel);
            if let Some(problem) = &mut turn.problem {
                problem.needs_snapshot = false;
            }
            self.shared.recover(&mut turn);
        }
    }

    /// Removes the segments that have only records below `number`. Best effort: those that cannot
    /// be removed are removed later.
    pub fn remove_before(&self, number: u64) {
        let shared = &*self.shared;
        let mut earlier = shared.earlier.lock();
        earlier.retain(|(segment, end, length)| {
            if *end > number {
                return true;
            }
            let path = folder::path_of(&shared.options.folder, &shared.options.name, *segment);
            match durable::remove(&path) {
                Ok(()) => {
                    shared.bytes.fetch_sub(*length, Ordering::Relaxed);
                    false
                }
                Err(error) => {
                    log::debug!("cannot remove {}: {error}", path.display());
                    true
                }
            }
        });
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.shared.turn.lock().is_ending = true;
        self.shared.ending.notify_all();
        if let Some(thread) = self.thread.take() {
            // A panic of it has been logged.
            let _ = thread.join();
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

#[cfg(test)]
#[path = "journal_tests.rs"]
mod tests;
