//! Writes one state to the disk.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use platform::durable::{self, DRAFT, Disk, Draft};

use super::{
    file::{self, Form, HEADER},
    saves::{Saves, Stage},
};

/// The number of bytes that are written between two checks of `abandoned`.
const PIECE: usize = 4 << 20;

/// The limit for retrying to replace a file that another program has open (Windows).
const HELD: Duration = Duration::from_secs(10);

/// The limit for retrying to keep the file before it.
const HELD_BEFORE: Duration = Duration::from_secs(1);

/// The folder of the states, and what its writers share.
#[derive(Clone)]
pub(super) struct StateFolder {
    pub(super) path: PathBuf,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) saves: Arc<Saves>,
    /// The plugins whose file a thread writes, also one that the host has given up.
    pub(super) writing: Arc<Mutex<BTreeSet<String>>>,
}

/// A state that is being written.
pub struct Writing {
    folder: StateFolder,
    plugin: String,
    /// Retries end at this time if another program has the file open.
    held: Instant,
    /// The limit for retries if another program has the file before it open.
    before_held: Duration,
    /// True if nobody waits for the result, so that it must not be put in place.
    abandoned: AtomicBool,
}

impl Writing {
    /// Makes the writer of a state. The plugin must be in the list of written ones; it is removed
    /// when this drops.
    pub(super) fn new(folder: StateFolder, plugin: &str, time: Duration) -> Self {
        Self {
            folder,
            plugin: plugin.to_owned(),
            // Half of the time, so that some is left for another name.
            held: Instant::now() + HELD.min(time / 2),
            before_held: HELD_BEFORE.min(time / 4),
            abandoned: AtomicBool::new(false),
        }
    }

    /// Makes the write end without putting anything in place.
    pub(super) fn abandon(&self) {
        self.abandoned.store(true, Ordering::SeqCst);
    }

    /// Writes the state that `fill` passes on, keeps the file before and puts the new one in place.
    /// `fill` returns the number of the first record of the journal that the state does not
    /// contain. Returns that, and the length of the state.
    pub(super) fn write(
        &self,
        form: Form,
        total: u64,
        fill: &mut dyn FnMut(&mut Content<'_, '_>) -> io::Result<u64>,
    ) -> io::Result<(u64, u64)> {
        durable::make_folder(&*self.folder.disk, &self.folder.path)?;
        let file = self.file("state");
        let mut draft = Draft::create(&*self.folder.disk, self.file(DRAFT), self.held)?;
        draft.write(&[0; HEADER])?;
        let hasher = blake3::Hasher::new();
        let mut content = Content { writing: self, draft: &mut draft, hasher, length: 0, total };
        let record = fill(&mut content)?;
        let Content { hasher, length, .. } = content;
        draft.replace_start(&file::header(hasher, length, record, form))?;
        self.folder.saves.advance(&self.plugin, Stage::Flush);
        // The name must not reach the disk before the content.
        draft.flush()?;
        self.check_wanted()?;
        if let Err(error) = self.rotate(&file) {
            let (file, before) = (file.display(), self.file("state.1"));
            log::warn!("cannot keep {file} as {}: {error}", before.display());
        }
        self.check_wanted()?;
        let new = self.file("state.new");
        let Err(error) = draft.place(&file, self.held) else {
            // It is older than the file in place. If it cannot be removed, this state is kept all
            // the same.
            if let Err(error) = durable::remove(&new) {
                log::warn!("cannot remove {}, which is out of date: {error}", new.display());
            }
            return Ok((record, length));
        };
        // The draft is complete, and the only copy of this state.
        if !draft.is_placed() && draft.place(&new, self.held).is_ok() {
            let message = format!("{error}; the state is in {}, move it there", new.display());
            return Err(io::Error::new(error.kind(), message));
        }
        Err(error)
    }

    /// Keeps the file that is about to be replaced, as a link. The file keeps its name all the
    /// time, so that a crash at any moment leaves a state under it.
    fn rotate(&self, file: &Path) -> io::Result<()> {
        if !file.try_exists()? {
            return Ok(());
        }
        let (before, link) = (self.file("state.1"), self.file("state.1.draft"));
        durable::remove(&link)?;
        if self.folder.disk.link(file, &link).is_err() {
            // Some file systems have no hard links.
            fs::copy(file, &link)?;
        }
        let deadline = Instant::now() + self.before_held;
        let renamed = platform::retry_while_in_use_until(deadline, || {
            self.folder.disk.rename(&link, &before)
        });
        // If both are the same file already, renaming does nothing.
        durable::remove(&link)?;
        renamed
    }

    fn check_wanted(&self) -> io::Result<()> {
        if self.abandoned.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(())
    }

    fn file(&self, ending: &str) -> PathBuf {
        file_in(&self.folder.path, &self.plugin, ending)
    }
}

/// The content of a state that is being written.
pub struct Content<'a, 'b> {
    writing: &'a Writing,
    draft: &'a mut Draft<'b>,
    hasher: blake3::Hasher,
    length: u64,
    /// The expected length, in bytes; 0 if it is not known.
    total: u64,
}

impl Content<'_, '_> {
    /// Appends bytes of the plugin.
    ///
    /// # Errors
    /// The disk is full or fails, or nobody waits for the state any more.
    pub fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        for piece in bytes.chunks(PIECE) {
            self.writing.check_wanted()?;
            self.draft.write(piece)?;
            self.hasher.update(piece);
            self.length += piece.len() as u64;
            let stage = Stage::Write(self.length, self.total.max(self.length));
            self.writing.folder.saves.advance(&self.writing.plugin, stage);
        }
        Ok(())
    }

    /// Appends a piece of commands.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub fn put_commands(&mut self, time: u64, commands: &[u8]) -> io::Result<()> {
        self.put(&file::piece_head(time, commands))?;
        self.put(commands)
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        lock(&self.folder.writing).remove(&self.plugin);
    }
}

/// Locks the list of plugins whose file is being written.
pub(super) fn lock(all: &Mutex<BTreeSet<String>>) -> MutexGuard<'_, BTreeSet<String>> {
    all.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the path of a plugin's file with this extension.
pub(super) fn file_in(folder: &Path, plugin: &str, ending: &str) -> PathBuf {
    folder.join(format!("{plugin}.{ending}"))
}
