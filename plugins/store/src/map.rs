//! The map: many parts, each behind a lock of its own, so that sessions seldom meet.

use std::{
    array,
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    str,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use plugin_api::{Error, Result};

/// How many parts there are: far more than sessions that run at one moment.
const PARTS: usize = 64;

type Key = Box<[u8]>;
pub(crate) type Bytes = Arc<[u8]>;
type Entries = HashMap<Key, Bytes>;

/// A map from bytes to bytes that many threads use at once.
pub(crate) struct Map {
    hasher: RandomState,
    parts: [Part; PARTS],
}

/// Aligned, so that no two locks share a cache line.
#[derive(Default)]
#[repr(align(128))]
struct Part(RwLock<Entries>);

impl Part {
    fn read(&self) -> RwLockReadGuard<'_, Entries> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Entries> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Map {
    fn default() -> Self {
        Self { hasher: RandomState::new(), parts: array::from_fn(|_| Part::default()) }
    }
}

impl Map {
    pub(crate) fn get(&self, key: &[u8]) -> Option<Bytes> {
        self.part(key).read().get(key).cloned()
    }

    pub(crate) fn set(&self, key: &[u8], value: Bytes) {
        let (part, key) = (self.part(key), Key::from(key));
        let old = part.write().insert(key, value);
        // A large value takes time to free: by now the lock is free again.
        drop(old);
    }

    /// Whether the key was there.
    pub(crate) fn remove(&self, key: &[u8]) -> bool {
        let old = self.part(key).write().remove(key);
        old.is_some()
    }

    /// Adds to the integer under `key`, which is 0 where nothing is.
    pub(crate) fn add(&self, key: &[u8], by: i64) -> Result<i64> {
        let mut part = self.part(key).write();
        let before = part.get(key).map_or(Some(0), |value| integer(value));
        let sum = before
            .ok_or_else(|| Error::new("value is not an integer or out of range"))?
            .checked_add(by)
            .ok_or_else(|| Error::new("increment or decrement would overflow"))?;
        part.insert(key.into(), sum.to_string().into_bytes().into());
        Ok(sum)
    }

    /// The keys that `wanted` picks, in no order.
    pub(crate) fn keys(&self, wanted: impl Fn(&[u8]) -> bool) -> Vec<Vec<u8>> {
        let mut keys = Vec::new();
        for part in &self.parts {
            keys.extend(part.read().keys().filter(|key| wanted(key)).map(|key| key.to_vec()));
        }
        keys
    }

    /// Shows every key and value, in no order.
    pub(crate) fn for_each(&self, mut show: impl FnMut(&[u8], &[u8])) {
        for part in &self.parts {
            part.read().iter().for_each(|(key, value)| show(key, value));
        }
    }

    /// Holds these entries and no others.
    pub(crate) fn replace(&self, entries: HashMap<&[u8], &[u8]>) {
        for part in &self.parts {
            part.write().clear();
        }
        for (key, value) in entries {
            self.set(key, value.into());
        }
    }

    fn part(&self, key: &[u8]) -> &Part {
        &self.parts[self.hasher.hash_one(key) as usize % PARTS]
    }
}

/// The integer that is written so and in no other way: no `+`, no spaces, no leading zeros.
fn integer(bytes: &[u8]) -> Option<i64> {
    let digits = bytes.strip_prefix(b"-").unwrap_or(bytes);
    let plain = bytes == b"0" || matches!(digits, [b'1'..=b'9', ..]);
    str::from_utf8(bytes).ok().filter(|_| plain)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_integers_are_integers() {
        for value in [0, 7, -7, 10, i64::MAX, i64::MIN] {
            assert_eq!(integer(value.to_string().as_bytes()), Some(value));
        }
        for text in ["", "-", "+1", "01", "-0", "-01", "1 ", " 1", "1.0", "9223372036854775808"] {
            assert_eq!(integer(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(integer(b"1\xff"), None);
    }

    #[test]
    fn keys_spread_over_the_parts() {
        let map = Map::default();
        for number in 0..10_000 {
            map.set(format!("key:{number}").as_bytes(), Bytes::from(&b""[..]));
        }
        let fullest = map.parts.iter().map(|part| part.read().len()).max();
        assert!(fullest < Some(2 * 10_000 / PARTS), "{fullest:?}");
    }

    #[test]
    fn a_value_is_shared_and_not_copied() {
        let (map, value) = (Map::default(), Bytes::from(&b"large"[..]));
        map.set(b"key", value.clone());
        assert!(map.get(b"key").is_some_and(|found| Arc::ptr_eq(&found, &value)));
    }
}
