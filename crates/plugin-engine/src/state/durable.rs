//! The journal and the snapshots of one plugin while it is served.

use std::{
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use journal::{Found, Journal, Problem};

use super::{
    durability::{Durability, Mode},
    store::States,
};
use crate::write::now;

/// The least length at which a journal is cut, in bytes. A longer one is cut once it is as long as
/// the last snapshot, as Redis does by default.
const CUT_FROM: u64 = 64 << 20;

/// The least pause between two snapshots that no operator has asked for.
const PAUSE: Duration = Duration::from_secs(5);

/// The pause before a snapshot that failed is tried again.
const RETRY: Duration = Duration::from_secs(10);

/// The number of no generation.
const NOBODY: u64 = 0;

/// The journal and the snapshots of one plugin while it is served. They outlive a generation: the
/// next one goes on with them.
pub struct Durable {
    name: String,
    /// The mode in force.
    pub mode: Mode,
    settings: Mutex<Durability>,
    journal: Option<Journal>,
    /// The number behind the records that were found; without a journal, there are no more.
    next: u64,
    snapshots: Mutex<Snapshots>,
    /// True while a snapshot is taken.
    is_busy: AtomicBool,
    /// True if the snapshot that is being taken is to be given up.
    is_cancelled: AtomicBool,
    /// The number of calls of the plugin at the last snapshot.
    calls: AtomicU64,
}

/// The snapshots that were taken.
#[derive(Clone, Debug, Default)]
struct Snapshots {
    /// The record that the last one goes up to.
    record: u64,
    /// The time of the last one.
    last: Option<Instant>,
    /// The time for which commands that write had to wait for it.
    paused: Duration,
    /// Its length, in bytes.
    bytes: u64,
    /// The number of snapshots.
    count: u64,
    /// The reason for which the last attempt failed.
    failed: Option<String>,
    tried: Option<Instant>,
    is_wanted: bool,
    /// True if the one that is being taken was wanted; it may not be of what is wanted since.
    was_wanted: bool,
}

/// The way in which a plugin's state is kept, for people and metrics.
#[derive(Clone, Debug, PartialEq)]
pub struct DurabilityStatus {
    /// The mode and, of a journal, the time at which it is flushed, such as `journal everysec`.
    pub mode: String,
    /// The length of the journal's files, in bytes; `None` without a journal.
    pub journal_bytes: Option<u64>,
    /// The number of records in the journal that the last snapshot does not contain.
    pub journal_records: Option<u64>,
    /// The reason for which commands that write are refused; `None` if they are not.
    pub problem: Option<String>,
    /// The time since the last snapshot of this host; `None` before the first.
    pub snapshot_age: Option<Duration>,
    /// The number of snapshots.
    pub snapshots: u64,
    /// The time for which commands that write waited for the last snapshot.
    pub snapshot_paused: Duration,
    /// The reason for which the last attempt of a snapshot failed.
    pub snapshot_problem: Option<String>,
}

/// The result of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The first record that it does not contain.
    pub record: u64,
    /// Its length, in bytes.
    pub bytes: u64,
    /// The time that it took.
    pub took: Duration,
    /// The time for which commands that write had to wait.
    pub paused: Duration,
}

/// The right to take a snapshot; one at a time.
pub struct Busy(Arc<Durable>);

impl Durable {
    /// Opens the place of a plugin whose state was found on the disk up to `found`, with these
    /// settings in force.
    ///
    /// # Errors
    /// The disk is full or fails, or the system has no thread.
    pub fn open(
        name: &str,
        (mode, settings): (Mode, Durability),
        states: &States,
        (snapshot, found): (u64, &Found),
    ) -> io::Result<Self> {
        let has_journal = mode == Mode::Journal;
        let open =
            || Journal::open(states.journal_options(name, settings.journal_sync), found, now());
        let journal = has_journal.then(open).transpose()?;
        let snapshots = Snapshots { record: snapshot, ..Snapshots::default() };
        Ok(Self {
            name: name.to_owned(),
            mode,
            settings: Mutex::new(settings),
            journal,
            next: found.next,
            snapshots: Mutex::new(snapshots),
            is_busy: AtomicBool::new(false),
            is_cancelled: AtomicBool::new(false),
            calls: AtomicU64::new(0),
        })
    }

    /// Returns the settings.
    #[must_use]
    pub fn settings(&self) -> Durability {
        *self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes on with other settings of the same mode, for the generation of this number.
    pub fn change_settings(&self, settings: Durability) {
        *self.settings.lock().unwrap_or_else(PoisonError::into_inner) = settings;
        if let Some(journal) = &self.journal {
            journal.set_sync(settings.journal_sync);
        }
    }

    /// Makes the generation of this number the one whose commands are journaled.
    pub fn set_owner(&self, owner: u64) {
        if let Some(journal) = &self.journal {
            journal.set_owner(owner);
        }
    }

    /// Returns the plugin's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns true if commands that write are journaled.
    #[must_use]
    pub fn has_journal(&self) -> bool {
        self.journal.is_some()
    }

    /// Appends a record for the generation of this number. Returns the record's number, which is 0
    /// without a journal; `None` if another generation serves.
    pub fn append(&self, owner: u64, time: u64, commands: &[u8]) -> Option<u64> {
        let Some(journal) = &self.journal else { return Some(0) };
        journal.append(owner, time, commands)
    }

    /// Waits until a record is as safe as `journal-sync` says.
    ///
    /// # Errors
    /// The disk is full or fails: the text of an error for the client.
    pub fn wait(&self, record: u64) -> Result<(), String> {
        let Some(journal) = &self.journal else { return Ok(()) };
        journal.wait(record).map_err(|problem| {
            let name = &self.name;
            format!(
                "plugin '{name}': {problem}; the command has run, and is kept once the disk can \
                 be written"
            )
        })
    }

    /// Returns true if [`wait`](Self::wait) waits for the disk.
    #[must_use]
    pub fn waits_for_disk(&self) -> bool {
        self.journal.as_ref().is_some_and(Journal::waits_for_disk)
    }

    /// Returns true if the journal cannot be written. Costs one load.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.journal.as_ref().is_some_and(Journal::is_failing)
    }

    /// Returns the reason for which the journal cannot be written, as the text of an error.
    #[must_use]
    pub fn explain_failure(&self) -> String {
        let name = &self.name;
        let problem = self.journal.as_ref().and_then(Journal::problem);
        let problem = problem.map_or_else(String::new, |problem| format!("{problem}; "));
        format!(
            "plugin '{name}': {problem}commands that write are refused until the disk can be \
             written"
        )
    }

    /// Describes it for people and metrics.
    #[must_use]
    pub fn status(&self) -> DurabilityStatus {
        let snapshots = self.lock().clone();
        let journal = self.journal.as_ref();
        let sync = self.settings().journal_sync;
        DurabilityStatus {
            mode: match journal {
                Some(_) => format!("{} {sync}", self.mode),
                None => self.mode.to_string(),
            },
            journal_bytes: journal.map(Journal::bytes),
            journal_records: journal.map(|one| one.next().saturating_sub(snapshots.record)),
            problem: journal.and_then(Journal::problem).map(|problem| problem.text),
            snapshot_age: snapshots.last.map(|last| last.elapsed()),
            snapshots: snapshots.count,
            snapshot_paused: snapshots.paused,
            snapshot_problem: snapshots.failed,
        }
    }

    /// Asks for a snapshot soon: the code that has run the journal's commands is replaced.
    pub fn want_snapshot(&self) {
        self.lock().is_wanted = true;
    }

    /// Returns true if a snapshot is due. `calls` is the number of calls of the plugin.
    #[must_use]
    pub fn is_due(&self, calls: u64, now: Instant) -> bool {
        let snapshots = self.lock();
        let since = |time: Option<Instant>| {
            time.map_or(Duration::MAX, |time| now.saturating_duration_since(time))
        };
        let interval = self.settings().snapshot_interval;
        let pause = match (&self.journal, &snapshots.failed) {
            (Some(_), None) => PAUSE,
            (Some(_), Some(_)) => RETRY,
            (None, None) => interval,
            (None, Some(_)) => RETRY.min(interval),
        };
        if since(snapshots.tried) < pause || self.is_busy.load(Ordering::Acquire) {
            return false;
        }
        match &self.journal {
            Some(journal) => {
                let is_lost = journal.problem().is_some_and(|problem| problem.needs_snapshot);
                let has_new = journal.next() > snapshots.record;
                let is_long = journal.bytes_from(snapshots.record) > CUT_FROM.max(snapshots.bytes);
                is_lost || (has_new && (is_long || snapshots.is_wanted))
            }
            None => {
                self.mode == Mode::Snapshot
                    && !interval.is_zero()
                    && calls != self.calls.load(Ordering::Relaxed)
            }
        }
    }

    /// Returns true if nothing has been written since the last snapshot, and the journal has it all.
    #[must_use]
    pub fn is_unchanged(&self) -> bool {
        let record = self.lock().record;
        self.journal
            .as_ref()
            .is_some_and(|journal| journal.next() == record && !journal.is_failing())
    }

    /// Begins a snapshot; `None` while another one is taken.
    pub fn begin(self: &Arc<Self>) -> Option<Busy> {
        (!self.is_busy.swap(true, Ordering::AcqRel)).then(|| {
            self.is_cancelled.store(false, Ordering::Release);
            let mut snapshots = self.lock();
            snapshots.tried = Some(Instant::now());
            snapshots.was_wanted = std::mem::take(&mut snapshots.is_wanted);
            drop(snapshots);
            Busy(Arc::clone(self))
        })
    }

    /// Gives up the snapshot that is being taken, and waits for its end until `deadline`. Returns
    /// false if it has not ended.
    pub fn cancel(&self, deadline: Instant) -> bool {
        while self.is_busy.load(Ordering::Acquire) {
            self.is_cancelled.store(true, Ordering::Release);
            if Instant::now() >= deadline {
                return false;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        true
    }

    /// Writes all records of the journal into its files, without a flush, so that they can be read.
    ///
    /// # Errors
    /// The disk is full or fails.
    pub fn make_readable(&self) -> Result<(), String> {
        let written = self.journal.as_ref().map_or(Ok(()), Journal::write_out);
        written.map_err(|problem| problem.to_string())
    }

    /// Makes no generation the one whose commands are journaled: a command that is still running
    /// gets an error when it ends.
    pub fn suspend(&self) {
        self.set_owner(NOBODY);
    }

    /// Lets the generation of this number go on after [`suspend`](Self::suspend). A command that
    /// has ended meanwhile has no record: a snapshot takes its place.
    pub fn resume(&self, owner: u64) {
        self.set_owner(owner);
        self.want_snapshot();
    }

    /// Makes the snapshot that is being taken end without a result.
    pub fn give_up(&self) {
        self.is_cancelled.store(true, Ordering::Release);
    }

    /// Writes all records of the journal to the disk, so that they can be read.
    ///
    /// # Errors
    /// The disk is full or fails.
    pub fn write_out(&self) -> Result<(), String> {
        let flushed = self.journal.as_ref().map_or(Ok(()), Journal::flush);
        flushed.map_err(|problem| problem.to_string())
    }

    /// Returns true if the snapshot that is being taken is to be given up.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.is_cancelled.load(Ordering::Acquire)
    }

    /// Makes the next [`cut`](Self::cut) short.
    ///
    /// # Errors
    /// The disk is full or fails.
    pub fn prepare_cut(&self) -> Result<(), Problem> {
        self.journal.as_ref().map_or(Ok(()), Journal::prepare_cut)
    }

    /// Begins a new file of the journal, and returns the number of its first record. No command that
    /// writes may run meanwhile.
    ///
    /// # Errors
    /// The disk is full or fails.
    pub fn cut(&self) -> Result<u64, Problem> {
        self.journal
            .as_ref()
            .map_or(Ok(self.next), |journal| journal.cut(now(), &|| self.is_cancelled()))
    }

    /// Notes a snapshot that is on the disk, and removes the files of the journal that the one
    /// before it began with: a copy of the folder that began before finds them.
    pub fn note_taken(&self, taken: &Taken, calls: u64) {
        let before = {
            let mut snapshots = self.lock();
            let before = snapshots.record;
            snapshots.record = taken.record;
            snapshots.last = Some(Instant::now());
            snapshots.paused = taken.paused;
            snapshots.bytes = taken.bytes;
            snapshots.count += 1;
            (snapshots.failed, snapshots.was_wanted) = (None, false);
            before
        };
        self.calls.store(calls, Ordering::Relaxed);
        if let Some(journal) = &self.journal {
            journal.note_snapshot(taken.record);
            journal.remove_before(before);
        }
    }

    /// Notes a snapshot that has failed. Returns true if the one before it had not.
    pub fn note_failed(&self, problem: &str) -> bool {
        let mut snapshots = self.lock();
        // A journal goes on until the next attempt.
        snapshots.is_wanted = true;
        snapshots.failed.replace(problem.to_owned()).is_none()
    }

    fn lock(&self) -> MutexGuard<'_, Snapshots> {
        self.snapshots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes the files of a journal that a snapshot has replaced.
///
/// # Errors
/// One of them cannot be removed.
pub fn remove_journal(states: &States, plugin: &str) -> io::Result<()> {
    // The last ones first: without the first ones, records would be missing.
    for (_, file) in journal::folder::list(states.folder(), plugin)?.into_iter().rev() {
        platform::durable::remove(&file)?;
    }
    Ok(())
}

impl Drop for Busy {
    fn drop(&mut self) {
        let mut snapshots = self.0.lock();
        snapshots.is_wanted |= std::mem::take(&mut snapshots.was_wanted);
        drop(snapshots);
        self.0.is_busy.store(false, Ordering::Release);
    }
}
