//! Remembers which files of the plugins folder came from the fleet, in a file of that folder.
//!
//! The record belongs to the folder: a host that starts again finds out what it has missed, and
//! leaves alone what its operator has put there since.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{error::RolloutError, take::blocking};

/// The record's file: hidden, so it is no plugin.
const FILE: &str = ".fleet-rollouts.json";

/// The files of a plugins folder that came from the fleet, by the key of their rollout.
#[derive(Debug, Default)]
pub struct Record {
    path: PathBuf,
    held: BTreeMap<String, Held>,
}

/// A file that came from the fleet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The id of its version; `None` if the file is not from the fleet.
    pub id: Option<String>,
    /// True if the version has proved itself on this host.
    #[serde(default)]
    pub is_confirmed: bool,
    /// The SHA-256 of the content that the fleet has put there last.
    #[serde(default)]
    pub written: String,
    /// The id of the version before, whose file is kept until this one has proved itself.
    #[serde(default)]
    pub before: Option<String>,
    /// The plugin's own name, once it has been served; its key may be that of its file.
    #[serde(default)]
    pub name: String,
    /// The version that failed here last, and the reason.
    #[serde(default)]
    pub refused: Option<(String, String)>,
    /// True if it failed for a reason of this host alone, such as another plugin key or a folder that
    /// it cannot write. That may be another one at the next start.
    #[serde(default)]
    pub is_own_fault: bool,
}

impl Record {
    /// Reads the record of a plugins folder; one that is missing is empty.
    ///
    /// # Errors
    /// It cannot be read or understood.
    pub fn open(folder: &Path) -> Result<Self, RolloutError> {
        let path = folder.join(FILE);
        let failed = |cause: &dyn ToString| RolloutError::Folder {
            operation: "read",
            path: path.display().to_string(),
            cause: format!("{}; remove it to take all plugins of the fleet again", {
                cause.to_string()
            }),
        };
        let mut held: BTreeMap<String, Held> = match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map_err(|error| failed(&error))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(failed(&error)),
        };
        // The reason may be gone now.
        for held in held.values_mut().filter(|held| held.is_own_fault) {
            (held.refused, held.is_own_fault) = (None, false);
        }
        Ok(Self { path, held })
    }

    /// Returns what is held of the rollouts of a plugin whose version has not passed its trial here,
    /// by key.
    pub fn tried(&self, plugin: &str) -> Vec<(String, Held)> {
        let is_of = |key: &str| key.strip_prefix(plugin).is_some_and(|rest| rest.starts_with('.'));
        let tried = self.held.iter().filter(|(key, held)| {
            (is_of(key) || held.name == plugin) && held.id.is_some() && !held.is_confirmed
        });
        tried.map(|(key, held)| (key.clone(), held.clone())).collect()
    }

    /// Returns what is held of a rollout.
    pub fn get(&self, key: &str) -> Option<&Held> {
        self.held.get(key)
    }

    /// Changes what is held of a rollout, and writes the record.
    pub async fn set(&mut self, key: &str, held: Held) {
        if self.held.get(key) == Some(&held) {
            return;
        }
        self.held.insert(key.to_owned(), held);
        let (path, text) = (self.path.clone(), serde_json::to_vec_pretty(&self.held));
        let write = move || {
            let written = text.map_err(io::Error::from);
            let written = written.and_then(|text| platform::durable::replace(&path, &text));
            written.map_err(|error| RolloutError::Folder {
                operation: "write",
                path: path.display().to_string(),
                cause: error.to_string(),
            })
        };
        // It waits for the disk while the fleet's own thread goes on.
        if let Err(error) = blocking(write).await {
            // A host that starts again takes the version again, which changes nothing.
            log::warn!("fleet: {error}");
        }
    }

    /// Returns the versions that have proved themselves here, by the key of their rollout.
    pub fn confirmed(&self) -> BTreeMap<String, String> {
        let confirmed = self.held.iter().filter(|(_, held)| held.is_confirmed);
        confirmed.filter_map(|(key, held)| Some((key.clone(), held.id.clone()?))).collect()
    }

    /// Returns the SHA-256 of the files that the fleet has put there, by the key of their rollout.
    pub fn written(&self) -> BTreeMap<String, String> {
        self.held.iter().map(|(key, held)| (key.clone(), held.written.clone())).collect()
    }

    /// Returns the SHA-256 of the files whose versions have not proved themselves here.
    pub fn unproved(&self) -> Vec<String> {
        let unproved = self.held.values().filter(|held| held.id.is_some() && !held.is_confirmed);
        unproved.map(|held| held.written.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn record_survives_a_restart() {
        let temp = tempfile::tempdir().unwrap();
        let mut record = Record::open(temp.path()).unwrap();
        let held = Held { id: Some("1".into()), is_confirmed: true, ..Held::default() };
        record.set("greet.any", held.clone()).await;
        record.set("text.any", Held { is_confirmed: false, ..held.clone() }).await;
        let record = Record::open(temp.path()).unwrap();
        assert_eq!(record.get("greet.any"), Some(&held));
        assert_eq!(
            record.confirmed().into_iter().collect::<Vec<_>>(),
            [("greet.any".to_owned(), "1".to_owned())]
        );
    }

    #[tokio::test]
    async fn own_fault_is_forgotten_at_the_next_start() {
        let temp = tempfile::tempdir().unwrap();
        let mut record = Record::open(temp.path()).unwrap();
        let refused = Some(("2".to_owned(), "why".to_owned()));
        let held = Held { refused, is_own_fault: true, ..Held::default() };
        record.set("greet.any", held.clone()).await;
        record.set("text.any", Held { is_own_fault: false, ..held.clone() }).await;
        let record = Record::open(temp.path()).unwrap();
        assert_eq!(record.get("greet.any"), Some(&Held::default()));
        assert_eq!(record.get("text.any").map(|held| &held.refused), Some(&held.refused));
    }

    #[tokio::test]
    async fn versions_on_trial_are_known_by_plugin() {
        let temp = tempfile::tempdir().unwrap();
        let mut record = Record::open(temp.path()).unwrap();
        let held = Held { id: Some("1".into()), ..Held::default() };
        for key in ["greet.any", "greet2.any"] {
            record.set(key, held.clone()).await;
        }
        record.set("greet.mips", Held { is_confirmed: true, ..held.clone() }).await;
        assert_eq!(record.tried("greet"), [("greet.any".to_owned(), held.clone())]);
        let named = Held { name: "hello".into(), ..held };
        record.set("lib-hello.any", named.clone()).await;
        assert_eq!(record.tried("hello"), [("lib-hello.any".to_owned(), named)]);
    }

    #[test]
    fn damaged_record_is_reported() {
        let temp = tempfile::tempdir().unwrap();
        fs::write(temp.path().join(FILE), "{").unwrap();
        let error = Record::open(temp.path()).unwrap_err().to_string();
        assert!(error.contains(FILE) && error.contains("remove it"), "{error}");
    }
}
