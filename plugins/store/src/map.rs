//! The map: many parts, each behind its own lock, so that sessions seldom contend.

use std::{
    array,
    collections::HashSet,
    hash::BuildHasher as _,
    mem, str,
    sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use foldhash::fast::RandomState;
use plugin_api::{Error, Result};

use crate::record::{Encoded, Record};

/// Number of parts: many more than sessions that run at the same time.
const PARTS: usize = 64;

type Entries = HashSet<Record, RandomState>;

/// A map from bytes to bytes for concurrent use by many threads.
pub(crate) struct Map {
    hasher: RandomState,
    parts: [Part; PARTS],
}

/// One part of the map. Aligned, so that no two locks share a cache line.
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
        Self { hasher: RandomState::default(), parts: array::from_fn(|_| Part::default()) }
    }
}

impl Map {
    pub(crate) fn get(&self, key: &[u8]) -> Option<Record> {
        self.part(key).read().get(key).cloned()
    }

    pub(crate) fn set(&self, key: &[u8], value: &[u8]) {
        let record = Record::new(key, value);
        let old = self.part(key).write().replace(record);
        // Freeing a large value takes time, so the lock has been released before.
        drop(old);
    }

    /// Removes a key. Returns whether it was present.
    pub(crate) fn remove(&self, key: &[u8]) -> bool {
        let old = self.part(key).write().take(key);
        old.is_some()
    }

    /// Adds to the integer under `key`; a missing key counts as 0.
    pub(crate) fn add(&self, key: &[u8], by: i64) -> Result<i64> {
        let mut part = self.part(key).write();
        let before = part.get(key).map_or(Some(0), |record| integer(record.value()));
        let sum = before
            .ok_or_else(|| Error::new("value is not an integer or out of range"))?
            .checked_add(by)
            .ok_or_else(|| Error::new("increment or decrement would overflow"))?;
        let old = part.replace(Record::new(key, sum.to_string().as_bytes()));
        // It may be the last of many that were restored together, so it is freed without the lock.
        drop(part);
        drop(old);
        Ok(sum)
    }

    /// Returns the records, in no order. A part is locked only while its list is copied, never
    /// while the caller processes a record.
    pub(crate) fn records(&self) -> impl Iterator<Item = Record> {
        self.parts.iter().flat_map(|part| {
            let records: Vec<Record> = part.read().iter().cloned().collect();
            records
        })
    }

    /// Passes every record to `show`, in no order. Each part is locked meanwhile, so this is only
    /// for saving, when no call runs.
    pub(crate) fn for_each(&self, mut show: impl FnMut(&Record)) {
        for part in &self.parts {
            part.read().iter().for_each(&mut show);
        }
    }

    /// Returns the number of records.
    pub(crate) fn len(&self) -> usize {
        self.parts.iter().map(|part| part.read().len()).sum()
    }

    /// Replaces all records by these. Nothing changes if one is an error or a key occurs twice.
    pub(crate) fn replace<'a>(
        &self,
        records: impl Iterator<Item = Result<Encoded<'a>>>,
    ) -> Result<()> {
        let mut placed: [Vec<Encoded<'a>>; PARTS] = array::from_fn(|_| Vec::new());
        for record in records {
            let record = record?;
            placed[self.place(record.key())].push(record);
        }
        let mut parts: [Entries; PARTS] = array::from_fn(|_| Entries::default());
        for (part, placed) in parts.iter_mut().zip(&placed) {
            part.extend(Record::together(placed));
            if part.len() < placed.len() {
                return Err(Error::new("the saved state has a key twice"));
            }
        }
        for (part, entries) in self.parts.iter().zip(parts) {
            let old = mem::replace(&mut *part.write(), entries);
            drop(old);
        }
        Ok(())
    }

    fn part(&self, key: &[u8]) -> &Part {
        &self.parts[self.place(key)]
    }

    fn place(&self, key: &[u8]) -> usize {
        // The maps inside the parts have other seeds than this hasher, so keys spread well there
        // too.
        self.hasher.hash_one(key) as usize % PARTS
    }
}

/// Maximum length of a 64-bit integer, in bytes.
const LONGEST: usize = "-9223372036854775808".len();

/// Parses an integer in its one canonical form: no `+`, no spaces, no leading zeros.
fn integer(bytes: &[u8]) -> Option<i64> {
    // A part is locked meanwhile, so a long value is not scanned.
    if bytes.len() > LONGEST {
        return None;
    }
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
            map.set(format!("key:{number}").as_bytes(), b"");
        }
        let fullest = map.parts.iter().map(|part| part.read().len()).max();
        assert!(fullest < Some(2 * 10_000 / PARTS), "{fullest:?}");
    }

    #[test]
    fn a_value_is_shared_and_not_copied() {
        let map = Map::default();
        map.set(b"key", b"large");
        let (one, two) = (map.get(b"key").unwrap(), map.get(b"key").unwrap());
        assert!(std::ptr::eq(one.value(), two.value()));
    }
}
