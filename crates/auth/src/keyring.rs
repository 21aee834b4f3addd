//! The keys that are valid now.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use arc_swap::ArcSwap;
use telemetry::log_throttle::{NamedThrottle, Throttle};

use super::{
    key_file::{KeyFile, KeyFileError},
    keys::{Key, Keys},
};

/// The keys that are valid now: read without a lock, replaced as a whole.
pub struct Keyring {
    file: KeyFile,
    keys: ArcSwap<Keys>,
    failures: AtomicU64,
    failed: Throttle,
    logins: NamedThrottle,
    unreadable: Throttle,
}

impl Keyring {
    /// Reads the keys.
    ///
    /// # Errors
    /// Where they cannot be read.
    pub fn open(file: KeyFile) -> Result<Self, KeyFileError> {
        let keys = ArcSwap::from_pointee(file.read()?);
        let (failed, unreadable) = (Throttle::default(), Throttle::default());
        let (failures, logins) = (AtomicU64::new(0), NamedThrottle::default());
        Ok(Self { file, keys, failures, failed, logins, unreadable })
    }

    /// Reads the keys again. Where that cannot be done those from before stay, and the log says
    /// why.
    pub fn refresh(&self) {
        match self.file.read() {
            Ok(keys) if keys != **self.keys.load() => {
                log::info!("keys: {} after a change", keys.list().len());
                self.keys.store(Arc::new(keys));
            }
            Ok(_) => {}
            Err(error) => self
                .unreadable
                .warn(Instant::now(), || format!("the keys from before stay in force: {error}")),
        }
    }

    /// Whether there are no keys at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.load().list().is_empty()
    }

    /// The key of this text, and of this name where one is given.
    #[must_use]
    pub fn find(&self, name: Option<&str>, text: &[u8]) -> Option<Arc<Key>> {
        self.keys.load().find(name, text).cloned().map(Arc::new)
    }

    /// Whether a key is valid still.
    #[must_use]
    pub fn holds(&self, key: &Key) -> bool {
        self.keys.load().holds(key)
    }

    /// Notes that a client has logged in. A key's logins are logged once a second at most.
    pub fn note_login(&self, peer: std::net::SocketAddr, key: &Key) {
        self.logins.info(&key.name, Instant::now(), || format!("{peer} logged in as {}", key.name));
    }

    /// Notes a key that is none. Neither it nor its name is logged: the name may be the key, typed
    /// in the wrong place.
    pub fn note_failure(&self, peer: std::net::SocketAddr) {
        let count = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
        self.failed.warn(Instant::now(), || {
            format!("failed login from {peer}: no such key, {count} failed since the start")
        });
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;

    use super::*;
    use crate::keys::Role;

    #[test]
    fn only_a_missing_key_file_takes_keys_away() {
        let temp = tempfile::tempdir().unwrap();
        let file = KeyFile::new(temp.path().join("state"));
        file.change(|keys| keys.add("a", Role::User, Vec::new(), None)).unwrap();
        let keyring = Keyring::open(file.clone()).unwrap();
        let path = file.folder().join("keys.toml");
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(&path, &path).unwrap();
        keyring.refresh();
        assert!(!keyring.is_empty(), "a loop of links");
        fs::remove_file(&path).unwrap();
        keyring.refresh();
        assert!(keyring.is_empty());
    }
}
