//! The plugins folder under watch: its changes, once they have settled.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant, UNIX_EPOCH},
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use notify::{
    Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode, CreateKind, ModifyKind, RemoveKind, RenameMode},
};

use super::{
    folder::is_library,
    settle::{Look, Settler, Sign},
};
use crate::{config::WatchMode, desk::Change, platform};

/// How often the folder is looked at beside what the system tells: that finds what no sign tells,
/// such as a changed target of a symbolic link, and a folder that was made again.
const SCAN: Duration = Duration::from_millis(1000);

/// How often it is looked at where that is all there is.
const POLL: Duration = Duration::from_millis(250);

/// How long a file must look the same where no sign tells that it is complete.
const STILL: Duration = Duration::from_millis(500);

/// A thread that watches a folder. It ends when this drops.
pub struct Watch {
    stop: Arc<AtomicBool>,
    wake: Sender<notify::Result<Event>>,
    thread: Option<JoinHandle<()>>,
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
        let (wake, events) = unbounded();
        let stop = Arc::new(AtomicBool::new(false));
        let watcher = match mode {
            WatchMode::Notify => system_watcher(&wake),
            WatchMode::Poll => None,
        };
        let mut eye = Eye { folder: folder.to_owned(), watcher, watched: None };
        eye.watch();
        // Now, or what is loaded next and gone a moment later would never have been seen.
        let mut settler = Settler::new(STILL);
        settler.scan(eye.look(), Instant::now());
        let thread = thread::Builder::new().name("watch".into()).spawn({
            let stop = Arc::clone(&stop);
            move || run(eye, settler, &events, &stop, changed)
        })?;
        Ok(Self { stop, wake, thread: Some(thread) })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Any event wakes the thread; where it has ended, nobody needs waking.
        let _ = self.wake.send(Ok(Event::new(EventKind::Other)));
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            log::error!("the thread that watches the plugins folder panicked");
        }
    }
}

fn run(
    mut eye: Eye,
    mut settler: Settler,
    events: &Receiver<notify::Result<Event>>,
    stop: &AtomicBool,
    mut changed: impl FnMut(Change),
) {
    let pause = if eye.watcher.is_some() { SCAN } else { POLL };
    let mut next_scan = Instant::now();
    while !stop.load(Ordering::SeqCst) {
        let now = Instant::now();
        if now >= next_scan {
            next_scan = now + pause;
            if eye.watch() {
                // Signs from before are of another folder, or were lost.
                settler.note(Sign::Lost, now);
            }
            settler.scan(eye.look(), now);
        }
        settler.due(now).into_iter().for_each(&mut changed);
        let wait = settler.next_due().map_or(next_scan, |due| due.min(next_scan));
        // A file that must look the same for a while is looked at again then.
        next_scan = if wait < next_scan && settler.is_moving() { wait } else { next_scan };
        match events.recv_timeout(wait.saturating_duration_since(Instant::now())) {
            Ok(event) => {
                let now = Instant::now();
                for event in std::iter::once(event).chain(events.try_iter()) {
                    if event.as_ref().is_ok_and(|event| eye.is_end_of_folder(event)) {
                        eye.watched = None;
                        next_scan = now;
                    }
                    note(&mut settler, &eye.folder, event, now, &mut next_scan);
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn note(
    settler: &mut Settler,
    folder: &Path,
    event: notify::Result<Event>,
    now: Instant,
    next_scan: &mut Instant,
) {
    match event {
        Ok(event) => {
            if event.need_rescan() {
                settler.note(Sign::Lost, now);
                *next_scan = now;
            }
            if !cfg!(target_os = "linux") {
                // Elsewhere a sign says that something happened, not that it is over.
                *next_scan = now.min(*next_scan);
                return;
            }
            signs(&event, folder).into_iter().for_each(|sign| settler.note(sign, now));
            let (gone, new) = (EventKind::Remove(RemoveKind::Folder), CreateKind::File);
            if event.kind == gone || event.kind == EventKind::Create(new) {
                *next_scan = now;
            }
        }
        Err(error) => {
            log::warn!("watching the plugins folder: {error}");
            settler.note(Sign::Lost, now);
            *next_scan = now;
        }
    }
}

/// What an event says of the libraries in the folder. As Linux tells it: closed after writing, and
/// renames.
fn signs(event: &Event, folder: &Path) -> Vec<Sign> {
    let sign: fn(PathBuf) -> Sign = match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write))
        | EventKind::Modify(ModifyKind::Name(RenameMode::To)) => complete,
        EventKind::Create(CreateKind::File | CreateKind::Any | CreateKind::Other) => appeared,
        EventKind::Modify(ModifyKind::Data(_)) => Sign::Writing,
        EventKind::Modify(ModifyKind::Metadata(_)) => Sign::Touched,
        EventKind::Modify(ModifyKind::Name(RenameMode::From)) | EventKind::Remove(_) => {
            Sign::Vanished
        }
        _ => return Vec::new(),
    };
    let libraries = event.paths.iter().filter(|path| is_library(path));
    // The system names the folder in its own way; here a file has one name.
    libraries.filter_map(|path| path.file_name()).map(|name| sign(folder.join(name))).collect()
}

/// A name that is new: a link is complete at once; a new file is about to be written, or was put
/// there whole by a link whose other name is gone by now.
fn appeared(path: PathBuf) -> Sign {
    match fs::symlink_metadata(&path) {
        Ok(file) if file.is_symlink() || platform::links(&file) > 1 => complete(path),
        _ => Sign::Created(path),
    }
}

fn complete(path: PathBuf) -> Sign {
    let look = look_at(&path);
    Sign::Complete(path, look)
}

fn look_at(path: &Path) -> Option<Look> {
    let file = fs::metadata(path).ok()?;
    let changed = file.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some((platform::identity(&file).1, file.len(), changed.as_nanos()))
}

fn system_watcher(wake: &Sender<notify::Result<Event>>) -> Option<RecommendedWatcher> {
    let wake = wake.clone();
    let tell = move |event| {
        // Nobody listens any more where the watch has ended.
        let _ = wake.send(event);
    };
    match notify::recommended_watcher(tell) {
        Ok(watcher) => Some(watcher),
        Err(error) => {
            log::warn!("the system cannot watch folders ({error}); polling instead");
            None
        }
    }
}

/// The system's watcher and what it looks at.
struct Eye {
    folder: PathBuf,
    /// `None`: the folder is polled.
    watcher: Option<RecommendedWatcher>,
    /// Which folder it is that is being watched: a new one of the same name is another.
    watched: Option<(u64, u64)>,
}

impl Eye {
    /// Watches the folder that is there now; returns whether that is another than before.
    fn watch(&mut self) -> bool {
        let Some(watcher) = &mut self.watcher else { return false };
        let folder = fs::metadata(&self.folder).ok().map(|folder| platform::identity(&folder));
        if folder == self.watched {
            return false;
        }
        if self.watched.take().is_some() {
            // Where the folder is gone the system has ended the watch itself.
            let _ = watcher.unwatch(&self.folder);
        }
        if folder.is_some() {
            match watcher.watch(&self.folder, RecursiveMode::NonRecursive) {
                Ok(()) => self.watched = folder,
                Err(error) => log::debug!("cannot watch {}: {error}", self.folder.display()),
            }
        }
        true
    }

    /// Whether the folder itself is gone. One that is made again at once may have its identity.
    fn is_end_of_folder(&self, event: &Event) -> bool {
        let own = self.folder.file_name();
        matches!(event.kind, EventKind::Remove(_))
            && event.paths.iter().any(|path| !is_library(path) && path.file_name() == own)
    }

    fn look(&self) -> Vec<(PathBuf, Look)> {
        let Ok(entries) = fs::read_dir(&self.folder) else { return Vec::new() };
        let libraries = entries.flatten().map(|entry| entry.path()).filter(|path| is_library(path));
        libraries.filter_map(|path| look_at(&path).map(|look| (path, look))).collect()
    }
}
