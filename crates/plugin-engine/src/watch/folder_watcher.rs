//! What sees the plugins folder: the system's watch over it, and a look into it.

use std::{
    fs::{self, Metadata},
    io,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use crossbeam_channel::{Receiver, never, unbounded};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};

use super::{
    debounce::{FileStamp, Listing, Outside},
    outages::Outages,
};
use crate::{
    files::folder::is_library, state::configuration::plugin_of, trust::signature::signature_of,
    watch::WatchMode,
};

type Events = Receiver<notify::Result<Event>>;

/// Whether a file of this path is looked at: a library, or a plugin's configuration.
pub fn is_watched(path: &Path) -> bool {
    is_library(path) || plugin_of(path).is_some()
}

/// What sees the folder that has a path, whichever folder that is.
pub struct FolderWatcher {
    folder: PathBuf,
    mode: WatchMode,
    /// `None`: there is no folder, or it is polled.
    state: Option<FolderState>,
    /// The folder's owner and what everybody may do with it, as last seen.
    rights: Option<(u32, u32)>,
    /// Whether it has been told that the system does not watch this folder.
    told: bool,
    outages: Outages,
}

/// The system's watch over one folder. Each has a watcher of its own: `notify` knows what it watches
/// by path, and the end of the old folder's watch would end the new one's.
struct FolderState {
    /// Which folder it is: a new one of the same name is another.
    folder: (u64, u64),
    events: Events,
    _watcher: RecommendedWatcher,
}

impl FolderWatcher {
    /// Sees nothing yet.
    pub fn new(folder: &Path, mode: WatchMode) -> Self {
        let (rights, told, outages) = Default::default();
        Self { folder: folder.to_owned(), mode, state: None, rights, told, outages }
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
        let folder = match present(platform::path_identity(&self.folder)) {
            Ok(folder) => folder.filter(|_| !may_go),
            // A folder that is being removed on Windows goes when nobody watches it any more.
            Err(_) if cfg!(windows) => None,
            // Which folder is there is not known, and so the one from before is watched on.
            Err(_) => return false,
        };
        if folder == self.state.as_ref().map(|state| state.folder) {
            return false;
        }
        self.state = None;
        let Some(folder) = folder else { return true };
        match open(&self.folder) {
            Ok((events, watcher)) => {
                self.state = Some(FolderState { folder, events, _watcher: watcher });
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
        self.state.is_some()
    }

    /// What the system tells of the folder.
    pub fn events(&self) -> Events {
        self.state.as_ref().map_or_else(never, |state| state.events.clone())
    }

    /// Watches no folder any more.
    pub fn close(&mut self) {
        self.state = None;
    }

    /// Whether the folder itself is gone. One that is made again at once may have its identity.
    pub fn is_end_of_folder(&self, event: &Event) -> bool {
        let own = self.folder.file_name();
        matches!(event.kind, EventKind::Remove(_))
            && event.paths.iter().any(|path| !is_library(path) && path.file_name() == own)
    }

    /// The libraries and configurations that are there; none where there is no folder. `None` where
    /// the folder cannot be looked at. The log tells of what cannot be looked at, and when it can
    /// be again.
    pub fn scan(&mut self) -> Option<Listing> {
        match list(&self.folder) {
            Ok((listing, failed)) => {
                self.outages.note(failed);
                Some(listing)
            }
            Err(error) => {
                self.outages.add(&self.folder, &error);
                None
            }
        }
    }
}

/// Files that could not be looked at, and why.
type Failed = Vec<(PathBuf, io::Error)>;

fn list(folder: &Path) -> io::Result<(Listing, Failed)> {
    let (mut listing, mut failed) = (Listing::default(), Failed::new());
    let Some(entries) = present(fs::read_dir(folder))? else { return Ok((listing, failed)) };
    for entry in entries {
        let path = entry?.path();
        if !is_watched(&path) {
            continue;
        }
        match stamp(&path) {
            Ok(Some(stamp)) => listing.files.push((path, stamp)),
            Ok(None) => {}
            Err(error) => {
                listing.unknown.push(path.clone());
                failed.push((path, error));
            }
        }
    }
    Ok((listing, failed))
}

/// How a file looks from outside; `None` where it is not there or cannot be looked at.
pub fn stamp_of(path: &Path) -> Option<FileStamp> {
    stamp(path).ok().flatten()
}

/// How a file looks from outside; `None` where it is not there.
fn stamp(path: &Path) -> io::Result<Option<FileStamp>> {
    let Some(file) = present(fs::metadata(path))? else { return Ok(None) };
    let signature = match fs::metadata(signature_of(path)) {
        // No file can have a name that is too long for the system.
        Err(error) if error.kind() == io::ErrorKind::InvalidFilename => None,
        signature => present(signature)?,
    };
    Ok(Some(FileStamp {
        file: outside(&file),
        rights: platform::rights(&file),
        signature: signature.as_ref().map(outside),
    }))
}

/// `None` for what is not there. Any other error leaves it open whether it is.
fn present<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        found => found.map(Some),
    }
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none())
}

fn outside(file: &Metadata) -> Outside {
    let changed = file.modified().map_or(0, |changed| match changed.duration_since(UNIX_EPOCH) {
        Ok(since) => since.as_nanos(),
        Err(before) => u128::MAX - before.duration().as_nanos(),
    });
    (platform::identity(file), file.len(), changed)
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

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use platform::LIBRARY_EXTENSION;

    #[test]
    fn only_a_missing_folder_counts_as_gone() {
        let temp = tempfile::tempdir().unwrap();
        let [above, folder] = ["above", "above/plugins"].map(|name| temp.path().join(name));
        let mut folder_watcher = FolderWatcher::new(&folder, WatchMode::Notify);
        let files = |folder_watcher: &mut FolderWatcher| {
            folder_watcher.scan().map(|listing| listing.files.len())
        };
        assert_eq!(files(&mut folder_watcher), Some(0), "there is no folder");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("libx.{LIBRARY_EXTENSION}")), "library").unwrap();
        assert_eq!((folder_watcher.follow(), files(&mut folder_watcher)), (true, Some(1)));
        let away = temp.path().join("away");
        fs::rename(&above, &away).unwrap();
        symlink(&above, &above).unwrap();
        assert_eq!(
            (folder_watcher.follow(), files(&mut folder_watcher)),
            (false, None),
            "a loop of links"
        );
        fs::remove_file(&above).unwrap();
        fs::write(&above, "a file").unwrap();
        assert_eq!(
            (folder_watcher.follow(), files(&mut folder_watcher)),
            (false, None),
            "no folder above it"
        );
        assert!(folder_watcher.is_open(), "the folder from before is watched on");
        fs::remove_file(&above).unwrap();
        fs::rename(&away, &above).unwrap();
        assert_eq!((folder_watcher.follow(), files(&mut folder_watcher)), (false, Some(1)));
    }

    #[test]
    fn a_file_with_an_error_is_unknown() {
        let temp = tempfile::tempdir().unwrap();
        let library = |name: &str| temp.path().join(format!("{name}.{LIBRARY_EXTENSION}"));
        let (looped, signed) = (library("looped"), library("signed"));
        symlink(&looped, &looped).unwrap();
        symlink("/nowhere/at/all", library("nowhere")).unwrap();
        fs::write(&signed, "library").unwrap();
        symlink(signature_of(&signed), signature_of(&signed)).unwrap();
        fs::write(library(&"x".repeat(250)), "library").unwrap();
        let listing = FolderWatcher::new(temp.path(), WatchMode::Notify).scan().unwrap();
        let mut unknown = listing.unknown;
        unknown.sort();
        assert_eq!(unknown, [looped, signed]);
        assert_eq!(listing.files.len(), 1, "its signature's name would be too long");
    }

    #[test]
    fn a_file_from_before_1970_has_a_look() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("a");
        let file = fs::File::create(&path).unwrap();
        let stamps = [1, 2].map(|seconds| {
            file.set_modified(UNIX_EPOCH - std::time::Duration::from_secs(seconds)).unwrap();
            stamp_of(&path).unwrap()
        });
        assert_ne!(stamps[0], stamps[1]);
    }
}
