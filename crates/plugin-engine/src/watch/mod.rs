//! The plugins folder under watch: its changes, once they have settled.

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
use crate::plugin_control::Change;

/// How often the folder is looked at beside what the system tells: that finds what no event tells,
/// such as a changed target of a symbolic link, and a folder that was made again.
const SCAN: Duration = Duration::from_millis(1000);

/// How often it is looked at where that is all there is.
const POLL: Duration = Duration::from_millis(250);

/// Something was given a name that it did not have: it is whole.
const RENAMED: EventKind = EventKind::Modify(ModifyKind::Name(RenameMode::To));

/// How long a file must look the same where no event tells that it is complete.
const STILL: Duration = Duration::from_millis(500);

/// A thread that watches a folder. It ends when this drops.
pub struct Watch {
    /// Nothing is sent: its end is the signal.
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
    /// Watches `folder`, there or not, and tells `changed` of every change that has settled. What
    /// changes after this returns is not missed.
    ///
    /// # Errors
    /// Where there is no thread for it.
    pub fn start(
        folder: &Path,
        mode: WatchMode,
        changed: impl FnMut(Change) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (stop, stopped) = bounded(0);
        let mut folder_watcher = FolderWatcher::new(folder, mode);
        folder_watcher.follow();
        // Now, or what is loaded next and gone a moment later would never have been seen.
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
    mut changed: impl FnMut(Change),
) {
    let mut next_scan = Instant::now();
    loop {
        let now = Instant::now();
        if now >= next_scan {
            if folder_watcher.follow() {
                // Events from before are of another folder, or were lost.
                debouncer.note(FsEvent::Lost, now);
            }
            next_scan = now + if folder_watcher.is_open() { SCAN } else { POLL };
            let seen = folder_watcher.scan();
            if folder_watcher.has_other_rights() {
                // Whether anything is taken from it may have changed, and no file shows that.
                let touched = |(path, stamp): &(PathBuf, FileStamp)| {
                    FsEvent::Touched(path.clone(), Some(*stamp))
                };
                let files = seen.iter().flat_map(|listing| &listing.files);
                files.map(touched).for_each(|fs_event| debouncer.note(fs_event, now));
            }
            scan(&mut debouncer, seen, now);
        }
        debouncer.due(now).into_iter().for_each(&mut changed);
        // A file that must look the same for a while is looked at again then.
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

/// `None`: the folder could not be looked at.
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
                // Elsewhere an event says that something happened, not that it is over.
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
            log::warn!("watching the plugins folder: {error}");
            debouncer.note(FsEvent::Lost, now);
            *next_scan = now;
        }
    }
}

/// What an event says of the libraries and configurations in the folder. As Linux tells it: closed after writing, and
/// renames.
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
    // The system names the folder in its own way; here a file has one name.
    let here = |path: &Path| Some(folder.join(path.file_name()?));
    let paths = || event.paths.iter().filter_map(|path| here(path));
    let files = paths().filter(|path| is_watched(path)).map(fs_event);
    let signatures = paths().filter_map(|path| vouched(library_of(&path)?, fs_event(path)));
    files.chain(signatures).collect()
}

/// What an event of its signature says of a library: that it is to be looked at, once the signature
/// is complete. What is not there may be on its way out, and is not held up.
fn vouched(library: PathBuf, signature: FsEvent) -> Option<FsEvent> {
    match (signature, touched(library)) {
        (FsEvent::Complete(..) | FsEvent::Touched(..), fs_event @ FsEvent::Touched(_, Some(_))) => {
            Some(fs_event)
        }
        _ => None,
    }
}

/// A name that is new: a link is complete at once; a new file is about to be written, or was put
/// there whole by a link whose other name is gone by now.
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
        let told = |kind| fs_events(&Event::new(kind).add_path(signature.clone()), temp.path());
        let closed = EventKind::Access(AccessKind::Close(AccessMode::Write));
        assert_eq!(told(closed), [], "there is no library");
        fs::write(&library, "library").unwrap();
        let renamed = EventKind::Modify(ModifyKind::Name(RenameMode::To));
        for kind in [closed, renamed] {
            assert_eq!(told(kind), [FsEvent::Touched(library.clone(), stamp_of(&library))]);
        }
        let written = EventKind::Modify(ModifyKind::Data(notify::event::DataChange::Any));
        for kind in [written, EventKind::Create(CreateKind::File)] {
            assert_eq!(told(kind), [], "it is not complete");
        }
    }
}
