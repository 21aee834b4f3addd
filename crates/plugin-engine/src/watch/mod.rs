//! Watches the plugins folder and reports its changes once they have settled.

pub mod debounce;
pub mod folder_watcher;
pub mod outages;

use std::{
    fs,
    path::{Path, PathBuf},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, Sender, bounded, select};
use notify::{
    Event, EventKind,
    event::{AccessKind, AccessMode, CreateKind, ModifyKind, RemoveKind, RenameMode},
};

use self::{
    debounce::{Debouncer, FileStamp, FsEvent, Listing},
    folder_watcher::{FolderWatcher, is_watched, stamp_of},
};
use super::trust::signature::library_of;
use crate::plugin_control::FileChange;

/// Interval of scans while the system watches the folder. A scan finds changes that cause no event,
/// such as a new target of a symbolic link, or a folder that was made again.
const SCAN: Duration = Duration::from_millis(1000);

/// Interval of scans while the system does not watch the folder.
const POLL: Duration = Duration::from_millis(250);

/// A file or folder got a new name, so its content is complete.
const RENAMED: EventKind = EventKind::Modify(ModifyKind::Name(RenameMode::To));

/// The time for which a file must stay unchanged before it counts as complete, unless an event says
/// so earlier.
const STILL: Duration = Duration::from_millis(500);

/// A thread that watches a folder; it ends when this drops.
pub struct Watch {
    /// Nothing is sent: the receiver sees the disconnect.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// The way in which changes in the plugins folder are noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchMode {
    /// The system reports them; a scan each second finds what it does not report.
    Notify,
    /// Scans alone find them.
    Poll,
}

impl Watch {
    /// Watches `folder`, which may not exist yet, and calls `changed` for each change that has
    /// settled. No change after the return of this function is missed.
    ///
    /// # Errors
    /// The system cannot start a thread.
    pub fn start(
        folder: &Path,
        mode: WatchMode,
        changed: impl FnMut(FileChange) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (stop, stopped) = bounded(0);
        let mut folder_watcher = FolderWatcher::new(folder, mode);
        folder_watcher.follow();
        // Scan before the caller loads anything: a file that is loaded and then removed at once
        // must be known here.
        let mut debouncer = Debouncer::new(STILL);
        scan(&mut debouncer, folder_watcher.scan(), Instant::now());
        folder_watcher.has_other_rights();
        let thread = thread::Builder::new()
            .name("watch".into())
            .spawn(move || run(folder_watcher, debouncer, &stopped, changed))?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop = None;
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            log::error!("the thread that watches the plugins folder panicked");
        }
    }
}

fn run(
    mut folder_watcher: FolderWatcher,
    mut debouncer: Debouncer,
    stopped: &Receiver<()>,
    mut changed: impl FnMut(FileChange),
) {
    let mut next_scan = Instant::now();
    loop {
        let now = Instant::now();
        if now >= next_scan {
            if folder_watcher.follow() {
                // Earlier events belong to another folder, or were lost.
                debouncer.note(FsEvent::Lost, now);
            }
            next_scan = now + if folder_watcher.is_open() { SCAN } else { POLL };
            let seen = folder_watcher.scan();
            if folder_watcher.has_other_rights() {
                // The rights of the folder decide whether its files are trusted, and no file shows
                // that change.
                let touched = |(path, stamp): &(PathBuf, FileStamp)| {
                    FsEvent::Touched(path.clone(), Some(*stamp))
                };
                let files = seen.iter().flat_map(|listing| &listing.files);
                files.map(touched).for_each(|fs_event| debouncer.note(fs_event, now));
            }
            scan(&mut debouncer, seen, now);
        }
        debouncer.due(now).into_iter().for_each(&mut changed);
        // Scan again when a file that must stay unchanged for a while may be complete.
        next_scan = debouncer.next_scan().map_or(next_scan, |due| due.min(next_scan));
        let wait = debouncer.next_due().map_or(next_scan, |due| due.min(next_scan));
        let events = folder_watcher.events();
        select! {
            recv(events) -> event => {
                let now = Instant::now();
                let Ok(event) = event else {
                    folder_watcher.close();
                    next_scan = now;
                    continue;
                };
                for event in std::iter::once(event).chain(events.try_iter()) {
                    if event.as_ref().is_ok_and(|event| folder_watcher.is_end_of_folder(event)) {
                        folder_watcher.close();
                        next_scan = now;
                    }
                    note(&mut debouncer, folder_watcher.folder(), event, now, &mut next_scan);
                }
            }
            recv(stopped) -> _ => return,
            default(wait.saturating_duration_since(Instant::now())) => {}
        }
    }
}

/// Passes a scan on to the debouncer; `None` means that the folder could not be read.
fn scan(debouncer: &mut Debouncer, seen: Option<Listing>, now: Instant) {
    match seen {
        Some(listing) => debouncer.scan(listing, now),
        None => debouncer.scan_failed(now),
    }
}

fn note(
    debouncer: &mut Debouncer,
    folder: &Path,
    event: notify::Result<Event>,
    now: Instant,
    next_scan: &mut Instant,
) {
    match event {
        Ok(event) => {
            if event.need_rescan() {
                debouncer.note(FsEvent::Lost, now);
                *next_scan = now;
            }
            if !cfg!(target_os = "linux") {
                // On other systems an event does not say that a file is complete.
                *next_scan = now.min(*next_scan);
                if !cfg!(windows) || event.kind != RENAMED {
                    return;
                }
            }
            fs_events(&event, folder)
                .into_iter()
                .for_each(|fs_event| debouncer.note(fs_event, now));
            let (gone, new) = (EventKind::Remove(RemoveKind::Folder), CreateKind::File);
            if event.kind == gone || event.kind == EventKind::Create(new) {
                *next_scan = now;
            }
        }
        Err(error) => {
            log::warn!("cannot watch the plugins folder {}: {error}", folder.display());
            debouncer.note(FsEvent::Lost, now);
            *next_scan = now;
        }
    }
}

/// Translates an event into changes of the libraries and configurations in the folder. Linux
/// reports a close after writing, and renames.
fn fs_events(event: &Event, folder: &Path) -> Vec<FsEvent> {
    let fs_event: fn(PathBuf) -> FsEvent = match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) | RENAMED => complete,
        EventKind::Create(CreateKind::File | CreateKind::Any | CreateKind::Other) => appeared,
        EventKind::Modify(ModifyKind::Data(_)) => FsEvent::Writing,
        EventKind::Modify(ModifyKind::Metadata(_)) => touched,
        EventKind::Modify(ModifyKind::Name(RenameMode::From)) | EventKind::Remove(_) => {
            FsEvent::Vanished
        }
        _ => return Vec::new(),
    };
    // Events may name the folder by another path; here each file has one path.
    let here = |path: &Path| Some(folder.join(path.file_name()?));
    let paths = || event.paths.iter().filter_map(|path| here(path));
    let files = paths().filter(|path| is_watched(path)).map(fs_event);
    let signatures = paths().filter_map(|path| library_event(library_of(&path)?, fs_event(path)));
    files.chain(signatures).collect()
}

/// Translates an event of a signature into one of its library, once the signature is complete. A
/// library that is missing stays unaffected, since it may be about to be removed.
fn library_event(library: PathBuf, signature: FsEvent) -> Option<FsEvent> {
    match (signature, touched(library)) {
        (FsEvent::Complete(..) | FsEvent::Touched(..), fs_event @ FsEvent::Touched(_, Some(_))) => {
            Some(fs_event)
        }
        _ => None,
    }
}

/// Handles a new name: a link is complete at once, a new file is still to be written. A file may
/// also be complete because it is a hard link whose other name is gone already.
fn appeared(path: PathBuf) -> FsEvent {
    match fs::symlink_metadata(&path) {
        Ok(file) if file.is_symlink() || platform::links(&file) > 1 => complete(path),
        _ => FsEvent::Created(path),
    }
}

fn touched(path: PathBuf) -> FsEvent {
    let stamp = stamp_of(&path);
    FsEvent::Touched(path, stamp)
}

fn complete(path: PathBuf) -> FsEvent {
    let stamp = stamp_of(&path);
    FsEvent::Complete(path, stamp)
}

#[cfg(test)]
mod tests {
    use super::*;
    use platform::LIBRARY_EXTENSION;

    #[test]
    fn complete_signature_triggers_check_of_its_library() {
        let temp = tempfile::tempdir().unwrap();
        let library = temp.path().join(format!("libx.{LIBRARY_EXTENSION}"));
        let signature = temp.path().join(format!("libx.{LIBRARY_EXTENSION}.minisig"));
        fs::write(&signature, "signature").unwrap();
        let seen = |kind| fs_events(&Event::new(kind).add_path(signature.clone()), temp.path());
        let closed = EventKind::Access(AccessKind::Close(AccessMode::Write));
        assert_eq!(seen(closed), [], "there is no library");
        fs::write(&library, "library").unwrap();
        let renamed = EventKind::Modify(ModifyKind::Name(RenameMode::To));
        for kind in [closed, renamed] {
            assert_eq!(seen(kind), [FsEvent::Touched(library.clone(), stamp_of(&library))]);
        }
        let written = EventKind::Modify(ModifyKind::Data(notify::event::DataChange::Any));
        for kind in [written, EventKind::Create(CreateKind::File)] {
            assert_eq!(seen(kind), [], "it is not complete");
        }
    }
}
