//! Appends records from many threads, and writes them to the disk for all that wait.
//!
//! A record gets its number and its place when it is appended, under a short lock and in memory
//! alone. A thread that waits for its record to be written writes all that was appended so far. One
//! that waits for a flush does so for all, if nobody does; those whose records come too late for it
//! wait for the next flush, which one of them makes.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};
use platform::durable::{self, Disk};

use crate::{
    folder::{self, Found},
    frame,
    segment::{self, Header},
    sync_policy::SyncPolicy,
    writer::Writer,
};

/// The interval at which a journal is flushed with [`SyncPolicy::Everysec`], and at which one that has
/// failed is tried again.
const INTERVAL: Duration = Duration::from_secs(1);

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

struct Shared {
    options: Options,
    /// A [`SyncPolicy`], as its number.
    sync: AtomicU8,
    tail: Mutex<Tail>,
    writer: Mutex<Writer>,
    /// All records below are in the file.
    written: AtomicU64,
    /// All records below are on the disk.
    flushed: AtomicU64,
    turn: Mutex<Turn>,
    /// Wakes those whose records the present flush covers, and those that the next one will cover;
    /// [`Turn::epoch`] tells which is which.
    flushes: [Condvar; 2],
    /// Wakes the journal's own thread.
    ending: Condvar,
    /// True while `Turn::problem` is set; read without a lock.
    is_failing: AtomicBool,
    /// Bytes of all segments that are needed.
    bytes: AtomicU64,
    /// The segments before the present one, in order: number, end and length.
    earlier: Mutex<Vec<(u32, u64, u64)>>,
}

/// The records that no writer has taken yet.
struct Tail {
    owner: u64,
    bytes: Vec<u8>,
    /// The number of the next record.
    next: u64,
    segment: u32,
    /// The time of the record before.
    time: u64,
    payload: Vec<u8>,
}

struct Turn {
    /// True while a thread flushes.
    is_taken: bool,
    /// All records below are covered by that flush.
    covered: u64,
    /// The index in [`Shared::flushes`] of those that it covers.
    epoch: usize,
    problem: Option<Problem>,
    failing_since: Option<Instant>,
    is_ending: bool,
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
        let number = found.segments.last().map_or(1, |(number, ..)| number + 1);
        let header = Header { number, first: found.next, begun: now };
        let place = (Arc::clone(disk), options.folder.clone(), options.name.clone());
        let writer = Writer::begin(place, header)?;
        let tail = Tail {
            owner: 0,
            bytes: Vec::new(),
            next: found.next,
            segment: number,
            time: now,
            payload: Vec::new(),
        };
        let bytes = earlier.iter().map(|(.., length)| *length).sum::<u64>() + writer.length();
        let turn = Turn {
            is_taken: false,
            covered: 0,
            epoch: 0,
            problem: None,
            failing_since: None,
            is_ending: false,
        };
        let shared = Arc::new(Shared {
            sync: AtomicU8::new(options.sync as u8),
            options,
            tail: Mutex::new(tail),
            writer: Mutex::new(writer),
            written: AtomicU64::new(found.next),
            flushed: AtomicU64::new(found.next),
            turn: Mutex::new(turn),
            flushes: [Condvar::new(), Condvar::new()],
            ending: Condvar::new(),
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
        let Tail { bytes, next, segment, time: before, payload, .. } = &mut *tail;
        segment::write_payload(payload, *before, time, commands);
        frame::write(bytes, *segment, payload);
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
        self.shared.wait(number, self.shared.sync() == SyncPolicy::Always)
    }

    /// Writes and flushes all records that were appended before.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub fn flush(&self) -> Result<(), Problem> {
        let Some(last) = self.next().checked_sub(1) else { return Ok(()) };
        self.shared.wait(last, true)
    }

    /// Writes all records that were appended before, so that they can be read.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub fn write_out(&self) -> Result<(), Problem> {
        self.shared.write(&mut self.shared.writer.lock())
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
        self.flush_unless_lost()
    }

    /// Begins a new segment at `now`, in milliseconds since 1970, and returns the number of its
    /// first record. Nothing may be appended meanwhile. Changes nothing once `is_given_up` returns
    /// true: others may append again then.
    ///
    /// # Errors
    /// The disk is full or fails, or it was given up; the present segment goes on.
    pub fn cut(&self, now: u64, is_given_up: &dyn Fn() -> bool) -> Result<u64, Problem> {
        self.flush_unless_lost()?;
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
        rotated.map_err(|error| explain("begin the next file of", &writer, &error, false))?;
        (tail.segment, tail.time) = (writer.number(), now);
        shared.earlier.lock().push(ended);
        shared.bytes.fetch_add(writer.length(), Ordering::Relaxed);
        Ok(tail.next)
    }

    /// Notes that a snapshot with all records below `number` is on the disk: a journal that had
    /// lost some is sound again.
    pub fn note_snapshot(&self, number: u64) {
        let mut turn = self.shared.turn.lock();
        if turn.problem.as_ref().is_some_and(|problem| problem.needs_snapshot) {
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

    /// Flushes all records; or only writes them, if some are lost and a snapshot is to replace
    /// them.
    fn flush_unless_lost(&self) -> Result<(), Problem> {
        let Some(last) = self.next().checked_sub(1) else { return Ok(()) };
        match self.problem() {
            Some(problem) if problem.needs_snapshot => {
                self.shared.write(&mut self.shared.writer.lock())
            }
            _ => self.shared.wait(last, true),
        }
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

impl Shared {
    fn sync(&self) -> SyncPolicy {
        match self.sync.load(Ordering::Relaxed) {
            0 => SyncPolicy::Always,
            1 => SyncPolicy::Everysec,
            _ => SyncPolicy::Never,
        }
    }

    fn wait(&self, number: u64, flushed: bool) -> Result<(), Problem> {
        if flushed { self.wait_for_flush(number) } else { self.wait_for_write(number) }
    }

    /// Waits until a record is in the file.
    fn wait_for_write(&self, number: u64) -> Result<(), Problem> {
        let is_there = || self.written.load(Ordering::Acquire) > number;
        if is_there() {
            return Ok(());
        }
        let mut writer = self.writer.lock();
        // The thread before this one may have written it.
        if is_there() {
            return Ok(());
        }
        self.check_loss()?;
        let written = self.write(&mut writer);
        drop(writer);
        self.note(written)
    }

    /// Waits until a record is on the disk.
    fn wait_for_flush(&self, number: u64) -> Result<(), Problem> {
        let is_there = || self.flushed.load(Ordering::Acquire) > number;
        if is_there() {
            return Ok(());
        }
        let mut turn = self.turn.lock();
        loop {
            if is_there() {
                if !turn.is_taken {
                    // It was woken to flush for those that wait with it: another one does.
                    self.flushes[turn.epoch].notify_one();
                }
                return Ok(());
            }
            if !turn.is_taken {
                break;
            }
            let slot = if number < turn.covered { turn.epoch } else { turn.epoch ^ 1 };
            self.flushes[slot].wait(&mut turn);
            // The failure of the thread that flushes is everybody's.
            if let Some(problem) = turn.problem.clone().filter(|_| !is_there()) {
                return Err(problem);
            }
        }
        if let Some(problem) = turn.problem.clone().filter(|problem| problem.needs_snapshot) {
            return Err(problem);
        }
        (turn.is_taken, turn.covered) = (true, self.tail.lock().next);
        drop(turn);
        let done = self.flush();
        let mut turn = self.turn.lock();
        turn.is_taken = false;
        let (covered, next) = (turn.epoch, turn.epoch ^ 1);
        turn.epoch = next;
        match &done {
            Ok(()) => {
                self.recover(&mut turn);
                self.flushes[covered].notify_all();
                // It flushes for the others that wait with it.
                self.flushes[next].notify_one();
            }
            Err(problem) => {
                self.fail(&mut turn, problem.clone());
                self.flushes.iter().for_each(|waiting| {
                    waiting.notify_all();
                });
            }
        }
        done
    }

    fn flush(&self) -> Result<(), Problem> {
        let mut writer = self.writer.lock();
        self.write(&mut writer)?;
        let end = self.written.load(Ordering::Acquire);
        if self.flushed.load(Ordering::Acquire) < end {
            // The system may have dropped what it could not flush: a second try proves nothing.
            writer.flush().map_err(|error| explain("flush", &writer, &error, true))?;
            self.flushed.fetch_max(end, Ordering::AcqRel);
        }
        Ok(())
    }

    /// Writes all that was appended.
    fn write(&self, writer: &mut Writer) -> Result<(), Problem> {
        {
            let mut tail = self.tail.lock();
            if writer.unwritten.is_empty() {
                std::mem::swap(&mut writer.unwritten, &mut tail.bytes);
            } else {
                writer.unwritten.append(&mut tail.bytes);
            }
            writer.unwritten_end = tail.next;
        }
        let before = writer.length();
        let written = writer.write();
        written.map_err(|error| explain("write", writer, &error, false))?;
        self.bytes.fetch_add(writer.length() - before, Ordering::Relaxed);
        self.written.store(writer.unwritten_end, Ordering::Release);
        Ok(())
    }

    /// Returns the problem if written records may be lost.
    fn check_loss(&self) -> Result<(), Problem> {
        if !self.is_failing.load(Ordering::Acquire) {
            return Ok(());
        }
        match self.turn.lock().problem.clone() {
            Some(problem) if problem.needs_snapshot => Err(problem),
            _ => Ok(()),
        }
    }

    /// Notes the result of a write.
    fn note(&self, written: Result<(), Problem>) -> Result<(), Problem> {
        match &written {
            Ok(()) if !self.is_failing.load(Ordering::Acquire) => {}
            Ok(()) => self.recover(&mut self.turn.lock()),
            Err(problem) => self.fail(&mut self.turn.lock(), problem.clone()),
        }
        written
    }

    fn fail(&self, turn: &mut Turn, problem: Problem) {
        if turn.problem.is_none() {
            let name = &self.options.name;
            log::error!(
                "plugin {name}: {problem}; commands that write are refused until it can be written"
            );
            turn.failing_since = Some(Instant::now());
        }
        let needs_snapshot = turn.problem.as_ref().is_some_and(|before| before.needs_snapshot);
        turn.problem =
            Some(Problem { needs_snapshot: problem.needs_snapshot || needs_snapshot, ..problem });
        self.is_failing.store(true, Ordering::Release);
    }

    fn recover(&self, turn: &mut Turn) {
        let is_sound = |problem: &Problem| !problem.needs_snapshot;
        if turn.problem.as_ref().is_some_and(is_sound) {
            turn.problem = None;
            let seconds = turn.failing_since.take().map_or(0, |since| since.elapsed().as_secs());
            let name = &self.options.name;
            log::info!("plugin {name}: its journal is written again, after {seconds} s");
            self.is_failing.store(false, Ordering::Release);
        }
    }

    /// Flushes once a second, and tries again what has failed.
    fn run(&self) {
        loop {
            let problem = {
                let mut turn = self.turn.lock();
                if !turn.is_ending {
                    self.ending.wait_for(&mut turn, INTERVAL);
                }
                if turn.is_ending {
                    return;
                }
                turn.problem.clone()
            };
            let done = match problem {
                Some(problem) if problem.needs_snapshot => continue,
                Some(_) => {
                    let written = self.write(&mut self.writer.lock());
                    self.note(written)
                }
                None if self.sync() == SyncPolicy::Everysec => self.flush_beside_writes(),
                None => continue,
            };
            if let Err(problem) = done {
                self.fail(&mut self.turn.lock(), problem);
            }
        }
    }

    /// Flushes what was written, while others write on.
    fn flush_beside_writes(&self) -> Result<(), Problem> {
        let written = self.written.load(Ordering::Acquire);
        if self.flushed.load(Ordering::Acquire) >= written {
            return Ok(());
        }
        let (handle, fail) = {
            let writer = self.writer.lock();
            let fail = |error: io::Error, is_lost| explain("flush", &writer, &error, is_lost);
            // Being short of descriptors loses nothing.
            match writer.handle() {
                Ok(file) => (file, writer.path().clone()),
                Err(error) => return Err(fail(error, false)),
            }
        };
        let flushed = self.options.disk.flush_data(&handle);
        flushed.map_err(|error| explain_at("flush", &fail, &error, true))?;
        self.flushed.fetch_max(written, Ordering::AcqRel);
        Ok(())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

fn explain(operation: &str, writer: &Writer, error: &io::Error, needs_snapshot: bool) -> Problem {
    explain_at(operation, writer.path(), error, needs_snapshot)
}

fn explain_at(operation: &str, file: &Path, error: &io::Error, needs_snapshot: bool) -> Problem {
    let file = file.display();
    Problem { text: format!("cannot {operation} its journal {file}: {error}"), needs_snapshot }
}

#[cfg(test)]
#[path = "journal_tests.rs"]
mod tests;
