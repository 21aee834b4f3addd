//! The map: many parts, each behind its own lock, so that sessions seldom contend.

use std::{
    hash::BuildHasher as _,
    iter, mem,
    sync::{
        Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use foldhash::quality::RandomState;
use hashbrown::HashTable;
use plugin_api::Result;

use crate::{
    clock::Clock,
    memory::{Memory, Room},
    part::{Entry, Key, Part},
    position::{self, PARTS},
    record::Record,
    stream::Stream,
};

/// Number of expired entries that are removed while a part is locked.
const BATCH: usize = 64;

/// A part behind its lock. Aligned, so that no two locks share a cache line.
#[derive(Default)]
#[repr(align(128))]
struct Slot(RwLock<Part>);

impl Slot {
    fn read(&self) -> RwLockReadGuard<'_, Part> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Part> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A map from bytes to bytes for concurrent use by many threads. Several parts are always locked in
/// their order.
pub(crate) struct Map {
    hasher: RandomState,
    slots: Box<[Slot]>,
    pub(crate) clock: Clock,
    pub(crate) memory: Memory,
    pub(crate) stream: Mutex<Option<Stream>>,
    /// Changed while all parts are locked, and read while one is.
    streams: AtomicBool,
    /// The map was cleared during the stream, which has not sent that yet. As above.
    cleared: AtomicBool,
    /// The tables of a cleared map. The sweep drops them.
    garbage: Mutex<Vec<HashTable<Entry>>>,
}

impl Default for Map {
    fn default() -> Self {
        Self {
            hasher: RandomState::default(),
            slots: iter::repeat_with(Slot::default).take(PARTS).collect(),
            clock: Clock::default(),
            memory: Memory::default(),
            stream: Mutex::default(),
            streams: AtomicBool::default(),
            cleared: AtomicBool::default(),
            garbage: Mutex::default(),
        }
    }
}

impl Map {
    pub(crate) fn key<'a>(&self, bytes: &'a [u8]) -> Key<'a> {
        Key { hash: self.hasher.hash_one(bytes), bytes }
    }

    /// Returns the number that distinguishes this map's cursors.
    pub(crate) fn tag(&self) -> u64 {
        self.hasher.hash_one("cursor")
    }

    /// Locks the part of a key for reading.
    pub(crate) fn read(&self, key: Key<'_>) -> RwLockReadGuard<'_, Part> {
        self.slot(key.hash).read()
    }

    /// Returns an entry, which may have expired.
    pub(crate) fn get(&self, key: Key<'_>) -> Option<Entry> {
        self.read(key).find(key).cloned()
    }

    /// Returns the entries of some keys, as they are at one moment.
    pub(crate) fn get_all(&self, keys: &[Key<'_>]) -> Vec<Option<Entry>> {
        if let [key] = keys {
            return vec![self.get(*key)];
        }
        let parts = self.indexes(keys.iter().map(|key| key.hash));
        let locked: Vec<_> = parts.iter().map(|index| self.slots[*index].read()).collect();
        let find = |key: &Key<'_>| {
            let place = parts.binary_search(&index(key.hash)).ok()?;
            locked.get(place)?.find(*key).cloned()
        };
        keys.iter().map(find).collect()
    }

    /// Locks the part of a key, and changes it.
    pub(crate) fn edit<R>(&self, key: Key<'_>, edit: impl FnOnce(&mut Part) -> R) -> R {
        self.edit_slot(self.slot(key.hash), edit)
    }

    fn edit_slot<R>(&self, slot: &Slot, edit: impl FnOnce(&mut Part) -> R) -> R {
        let mut part = slot.write();
        let before = part.bytes();
        let result = edit(&mut part);
        self.memory.account(before, part.bytes());
        result
    }

    /// Adds an entry, or replaces the one of the same key.
    pub(crate) fn put(&self, entry: Entry, room: Room) -> Result<()> {
        let old = self.edit_slot(self.slot(entry.hash), |part| {
            room.check(|| part.growth_by(&entry))?;
            self.clock.expect(entry.expiry);
            Ok(part.put(entry))
        });
        // A large value is freed without the lock.
        old.map(drop)
    }

    /// Adds or replaces all entries at one moment. Of entries with the same key the last remains.
    pub(crate) fn put_all(&self, entries: Vec<Entry>, room: Room) -> Result<()> {
        let indexes = self.indexes(entries.iter().map(|entry| entry.hash));
        let mut parts = self.lock(&indexes);
        let place = |entry: &Entry| indexes.binary_search(&index(entry.hash)).unwrap_or_default();
        room.check(|| entries.iter().map(|entry| parts[place(entry)].growth_by(entry)).sum())?;
        let mut old = Vec::with_capacity(entries.len());
        self.counted(&mut parts, |parts| {
            for entry in entries {
                old.push(parts[place(&entry)].put(entry));
            }
        });
        drop(parts);
        drop(old);
        Ok(())
    }

    /// Removes keys at one moment. Returns the entries that were there, expired or not.
    pub(crate) fn take_all(&self, keys: &[Key<'_>]) -> Vec<Entry> {
        if let [key] = keys {
            return self.edit(*key, |part| part.take(*key)).into_iter().collect();
        }
        let indexes = self.indexes(keys.iter().map(|key| key.hash));
        let mut parts = self.lock(&indexes);
        self.counted(&mut parts, |parts| {
            let take = |key: &Key<'_>| {
                let place = indexes.binary_search(&index(key.hash)).ok()?;
                parts.get_mut(place)?.take(*key)
            };
            keys.iter().filter_map(take).collect()
        })
    }

    /// Removes all entries at one moment.
    pub(crate) fn clear(&self) {
        let mut parts = self.lock_all();
        let tables: Vec<_> =
            self.counted(&mut parts, |parts| parts.iter_mut().map(|part| part.clear()).collect());
        if self.streams.load(Relaxed) {
            self.cleared.store(true, Relaxed);
            // Every edit from now on is a change.
            parts.iter().for_each(|part| part.mark_sent(position::END));
        }
        drop(parts);
        lock(&self.garbage).extend(tables.into_iter().filter(|table| !table.is_empty()));
    }

    /// Returns the number of entries that have not expired; `now` is called if some may have.
    pub(crate) fn len(&self, now: impl FnOnce() -> u64) -> usize {
        let now = if self.clock.is_idle() { 0 } else { now() };
        let count = |slot: &Slot| {
            let part = slot.read();
            part.len() - part.expired(now)
        };
        self.slots.iter().map(count).sum()
    }

    /// Returns the next entries in the order of positions, and the position after them: about
    /// `most`, but all of one position. There are none only at the end.
    pub(crate) fn range(&self, from: u64, most: usize) -> (Vec<Entry>, u64) {
        let mut from = from;
        while from < position::END {
            let index = position::part(from);
            let (entries, next) =
                self.slots[index].read().range(from, after(index), most, usize::MAX);
            from = next;
            if !entries.is_empty() {
                return (entries, from);
            }
        }
        (Vec::new(), from)
    }

    /// As [`range`](Self::range) for one part and `bytes`, and marks the entries as sent. Returns
    /// `None` if the map was cleared since the last call of this kind.
    pub(crate) fn send(&self, from: u64, most: usize, bytes: usize) -> Option<(Vec<Entry>, u64)> {
        let index = position::part(from);
        let part = self.slots[index].read();
        if self.take_cleared() {
            return None;
        }
        let (entries, next) = part.range(from, after(index), most, bytes);
        part.mark_sent(next);
        Some((entries, next))
    }

    /// Returns the keys of a part that have changed since they were sent, with their hashes.
    pub(crate) fn take_changes(&self, index: usize) -> Vec<(u64, Record)> {
        let slot = &self.slots[index];
        if !slot.read().has_changes() {
            return Vec::new();
        }
        let changes = slot.write().take_changes();
        changes.into_iter().collect()
    }

    /// Returns whether the map was cleared since the last call. The caller holds the lock of a
    /// part, or sends nothing afterwards.
    pub(crate) fn take_cleared(&self) -> bool {
        self.cleared.load(Relaxed) && self.cleared.swap(false, Relaxed)
    }

    /// Begins or ends the noting of changes.
    pub(crate) fn set_streams(&self, streams: bool) {
        let mut parts = self.lock_all();
        self.streams.store(streams, Relaxed);
        self.cleared.store(false, Relaxed);
        let reset = |part: &mut RwLockWriteGuard<'_, Part>| {
            part.mark_sent(0);
            part.take_changes()
        };
        let changes: Vec<_> = parts.iter_mut().map(reset).collect();
        drop(parts);
        drop(changes);
    }

    /// Removes entries that have expired at `now`, a few at a time, until `stop` returns true.
    pub(crate) fn sweep(&self, now: u64, stop: impl Fn() -> bool) {
        drop(mem::take(&mut *lock(&self.garbage)));
        for slot in &self.slots {
            while slot.read().has_expired(now) && !stop() {
                drop(self.edit_slot(slot, |part| part.take_expired(now, BATCH)));
            }
        }
    }

    fn counted<R>(
        &self,
        parts: &mut [RwLockWriteGuard<'_, Part>],
        edit: impl FnOnce(&mut [RwLockWriteGuard<'_, Part>]) -> R,
    ) -> R {
        let bytes = |parts: &[RwLockWriteGuard<'_, Part>]| {
            parts.iter().map(|part| part.bytes()).sum::<u64>()
        };
        let before = bytes(parts);
        let result = edit(parts);
        self.memory.account(before, bytes(parts));
        result
    }

    fn slot(&self, hash: u64) -> &Slot {
        &self.slots[index(hash)]
    }

    /// Returns the numbers of the parts of some hashes, in order.
    fn indexes(&self, hashes: impl Iterator<Item = u64>) -> Vec<usize> {
        let mut indexes: Vec<usize> = hashes.map(index).collect();
        indexes.sort_unstable();
        indexes.dedup();
        indexes
    }

    fn lock(&self, indexes: &[usize]) -> Vec<RwLockWriteGuard<'_, Part>> {
        indexes.iter().map(|index| self.slots[*index].write()).collect()
    }

    fn lock_all(&self) -> Vec<RwLockWriteGuard<'_, Part>> {
        self.slots.iter().map(Slot::write).collect()
    }
}

/// Returns the number of the part of a hash.
fn index(hash: u64) -> usize {
    position::part(position::of(hash))
}

/// Returns the position after a part.
fn after(index: usize) -> u64 {
    (index as u64 + 1) * position::PER_PART
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
