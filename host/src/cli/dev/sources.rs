//! A crate's sources under watch.

use std::{
    io,
    path::{Component, Path, PathBuf},
};

use crossbeam_channel::{Receiver, unbounded};
use notify::{
    Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode, ModifyKind},
};

/// A crate's folder under watch, but for what cargo and the host make there and what is hidden.
pub(super) struct Sources {
    folder: PathBuf,
    /// Folders in it whose files are the host's.
    made: Vec<PathBuf>,
    events: Receiver<notify::Result<Event>>,
    watcher: RecommendedWatcher,
}

impl Sources {
    /// Watches the folder, but not those in it that the host writes to. What changes after this
    /// returns is not missed.
    pub(super) fn watch<'a>(
        folder: &Path,
        made: impl Iterator<Item = &'a PathBuf>,
    ) -> notify::Result<Self> {
        let folder = folder.canonicalize().map_err(notify::Error::io)?;
        let made = made.filter_map(|path| path.canonicalize().ok());
        // Where the crate itself is in such a folder, all of it is sources nevertheless.
        let made = made.filter(|path| path.starts_with(&folder) && *path != folder).collect();
        let (tell, events) = unbounded();
        let mut watcher = notify::recommended_watcher(move |event| {
            // Nobody listens any more where the host is ending.
            let _ = tell.send(event);
        })?;
        watcher.watch(&folder, RecursiveMode::NonRecursive)?;
        let mut sources = Self { folder, made, events, watcher };
        // Not the folder with all that is in it: there may be a thousand folders in `target`.
        let inside = sources.folder.read_dir().map_err(notify::Error::io)?;
        for entry in inside {
            sources.follow(&entry.map_err(notify::Error::io)?.path())?;
        }
        Ok(sources)
    }

    /// What the system tells.
    pub(super) fn events(&self) -> &Receiver<notify::Result<Event>> {
        &self.events
    }

    /// Whether what the system tells may change what is built.
    pub(super) fn is_change(&mut self, event: notify::Result<Event>) -> bool {
        let Ok(event) = event else { return true };
        let written = match event.kind {
            EventKind::Create(_) | EventKind::Remove(_) | EventKind::Any => true,
            EventKind::Modify(kind) => !matches!(kind, ModifyKind::Metadata(_)),
            EventKind::Access(kind) => kind == AccessKind::Close(AccessMode::Write),
            EventKind::Other => event.need_rescan(),
        };
        if matches!(event.kind, EventKind::Create(_) | EventKind::Modify(ModifyKind::Name(_))) {
            for path in &event.paths {
                if let Err(error) = self.follow(path) {
                    log::warn!("{} is not watched: {error}", path.display());
                }
            }
        }
        written && (event.paths.is_empty() || event.paths.iter().any(|path| self.has(path)))
    }

    /// Whether this may be one of the sources.
    fn has(&self, path: &Path) -> bool {
        let is_made = self.made.iter().any(|folder| path.starts_with(folder));
        !is_made && is_source(path.strip_prefix(&self.folder).unwrap_or(path))
    }

    /// Watches a folder that lies directly in the crate's, if it is one.
    fn follow(&mut self, path: &Path) -> notify::Result<()> {
        if path.parent() != Some(&self.folder) || !self.has(path) {
            return Ok(());
        }
        let folder = match path.metadata() {
            Ok(data) => data.is_dir(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => {
                log::warn!("{} is not watched: {error}", path.display());
                false
            }
        };
        // Cargo marks what it builds into so.
        if folder && !path.join("CACHEDIR.TAG").try_exists().unwrap_or(true) {
            self.watcher.watch(path, RecursiveMode::Recursive)?;
        }
        Ok(())
    }
}

/// Whether a file of this path in a crate's folder may be a source: not what cargo makes, what is
/// hidden, or what editors leave beside a file.
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
        // Changes are told in their order.
        let change = loop {
            let event = sources.events().recv().unwrap().unwrap();
            if sources.is_change(Ok(event.clone())) {
                break event;
            }
        };
        assert_eq!(change.paths, [source]);
    }
}
