//! Reads the plugins folder and subscribes to the system's events for it.

use std::{
    fs::{self, Metadata},
    io,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use crossbeam_channel::{Receiver, never, unbounded};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};

use super::{
    debounce::{FileStamp, FileSummary, Listing},
    outages::Outages,
};
use crate::{
    files::{folder::is_library, kind::may_be_plugin},
    state::configuration::plugin_of,
    trust::signature::signature_of,
    watch::WatchMode,
};

type Events = Receiver<notify::Result<Event>>;

/// Returns true if a file of this path matters: a library, or a plugin's configuration.
pub fn is_watched(path: &Path) -> bool {
    may_be_plugin(path) || plugin_of(path).is_some()
}

/// Watches the folder at one path, also after the folder was replaced by another.
pub struct FolderWatcher {
    folder: PathBuf,
    mode: WatchMode,
    /// `None` if there is no folder, or if it is polled.
    state: Option<FolderState>,
    /// The folder's owner and permission bits at the last check.
    rights: Option<(u32, u32)>,
    /// True once the log has said that the system cannot watch this folder.
    has_warned: bool,
    outages: Outages,
}

/// The system's watch on one folder. Each has a watcher of its own: `notify` identifies watches by
/// path, so removing the old folder's watch would remove the new one's.
struct FolderState {
    /// Identity of the folder: a new folder of the same name has another one.
    folder: (u64, u64),
    events: Events,
    _watcher: RecommendedWatcher,
}

impl FolderWatcher {
    /// Makes a watcher that watches nothing until [`follow`](Self::follow).
    pub fn new(folder: &Path, mode: WatchMode) -> Self {
        Self {
            folder: folder.to_owned(),
            mode,
            state: None,
            rights: None,
            has_warned: false,
            outages: Outages::default(),
        }
    }

    /// Returns the path of the folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Watches the folder that exists now. Returns true if it is another one than before.
    pub fn follow(&mut self) -> bool {
        if self.mode == WatchMode::Poll {
            return false;
        }
        // On Windows a watched folder cannot be removed completely: an empty one, which may be
        // about to be removed, is polled.
        let may_go = cfg!(windows) && is_empty(&self.folder);
        let folder = match none_if_missing(platform::path_identity(&self.folder)) {
            Ok(folder) => folder.filter(|_| !may_go),
            // On Windows a folder that is being removed is gone only when nobody watches it.
            Err(_) if cfg!(windows) => None,
            // It is unknown which folder is there, so the watch on the earlier one stays.
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
                self.has_warned = false;
            }
            Err(error) => {
                if !std::mem::replace(&mut self.has_warned, true) {
                    log::warn!(
                        "cannot watch {}: {error}; the host polls it until it can",
                        self.folder.display()
                    );
                }
            }
        }
        true
    }

    /// Returns true if the folder's owner or permissions have changed since the last call.
    pub fn has_other_rights(&mut self) -> bool {
        let Ok(folder) = fs::metadata(&self.folder) else { return false };
        let rights = platform::rights(&folder);
        self.rights.replace(rights).is_some_and(|before| before != rights)
    }

    /// Returns true if the system watches the folder.
    pub fn is_open(&self) -> bool {
        self.state.is_some()
    }

    /// Returns the receiver of the system's events; it never receives anything while no folder is
    /// watched.
    pub fn events(&self) -> Events {
        self.state.as_ref().map_or_else(never, |state| state.events.clone())
    }

    /// Stops watching.
    pub fn close(&mut self) {
        self.state = None;
    }

    /// Returns true if the event says that the folder itself was removed. A folder that is made
    /// again at once may have the same identity.
    pub fn is_end_of_folder(&self, event: &Event) -> bool {
        let own = self.folder.file_name();
        let is_folder = |path: &PathBuf| {
            path.file_name() == own && path.parent().and_then(Path::file_name) != own
        };
        matches!(event.kind, EventKind::Remove(_))
            && event.paths.iter().any(|path| !is_library(path) && is_folder(path))
    }

    /// Lists the libraries and configurations in the folder; the list is empty if there is no
    /// folder. Returns `None` if the folder cannot be read. Paths that become inaccessible or
    /// accessible again are logged.
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

/// Files that could not be accessed, and why.
type Failed = Vec<(PathBuf, io::Error)>;

fn list(folder: &Path) -> io::Result<(Listing, Failed)> {
    let (mut listing, mut failed) = (Listing::default(), Failed::new());
    let Some(entries) = none_if_missing(fs::read_dir(folder))? else {
        return Ok((listing, failed));
    };
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

/// Returns the stamp of a file; `None` if it does not exist or cannot be accessed.
pub fn stamp_of(path: &Path) -> Option<FileStamp> {
    stamp(path).ok().flatten()
}

/// Returns the stamp of a file; `None` if it does not exist.
fn stamp(path: &Path) -> io::Result<Option<FileStamp>> {
    let Some(file) = none_if_missing(fs::metadata(path))? else { return Ok(None) };
    let signature = match fs::metadata(signature_of(path)) {
        // A name that is too long for the system cannot exist.
        Err(error) if error.kind() == io::ErrorKind::InvalidFilename => None,
        signature => none_if_missing(signature)?,
    };
    Ok(Some(FileStamp {
        file: summary_of(&file),
        rights: platform::rights(&file),
        signature: signature.as_ref().map(summary_of),
    }))
}

/// Turns "not found" into `None`. Any other error does not say whether the file exists.
fn none_if_missing<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        found => found.map(Some),
    }
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none())
}

fn summary_of(file: &Metadata) -> FileSummary {
    let changed = file.modified().map_or(0, |changed| match changed.duration_since(UNIX_EPOCH) {
        Ok(since) => since.as_nanos(),
        Err(before) => u128::MAX - before.duration().as_nanos(),
    });
    FileSummary { identity: platform::identity(file), size: file.len(), changed }
}

fn open(folder: &Path) -> notify::Result<(Events, RecommendedWatcher)> {
    let (sender, events) = unbounded();
    let mut watcher = notify::recommended_watcher(move |event| {
        // The receiver may be gone: another folder is watched by now.
        let _ = sender.send(event);
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
