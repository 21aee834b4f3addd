//! Keeps the names of plugins that have crashed a host, over its restarts.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::live::manifest::is_plugin_name;

/// The name of the file in the state directory: a plugin's name a line.
const FILE: &str = "crashed-plugins";

/// The plugins that have crashed a host and have not been enabled since.
#[derive(Debug)]
pub struct CrashedPlugins {
    file: PathBuf,
    names: Mutex<BTreeSet<String>>,
}

impl CrashedPlugins {
    /// Reads the names that earlier hosts have left in this state directory.
    #[must_use]
    pub fn open(state_dir: &Path) -> Self {
        let file = state_dir.join(FILE);
        let text = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => {
                let file = file.display();
                log::warn!(
                    "cannot read {file}: {error}; plugins that have crashed the host run in it \
                     again"
                );
                String::new()
            }
        };
        let names = text.lines().filter(|name| is_plugin_name(name)).map(str::to_owned).collect();
        Self { file, names: Mutex::new(names) }
    }

    /// Returns true if the plugin has crashed a host.
    #[must_use]
    pub fn has(&self, plugin: &str) -> bool {
        self.names().contains(plugin)
    }

    /// Notes that a plugin has crashed a host.
    pub fn add(&self, plugin: &str) {
        if is_plugin_name(plugin) && self.names().insert(plugin.to_owned()) {
            self.write();
        }
    }

    /// Forgets it: an operator vouches for the plugin. Returns true if it was known.
    pub fn forget(&self, plugin: &str) -> bool {
        let was_known = self.names().remove(plugin);
        if was_known {
            self.write();
        }
        was_known
    }

    fn write(&self) {
        let text: String = self.names().iter().map(|name| format!("{name}\n")).collect();
        if let Err(error) = fs::write(&self.file, text) {
            log::warn!("cannot write {}: {error}", self.file.display());
        }
    }

    fn names(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crashed_plugin_is_known_until_enabled() {
        let folder = tempfile::tempdir().unwrap();
        let open = || CrashedPlugins::open(folder.path());
        assert!(!open().has("text"));
        open().add("text");
        open().add("../x");
        open().add("store");
        assert!(open().has("text") && open().has("store") && !open().has("../x"));
        assert!(open().forget("text") && !open().forget("text"));
        assert!(!open().has("text") && open().has("store"));
    }
}
