//! What sees the plugins folder: the system's watch over it, and a look into it.

use std::{
    fs::{self, Metadata},
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use crossbeam_channel::{Receiver, never, unbounded};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};

use super::{
    configuration::plugin_of,
    folder::is_library,
    settle::{Look, Outside},
    signature::signature_of,
};
use crate::{config::WatchMode, platform};

type Events = Receiver<notify::Result<Event>>;

/// Whether a file of this path is looked at: a library, or a plugin's configuration.
pub fn is_watched(path: &Path) -> bool {
    is_library(path) || plugin_of(path).is_some()
}

/// What sees the folder that has a path, whichever folder that is.
pub struct Eye {
    folder: PathBuf,
    mode: WatchMode,
    /// `None`: there is no folder, or it is polled.
    sight: Option<Sight>,
    /// The folder's owner and what everybody may do with it, as last seen.
    rights: Option<(u32, u32)>,
    /// Whether it has been told that the system does not watch this folder.
    told: bool,
}

/// The system's watch over one folder. Each has a watcher of its own: `notify` knows what it watches
/// by path, and the end of the old folder's watch would end the new one's.
struct Sight {
    /// Which folder it is: a new one of the same name is another.
    folder: (u64, u64),
    events: Events,
    _watcher: RecommendedWatcher,
}

impl Eye {
    /// Sees nothing yet.
    pub fn new(folder: &Path, mode: WatchMode) -> Self {
        Self { folder: folder.to_owned(), mode, sight: None, rights: None, told: false }
    }

    /// The path.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Watches the folder that is there now; returns whether that is another than before.
    pub fn follow(&mut self) -> bool {
        if self.mode == WatchMode::Poll {
            return false;
        }
        // A folder that is watched does not go on Windows: an empty one may be about to, and is polled.
        let may_go = cfg!(windows) && is_empty(&self.folder);
        let folder = platform::path_identity(&self.folder).ok().filter(|_| !may_go);
        if folder == self.sight.as_ref().map(|sight| sight.folder) {
            return false;
        }
        self.sight = None;
        let Some(folder) = folder else { return true };
        match open(&self.folder) {
            Ok((events, watcher)) => {
                self.sight = Some(Sight { folder, events, _watcher: watcher });
                self.told = false;
            }
            Err(error) => {
                if !std::mem::replace(&mut self.told, true) {
                    log::warn!(
                        "the system does not watch {} ({error}); it is polled until it does",
                        self.folder.display()
                    );
                }
            }
        }
        true
    }

    /// Whether the folder has other rights, or another owner, than when this was last asked.
    pub fn has_other_rights(&mut self) -> bool {
        let Ok(folder) = fs::metadata(&self.folder) else { return false };
        let rights = platform::rights(&folder);
        self.rights.replace(rights).is_some_and(|before| before != rights)
    }

    /// Whether the system watches the folder.
    pub fn is_open(&self) -> bool {
        self.sight.is_some()
    }

    /// What the system tells of the folder.
    pub fn events(&self) -> Events {
        self.sight.as_ref().map_or_else(never, |sight| sight.events.clone())
    }

    /// Watches no folder any more.
    pub fn close(&mut self) {
        self.sight = None;
    }

    /// Whether the folder itself is gone. One that is made again at once may have its identity.
    pub fn is_end_of_folder(&self, event: &Event) -> bool {
        let own = self.folder.file_name();
        matches!(event.kind, EventKind::Remove(_))
            && event.paths.iter().any(|path| !is_library(path) && path.file_name() == own)
    }

    /// The libraries and configurations that are there.
    pub fn look(&self) -> Vec<(PathBuf, Look)> {
        let Ok(entries) = fs::read_dir(&self.folder) else { return Vec::new() };
        let files = entries.flatten().map(|entry| entry.path()).filter(|path| is_watched(path));
        files.filter_map(|path| look_at(&path).map(|look| (path, look))).collect()
    }
}

/// How a file looks from outside; `None` where it is not there or cannot be looked at.
pub fn look_at(path: &Path) -> Option<Look> {
    let file = fs::metadata(path).ok()?;
    let signature = fs::metadata(signature_of(path)).ok();
    Some(Look {
        file: outside(&file)?,
        rights: platform::rights(&file),
        signature: signature.and_then(|signature| outside(&signature)),
    })
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none())
}

fn outside(file: &Metadata) -> Option<Outside> {
    let changed = file.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some((platform::identity(file), file.len(), changed.as_nanos()))
}

fn open(folder: &Path) -> notify::Result<(Events, RecommendedWatcher)> {
    let (tell, events) = unbounded();
    let mut watcher = notify::recommended_watcher(move |event| {
        // Nobody listens any more where another folder is watched.
        let _ = tell.send(event);
    })?;
    watcher.watch(folder, RecursiveMode::NonRecursive)?;
    Ok((events, watcher))
}
