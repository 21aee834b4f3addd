//! Writes the records of many threads to the disk, for all that wait.
//!
//! A record gets its number and its place when it is appended, under a short lock and in memory
//! alone. A thread that waits for its record to be written writes all that was appended so far. One
//! that waits for a flush does so for all, if nobody does; those whose records come too late for it
//! wait for the next flush, which one of them makes.
//!
//! The locks are taken in this order: `writer`, `turn`, `tail`.

use std::{
    io,
    path::Path,
    sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};

use crate::{
    frame::Place,
    journal::{Options, Problem},
    sync_policy::SyncPolicy,
    writer::Writer,
};

/// The interval at which a journal is flushed with [`SyncPolicy::Everysec`], and at which one that
/// has failed is tried again.
const INTERVAL: Duration = Duration::from_secs(1);

/// The parts of a journal that its threads share.
pub(crate) struct Shared {
    pub(crate) options: Options,
    /// A [`SyncPolicy`], as its number.
    pub(crate) sync: AtomicU8,
    pub(crate) tail: Mutex<Tail>,
    pub(crate) writer: Mutex<Writer>,
    /// All records below are in the file.
    pub(crate) written: AtomicU64,
    /// All records below are on the disk.
    pub(crate) flushed: AtomicU64,
    pub(crate) turn: Mutex<Turn>,
    /// Wakes those whose records the present flush covers, and those that the next one will cover;
    /// [`Turn::epoch`] tells which is which.
    pub(crate) flushes: [Condvar; 2],
    /// Wakes the journal's own thread.
    pub(crate) ending: Condvar,
    /// True while `Turn::problem` is set; read without a lock.
    pub(crate) is_failing: AtomicBool,
    /// Bytes of all segments that are needed.
    pub(crate) bytes: AtomicU64,
    /// The segments before the present one, in order: number, end and length.
    pub(crate) earlier: Mutex<Vec<(u32, u64, u64)>>,
}

/// The records that no writer has taken yet.
pub(crate) struct Tail {
    pub(crate) owner: u64,
    pub(crate) bytes: Vec<u8>,
    /// The number of the next record.
    pub(crate) next: u64,
    /// Its place.
    pub(crate) place: Place,
    /// The time of the record before.
    pub(crate) time: u64,
    pub(crate) payload: Vec<u8>,
}

/// The flush that is being made, and the state of the disk.
#[derive(Default)]
pub(crate) struct Turn {
    /// True while a thread flushes.
    pub(crate) is_taken: bool,
    /// All records below are covered by that flush.
    pub(crate) covered: u64,
    /// The index in [`Shared::flushes`] of those that it covers.
    pub(crate) epoch: usize,
    pub(crate) problem: Option<Problem>,
    /// Records below it were there when a flush failed last: they may be lost.
    pub(crate) doubted: u64,
    pub(crate) failing_since: Option<Instant>,
    pub(crate) is_ending: bool,
}

impl Shared {
    pub(crate) fn sync(&self) -> SyncPolicy {
        match self.sync.load(Ordering::Relaxed) {
            0 => SyncPolicy::Always,
            1 => SyncPolicy::Everysec,
            _ => SyncPolicy::Never,
        }
    }

    /// Waits until a record is in the file.
    pub(crate) fn wait_for_write(&self, number: u64) -> Result<(), Problem> {
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
    pub(crate) fn wait_for_flush(&self, number: u64) -> Result<(), Problem> {
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

    pub(crate) fn flush(&self) -> Result<(), Problem> {
        let mut writer = self.writer.lock();
        self.write(&mut writer)?;
        let end = self.written.load(Ordering::Acquire);
        if self.flushed.load(Ordering::Acquire) < end {
            // The system may have dropped what it could not flush: a second try proves nothing.
            writer.flush().map_err(|error| explain("flush", writer.path(), &error, true))?;
            self.flushed.fetch_max(end, Ordering::AcqRel);
        }
        Ok(())
    }

    /// Writes all that was appended.
    pub(crate) fn write_out(&self) -> Result<(), Problem> {
        self.write(&mut self.writer.lock())
    }

    pub(crate) fn write(&self, writer: &mut Writer) -> Result<(), Problem> {
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
        written.map_err(|error| explain("write", writer.path(), &error, false))?;
        self.bytes.fetch_add(writer.length() - before, Ordering::Relaxed);
        self.written.store(writer.unwritten_end, Ordering::Release);
        Ok(())
    }

    /// Returns the problem if written records may be lost.
    pub(crate) fn check_loss(&self) -> Result<(), Problem> {
        if !self.is_failing.load(Ordering::Acquire) {
            return Ok(());
        }
        match self.turn.lock().problem.clone() {
            Some(problem) if problem.needs_snapshot => Err(problem),
            _ => Ok(()),
        }
    }

    /// Notes the result of a write.
    pub(crate) fn note(&self, written: Result<(), Problem>) -> Result<(), Problem> {
        match &written {
            Ok(()) if !self.is_failing.load(Ordering::Acquire) => {}
            Ok(()) => self.recover(&mut self.turn.lock()),
            Err(problem) => self.fail(&mut self.turn.lock(), problem.clone()),
        }
        written
    }

    pub(crate) fn fail(&self, turn: &mut Turn, problem: Problem) {
        if turn.problem.is_none() {
            let name = &self.options.name;
            log::error!(
                "plugin {name}: {problem}; commands that write are refused until it can be written"
            );
            turn.failing_since = Some(Instant::now());
        }
        let needs_snapshot = turn.problem.as_ref().is_some_and(|before| before.needs_snapshot);
        if problem.needs_snapshot {
            turn.doubted = self.tail.lock().next;
        }
        turn.problem =
            Some(Problem { needs_snapshot: problem.needs_snapshot || needs_snapshot, ..problem });
        self.is_failing.store(true, Ordering::Release);
    }

    pub(crate) fn recover(&self, turn: &mut Turn) {
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
    pub(crate) fn run(&self) {
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
            match problem {
                Some(problem) if problem.needs_snapshot => {}
                Some(_) => {
                    // Noted, and tried again.
                    let _ = self.note(self.write_out());
                }
                None if self.sync() == SyncPolicy::Everysec => {
                    if let Err(problem) = self.flush_beside_writes() {
                        self.fail(&mut self.turn.lock(), problem);
                    }
                }
                None => {}
            }
        }
    }

    /// Flushes what was written, while others write on.
    pub(crate) fn flush_beside_writes(&self) -> Result<(), Problem> {
        let written = self.written.load(Ordering::Acquire);
        if self.flushed.load(Ordering::Acquire) >= written {
            return Ok(());
        }
        let (handle, path) = {
            let writer = self.writer.lock();
            (writer.handle(), writer.path().clone())
        };
        let flushed = self.options.disk.flush_data(&handle);
        flushed.map_err(|error| explain("flush", &path, &error, true))?;
        self.flushed.fetch_max(written, Ordering::AcqRel);
        Ok(())
    }
}

/// Makes the problem of an operation on a file.
pub(crate) fn explain(
    operation: &str,
    file: &Path,
    error: &io::Error,
    needs_snapshot: bool,
) -> Problem {
    let file = file.display();
    Problem { text: format!("cannot {operation} its journal {file}: {error}"), needs_snapshot }
}
