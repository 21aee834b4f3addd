//! Keeps saved state on disk: one file for each plugin, replaced as a whole, and the file before
//! it.
//!
//! In the folder, for a plugin NAME (which has no dot, so that no file can be another plugin's):
//!
//! | file | what |
//! | --- | --- |
//! | `NAME.state` | the state that was saved last, see [`mod@file`] |
//! | `NAME.state.1` | the one before it |
//! | `NAME.state.new` | a complete state, since another program had `NAME.state` open |
//! | `NAME.draft` | being written |
//! | `NAME.journal.NUMBER` | a segment of its journal, see [`journal`] |

use std::{
    fs::{self, File},
    io::{self, BufReader},
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use journal::SyncPolicy;

use platform::durable::{self, DRAFT, Disk, RealDisk};

use super::{
    file::{self, Form, Saved, TakePiece, Unusable},
    saves::{Saves, Stage},
    write::{Content, StateFolder, Writing, file_in, lock},
};
use crate::live::deadline::{self, Deadline, SLICE, TimedOut};

/// Returns the time by which restoring a state of this many bytes, or writing it to the disk, may
/// take longer.
pub fn restore_time(bytes: u64) -> Duration {
    /// Slow, for a busy machine.
    const BYTES_PER_SECOND: u64 = 8 << 20;
    Duration::from_secs(bytes / BYTES_PER_SECOND)
}

/// The time for which a write that nobody waits for is retried.
const UNHURRIED: Duration = Duration::from_secs(60);

/// The store of saved states.
pub struct States {
    folder: StateFolder,
}

/// The reason for which a saved state cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}", explain(file, before.as_deref(), source))]
pub struct LoadError {
    file: PathBuf,
    before: Option<PathBuf>,
    source: Unusable,
}

impl States {
    /// Opens the store in this folder, which is made on first use. Removes drafts that a crash has
    /// left there.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self::on(Arc::new(RealDisk), folder)
    }

    fn on(disk: Arc<dyn Disk>, folder: PathBuf) -> Self {
        let (saves, writing) = (Arc::default(), Arc::default());
        let states = Self { folder: StateFolder { path: folder, disk, saves, writing } };
        states.remove_drafts();
        states
    }

    /// Returns the progress of saving each state.
    pub fn saves(&self) -> &Arc<Saves> {
        &self.folder.saves
    }

    /// Reads the state that was kept last; `None` if there is none. Passes each piece of commands to
    /// `take`.
    ///
    /// # Errors
    /// The file cannot be read, or is damaged, or `take` returns an error.
    pub fn load(&self, plugin: &str, take: &mut TakePiece<'_>) -> Result<Option<Saved>, LoadError> {
        let (file, before) = (self.file(plugin), self.file_before(plugin));
        let has_before = before.exists();
        let failed = |source| {
            let before = has_before.then(|| before.clone());
            LoadError { file: file.clone(), before, source }
        };
        let new = file_in(&self.folder.path, plugin, "state.new");
        if new.exists() {
            let (new, file) = (new.display(), file.display());
            log::warn!("plugin {plugin}: {new} was saved after {file}; move it there to use it");
        }
        Self::read(&file, has_before, take).map_err(failed)
    }

    /// Reads the state in a file; `None` if there is no file. `has_before` says that there is a file
    /// of the state before it.
    pub(super) fn read(
        file: &Path,
        has_before: bool,
        take: &mut TakePiece<'_>,
    ) -> Result<Option<Saved>, Unusable> {
        let opened = match File::open(file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(Unusable::Io)?,
        };
        let length = opened.metadata().map_err(Unusable::Io)?.len();
        // A host that has kept the file before it has also written a header.
        if length == 0 && has_before {
            return Err(Unusable::Damaged("it is empty"));
        }
        let opened = BufReader::with_capacity(1 << 20, opened);
        file::read(opened, length, take).map(Some)
    }

    /// Returns the folder of the states and the journals.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder.path
    }

    /// Returns the place and the promise of a plugin's journal.
    #[must_use]
    pub fn journal_options(&self, plugin: &str, sync: SyncPolicy) -> journal::Options {
        let (folder, disk) = (self.folder.path.clone(), Arc::clone(&self.folder.disk));
        journal::Options { folder, name: plugin.to_owned(), sync, disk }
    }

    /// Keeps a state, within a deadline. A crash at any moment leaves either this state or the one
    /// before. Retries while another program has the file open. `record` is the first record of the
    /// journal that the state does not contain.
    ///
    /// # Errors
    /// The disk is full, fails or does not answer; the state before is still there. The message
    /// names the file.
    pub fn keep(
        &self,
        plugin: &str,
        (state, record): (Vec<u8>, u64),
        deadline: &Deadline<'_>,
    ) -> Result<(), String> {
        self.folder.saves.note(plugin, Stage::Write(0, state.len() as u64));
        let kept = self.write(plugin, (state, record), deadline);
        self.folder.saves.done(plugin);
        kept.map_err(|error| format!("cannot write {}: {error}", self.file(plugin).display()))
    }

    /// Keeps a state that `fill` passes on as commands. `fill` returns the number of the first
    /// record of the journal that the state does not contain. Returns that, and the length of the
    /// state in bytes. The disk may take any time.
    ///
    /// # Errors
    /// As [`keep`](Self::keep), and those of `fill`.
    pub fn keep_commands(
        &self,
        plugin: &str,
        fill: &mut dyn FnMut(&mut Content<'_, '_>) -> io::Result<u64>,
    ) -> Result<(u64, u64), String> {
        self.folder.saves.note(plugin, Stage::Write(0, 0));
        let deadline = Deadline { time: UNHURRIED, give_up: &|| false };
        let begun = self.begin(plugin, &deadline);
        let kept = begun.and_then(|writing| writing.write(Form::Commands, 0, fill));
        self.folder.saves.done(plugin);
        kept.map_err(|error| format!("cannot write {}: {error}", self.file(plugin).display()))
    }

    fn write(
        &self,
        plugin: &str,
        (state, record): (Vec<u8>, u64),
        deadline: &Deadline<'_>,
    ) -> io::Result<()> {
        let writing = Arc::new(self.begin(plugin, deadline)?);
        let worker = Arc::clone(&writing);
        let state = Arc::new(state);
        let write = move |writing: &Writing, state: &[u8]| {
            let total = state.len() as u64;
            let written = writing.write(Form::Bytes, total, &mut |content| {
                content.put(state)?;
                Ok(record)
            });
            written.map(|_| ())
        };
        let kept = Arc::clone(&state);
        match deadline::within(deadline, "write state", move || write(&worker, &kept)) {
            Ok(kept) => kept,
            // Without a deadline rather than not at all.
            Err(TimedOut::NoThread) => write(&writing, &state),
            Err(TimedOut::Failed) => Err(io::Error::other("the thread that wrote it panicked")),
            Err(TimedOut::Expired | TimedOut::GivenUp) => {
                writing.abandon();
                let stage = self.folder.saves.stage(plugin).unwrap_or(Stage::Flush);
                let message = format!("the disk did not write the state in time ({stage})");
                Err(io::Error::new(io::ErrorKind::TimedOut, message))
            }
        }
    }

    /// Returns the size of the state that was kept last, in bytes.
    #[must_use]
    pub fn size(&self, plugin: &str) -> Option<u64> {
        let file = File::open(self.file(plugin)).ok()?;
        let length = file.metadata().ok()?.len();
        let mut start = Vec::new();
        // The magic, and the start of the version.
        let most = file::MAGIC.len() as u64 + 1;
        io::Read::read_to_end(&mut io::Read::take(file, most), &mut start).ok()?;
        Some(file::state_length(&start, length))
    }

    /// Returns the path of a plugin's state.
    pub fn file(&self, plugin: &str) -> PathBuf {
        file_in(&self.folder.path, plugin, "state")
    }

    /// Returns the path of the state before it.
    pub fn file_before(&self, plugin: &str) -> PathBuf {
        file_in(&self.folder.path, plugin, "state.1")
    }

    /// Waits until no other thread writes the plugin's file, and begins to.
    fn begin(&self, plugin: &str, deadline: &Deadline<'_>) -> io::Result<Writing> {
        let expires_at = Instant::now() + deadline.time;
        while !lock(&self.folder.writing).insert(plugin.to_owned()) {
            if Instant::now() >= expires_at || (deadline.give_up)() {
                let message = "an earlier write to it has not returned: the disk does not answer";
                return Err(io::Error::new(io::ErrorKind::TimedOut, message));
            }
            thread::sleep(SLICE);
        }
        Ok(Writing::new(self.folder.clone(), plugin, deadline.time))
    }

    fn remove_drafts(&self) {
        let Ok(entries) = fs::read_dir(&self.folder.path) else { return };
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.extension().is_some_and(|extension| extension == DRAFT)
                && let Err(error) = durable::remove(&path)
            {
                log::warn!("cannot remove {}: {error}", path.display());
            }
        }
    }
}

/// Returns the reason for which a saved state cannot be used, and the remedy.
pub(super) fn explain(file: &Path, before: Option<&Path>, reason: &Unusable) -> String {
    let name = file.file_stem().unwrap_or_default().display();
    let file = file.display();
    if let Unusable::Io(error) = reason {
        return format!("cannot read its saved state {file}: {error}");
    }
    let earlier = before.map_or_else(String::new, |before| {
        let before = before.display();
        format!("move {before}, the state before it, there to go on with that; ")
    });
    format!(
        "its saved state {file} {reason}; nothing was overwritten; {earlier}'host state check \
         {name}' shows what 'host state repair {name}' can do"
    )
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
