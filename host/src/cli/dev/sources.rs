//! A watcher of a plugin's source files.

use std::{
    io,
    path::{Component, Path, PathBuf},
};

use crossbeam_channel::{Receiver, unbounded};
use notify::{
    Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode, ModifyKind},
};

/// The end of writing to a file.
const WRITTEN: AccessKind = AccessKind::Close(AccessMode::Write);

/// A watch on a crate's folder, without hidden files and the files that cargo and the host write;
/// or on a single file.
pub(super) struct Sources {
    folder: PathBuf,
    /// The single file in the folder that is watched.
    file: Option<PathBuf>,
    /// Folders inside the crate's folder that the host writes to.
    made: Vec<PathBuf>,
    events: Receiver<notify::Result<Event>>,
    watcher: RecommendedWatcher,
}

impl Sources {
    /// Watches a file, or a folder without the folders in `made`, which the host writes to. No
    /// change after this returns is missed.
    pub(super) fn watch<'a>(
        path: &Path,
        made: impl Iterator<Item = &'a PathBuf>,
    ) -> notify::Result<Self> {
        let path = path.canonicalize().map_err(notify::Error::io)?;
        let file = path.is_file().then(|| path.clone());
        // Editors replace a file, so its folder is watched.
        let folder = file.as_deref().and_then(Path::parent).map_or(path, PathBuf::from);
        let made = made.filter_map(|path| path.canonicalize().ok());
        // If the crate itself lies in such a folder, all its files still count as sources.
        let made = made.filter(|path| path.starts_with(&folder) && *path != folder).collect();
        let (sender, events) = unbounded();
        let mut watcher = notify::recommended_watcher(move |event| {
            // The receiver is gone while the host is ending.
            let _ = sender.send(event);
        })?;
        watcher.watch(&folder, RecursiveMode::NonRecursive)?;
        let mut sources = Self { folder, file, made, events, watcher };
        if sources.file.is_some() {
            return Ok(sources);
        }
        // Not recursive from the top: `target` may hold thousands of folders.
        let inside = sources.folder.read_dir().map_err(notify::Error::io)?;
        for entry in inside {
            sources.watch_folder(&entry.map_err(notify::Error::io)?.path())?;
        }
        Ok(sources)
    }

    /// Returns the channel of the system's file events.
    pub(super) fn events(&self) -> &Receiver<notify::Result<Event>> {
        &self.events
    }

    /// Returns whether this event may change the build's result.
    pub(super) fn is_change(&mut self, event: notify::Result<Event>) -> bool {
        let Ok(event) = event else { return true };
        if let Some(file) = &self.file {
            // A file that was made executable is a change, too.
            let read = matches!(event.kind, EventKind::Access(kind) if kind != WRITTEN);
            return !read && (event.paths.is_empty() || event.paths.contains(file));
        }
        let written = match event.kind {
            EventKind::Create(_) | EventKind::Remove(_) | EventKind::Any => true,
            EventKind::Modify(kind) => !matches!(kind, ModifyKind::Metadata(_)),
            EventKind::Access(kind) => kind == WRITTEN,
            EventKind::Other => event.need_rescan(),
        };
        if matches!(event.kind, EventKind::Create(_) | EventKind::Modify(ModifyKind::Name(_))) {
            for path in &event.paths {
                if let Err(error) = self.watch_folder(path) {
                    log::warn!("cannot watch {}: {error}", path.display());
                }
            }
        }
        written && (event.paths.is_empty() || event.paths.iter().any(|path| self.has_source(path)))
    }

    /// Returns whether this path may be one of the sources.
    fn has_source(&self, path: &Path) -> bool {
        let is_made = self.made.iter().any(|folder| path.starts_with(folder));
        !is_made && is_source(path.strip_prefix(&self.folder).unwrap_or(path))
    }

    /// Watches this path recursively if it is a folder directly inside the crate's folder.
    fn watch_folder(&mut self, path: &Path) -> notify::Result<()> {
        if path.parent() != Some(&self.folder) || !self.has_source(path) {
            return Ok(());
        }
        let folder = match path.metadata() {
            Ok(data) => data.is_dir(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => {
                log::warn!("cannot watch {}: {error}", path.display());
                false
            }
        };
        // Cargo writes this file into the folders that it builds into.
        if folder && !path.join("CACHEDIR.TAG").try_exists().unwrap_or(true) {
            self.watcher.watch(path, RecursiveMode::Recursive)?;
        }
        Ok(())
    }
}

/// Returns whether a file of this path, relative to the crate's folder, may be a source. Cargo's
/// output, hidden files and editors' temporary files are not.
fn is_source(path: &Path) -> bool {
    let hidden = |part: Component<'_>| part.as_os_str().as_encoded_bytes().starts_with(b".");
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    let made = path.starts_with("target") || path == Path::new("Cargo.lock");
    !(made || name.ends_with(b"~") || name == b"4913" || path.components().any(hidden))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_and_hidden_files_are_no_sources() {
        for path in ["src/lib.rs", "Cargo.toml", "build.rs", "src/target/x.rs", "words.txt"] {
            assert!(is_source(Path::new(path)), "{path}");
        }
        let others = [
            "target",
            "target/debug/x.d",
            "Cargo.lock",
            ".git/HEAD",
            "src/.lib.rs.swp",
            "src/lib.rs~",
            "src/4913",
        ];
        for path in others {
            assert!(!is_source(Path::new(path)), "{path}");
        }
    }
    #[test]
    fn files_in_plugins_folder_are_no_sources() {
        let folder = tempfile::tempdir().unwrap();
        let plugins = folder.path().join("plugins");
        for folder in [&plugins, &folder.path().join("src")] {
            std::fs::create_dir(folder).unwrap();
        }
        let mut sources = Sources::watch(folder.path(), [&plugins].into_iter()).unwrap();
        std::fs::write(plugins.join("libp.so"), "").unwrap();
        let source = folder.path().canonicalize().unwrap().join("src/lib.rs");
        std::fs::write(&source, "").unwrap();
        // Events arrive in the order of the changes.
        let change = loop {
            let event = sources.events().recv().unwrap().unwrap();
            if sources.is_change(Ok(event.clone())) {
                break event;
            }
        };
        assert_eq!(change.paths, [source]);
    }
}
