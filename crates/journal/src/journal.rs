//! Appends records from many threads, and writes them to the disk for all that wait.
//!
//! A record gets its number and its place when it is appended, under a short lock and in memory
//! alone. A thread that waits for its record becomes the writer, if there is none: it writes, and
//! with [`SyncPolicy::Always`] flushes, all that was appended meanwhile, and wakes the others.

use std::{
    fmt, io,
    path::PathBuf,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

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
    changed: Condvar,
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
    /// True while a thread writes.
    is_taken: bool,
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
        let turn = Turn { is_taken: false, problem: None, failing_since: None, is_ending: false };
        let shared = Arc::new(Shared {
            sync: AtomicU8::new(options.sync as u8),
            options,
            tail: Mutex::new(tail),
            writer: Mutex::new(writer),
            written: AtomicU64::new(found.next),
            flushed: AtomicU64::new(found.next),
            turn: Mutex::new(turn),
            changed: Condvar::new(),
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
        lock(&self.shared.tail).owner = owner;
    }

    /// Appends a record and returns its number; `None` if `owner` is not the journal's. The order
    /// of the calls is the order of the records. It is in memory alone until [`wait`](Self::wait)
    /// returns.
    pub fn append(&self, owner: u64, time: u64, commands: &[u8]) -> Option<u64> {
        let mut tail = lock(&self.shared.tail);
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

    /// Returns the number of the next record.
    #[must_use]
    pub fn next(&self) -> u64 {
        lock(&self.shared.tail).next
    }

    /// Returns true if records cannot be written. Costs one load.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.shared.is_failing.load(Ordering::Acquire)
    }

    /// Returns the reason for which records cannot be written; `None` if they can.
    #[must_use]
    pub fn problem(&self) -> Option<Problem> {
        lock(&self.shared.turn).problem.clone()
    }

    /// Returns the length of the segments that have records from `number` on, in bytes.
    #[must_use]
    pub fn bytes_from(&self, number: u64) -> u64 {
        let earlier = lock(&self.shared.earlier);
        let old = earlier.iter().filter(|(_, end, _)| *end <= number);
        self.bytes().saturating_sub(old.map(|(.., length)| *length).sum())
    }

    /// Returns the length of all segments, in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.shared.bytes.load(Ordering::Relaxed)
    }

    /// Makes the next [`cut`](Self::cut) short: makes the file of the next segment, and flushes the
    /// present one.
    ///
    /// # Errors
    /// The disk is full or fails.
    pub fn prepare_cut(&self) -> Result<(), Problem> {
        {
            let mut writer = lock(&self.shared.writer);
            let prepared = writer.prepare();
            prepared.map_err(|error| explain("make the next file of", &writer, &error, false))?;
        }
        self.flush_unless_lost()
    }

    /// Begins a new segment at `now`, in milliseconds since 1970, and returns the number of its
    /// first record. Nothing may be appended meanwhile.
    ///
    /// # Errors
    /// The disk is full or fails; the present segment goes on.
    pub fn cut(&self, now: u64) -> Result<u64, Problem> {
        self.flush_unless_lost()?;
        let shared = &*self.shared;
        let (mut writer, mut tail) = (lock(&shared.writer), lock(&shared.tail));
        let ended = (writer.number(), tail.next, writer.length());
        let rotated = writer.rotate(tail.next, now);
        rotated.map_err(|error| explain("begin the next file of", &writer, &error, false))?;
        (tail.segment, tail.time) = (writer.number(), now);
        lock(&shared.earlier).push(ended);
        shared.bytes.fetch_add(writer.length(), Ordering::Relaxed);
        Ok(tail.next)
    }

    /// Notes that a snapshot with all records below `number` is on the disk: a journal that had
    /// lost some is sound again.
    pub fn note_snapshot(&self, number: u64) {
        let mut turn = lock(&self.shared.turn);
        if turn.problem.as_ref().is_some_and(|problem| problem.needs_snapshot) {
            self.shared.flushed.fetch_max(number, Ordering::AcqRel);
            self.shared.recover(&mut turn);
        }
    }

    /// Removes the segments that have only records below `number`. Best effort: those that cannot
    /// be removed are removed later.
    pub fn remove_before(&self, number: u64) {
        let shared = &*self.shared;
        let mut earlier = lock(&shared.earlier);
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
            Some(problem) if problem.needs_snapshot => self.shared.write_lost(),
            _ => self.shared.wait(last, true),
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        lock(&self.shared.turn).is_ending = true;
        self.shared.changed.notify_all();
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
        let reached = if flushed { &self.flushed } else { &self.written };
        if reached.load(Ordering::Acquire) > number {
            return Ok(());
        }
        let mut turn = lock(&self.turn);
        loop {
            if reached.load(Ordering::Acquire) > number {
                return Ok(());
            }
            if turn.is_taken {
                turn = self.changed.wait(turn).unwrap_or_else(PoisonError::into_inner);
                // The writer's failure is everybody's: the record was among those it took, or would
                // have been.
                if let Some(problem) = &turn.problem
                    && reached.load(Ordering::Acquire) <= number
                {
                    return Err(problem.clone());
                }
                continue;
            }
            if let Some(problem) = turn.problem.clone().filter(|problem| problem.needs_snapshot) {
                return Err(problem);
            }
            turn = self.take_turn(turn, flushed);
            if let Some(problem) = &turn.problem {
                return Err(problem.clone());
            }
        }
    }

    /// Writes all that was appended, and flushes it if asked to.
    fn take_turn<'a>(
        &'a self,
        mut turn: MutexGuard<'a, Turn>,
        flush: bool,
    ) -> MutexGuard<'a, Turn> {
        turn.is_taken = true;
        drop(turn);
        let done = self.write(flush);
        let mut turn = lock(&self.turn);
        turn.is_taken = false;
        match done {
            Ok(()) => self.recover(&mut turn),
            Err(problem) => self.fail(&mut turn, problem),
        }
        self.changed.notify_all();
        turn
    }

    fn write(&self, flush: bool) -> Result<(), Problem> {
        let mut writer = lock(&self.writer);
        {
            let mut tail = lock(&self.tail);
            if writer.unwritten.is_empty() {
                std::mem::swap(&mut writer.unwritten, &mut tail.bytes);
            } else {
                writer.unwritten.append(&mut tail.bytes);
            }
            writer.unwritten_end = tail.next;
        }
        let before = writer.length();
        let written = writer.write();
        written.map_err(|error| explain("write", &writer, &error, false))?;
        let end = writer.unwritten_end;
        self.bytes.fetch_add(writer.length() - before, Ordering::Relaxed);
        self.written.store(end, Ordering::Release);
        if flush && self.flushed.load(Ordering::Acquire) < end {
            // The system may have dropped what it could not flush: a second try proves nothing.
            writer.flush().map_err(|error| explain("flush", &writer, &error, true))?;
            self.flushed.fetch_max(end, Ordering::AcqRel);
        }
        Ok(())
    }

    /// Writes all records although some before them may be lost: a snapshot is about to replace
    /// them all.
    fn write_lost(&self) -> Result<(), Problem> {
        let mut turn = lock(&self.turn);
        while turn.is_taken {
            turn = self.changed.wait(turn).unwrap_or_else(PoisonError::into_inner);
        }
        turn.is_taken = true;
        drop(turn);
        let done = self.write(false);
        lock(&self.turn).is_taken = false;
        self.changed.notify_all();
        done
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
        if turn.problem.take().is_some() {
            let seconds = turn.failing_since.take().map_or(0, |since| since.elapsed().as_secs());
            let name = &self.options.name;
            log::info!("plugin {name}: its journal is written again, after {seconds} s");
            self.is_failing.store(false, Ordering::Release);
        }
    }

    /// Flushes once a second, and tries again what has failed.
    fn run(&self) {
        let mut turn = lock(&self.turn);
        loop {
            let waited = self.changed.wait_timeout_while(turn, INTERVAL, |turn| !turn.is_ending);
            turn = waited.unwrap_or_else(PoisonError::into_inner).0;
            if turn.is_ending {
                return;
            }
            match &turn.problem {
                Some(problem) if problem.needs_snapshot => {}
                Some(_) if !turn.is_taken => turn = self.take_turn(turn, false),
                Some(_) => {}
                None if self.sync() == SyncPolicy::Everysec => {
                    drop(turn);
                    let flushed = self.flush_beside_writes();
                    turn = lock(&self.turn);
                    if let Err(problem) = flushed {
                        self.fail(&mut turn, problem);
                    }
                }
                None => {}
            }
        }
    }

    /// Flushes what was written, while others write on.
    fn flush_beside_writes(&self) -> Result<(), Problem> {
        let written = self.written.load(Ordering::Acquire);
        if self.flushed.load(Ordering::Acquire) >= written {
            return Ok(());
        }
        let handle = lock(&self.writer).handle();
        let flushed = handle.and_then(|file| self.options.disk.flush_data(&file));
        flushed.map_err(|error| explain("flush", &lock(&self.writer), &error, true))?;
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
    let file = writer.path().display();
    Problem { text: format!("cannot {operation} its journal {file}: {error}"), needs_snapshot }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "journal_tests.rs"]
mod tests;
