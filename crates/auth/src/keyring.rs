//! The keyring, which has the keys that are valid now.

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

/// The valid keys. They are read without a lock and replaced as a whole.
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
    /// As [`KeyFile::read`].
    pub fn open(file: KeyFile) -> Result<Self, KeyFileError> {
        let keys = ArcSwap::from_pointee(file.read()?);
        let (failed, unreadable) = (Throttle::default(), Throttle::default());
        let (failures, logins) = (AtomicU64::new(0), NamedThrottle::default());
        Ok(Self { file, keys, failures, failed, logins, unreadable })
    }

    /// Reads the keys again. On an error the keys stay as they are, and the error is logged.
    pub fn refresh(&self) {
        match self.file.read() {
            Ok(keys) if keys != **self.keys.load() => {
                log::info!("key file changed: {} key(s)", keys.list().len());
                self.keys.store(Arc::new(keys));
            }
            Ok(_) => {}
            Err(error) => self
                .unreadable
                .warn(Instant::now(), || format!("the previous keys stay in force: {error}")),
        }
    }

    /// Returns whether there are no keys.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.load().list().is_empty()
    }

    /// Returns the valid key of this text, and of this name if there is one.
    #[must_use]
    pub fn find(&self, name: Option<&str>, text: &[u8]) -> Option<Arc<Key>> {
        self.keys.load().find(name, text).cloned().map(Arc::new)
    }

    /// Returns whether a key is still valid.
    #[must_use]
    pub fn is_valid(&self, key: &Key) -> bool {
        self.keys.load().holds(key)
    }

    /// Logs that a client has logged in, for each key at most once a second.
    pub fn note_login(&self, peer: std::net::SocketAddr, key: &Key) {
        self.logins.info(&key.name, Instant::now(), || format!("{peer} logged in as {}", key.name));
    }

    /// Counts and logs a failed login. Neither the key nor its name is logged: the name may be the
    /// key, typed in the wrong place.
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
