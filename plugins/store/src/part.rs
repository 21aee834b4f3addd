//! One part of the map: the entries whose hashes lie in one range.

use std::{
    collections::BTreeSet,
    mem,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use hashbrown::{HashTable, hash_table};

use crate::{clock::NEVER, position, record::Record};

/// Estimated size of an entry without its key and value, in bytes: the header of its record, its
/// place in the table with the table's spare places, and what the allocator adds.
pub(crate) const OVERHEAD: u64 = 80;
/// Estimated size of what an expiry adds, in bytes.
pub(crate) const EXPIRY: u64 = 28;

/// A key with its hash.
#[derive(Clone, Copy)]
pub(crate) struct Key<'a> {
    pub(crate) hash: u64,
    pub(crate) bytes: &'a [u8],
}

/// A record of the map. It is in the map until the sweep removes it, perhaps after its expiry.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) hash: u64,
    /// In milliseconds since 1970, or [`NEVER`].
    pub(crate) expiry: u64,
    pub(crate) record: Record,
}

impl Entry {
    fn is(&self, key: Key<'_>) -> bool {
        self.hash == key.hash && self.record.key() == key.bytes
    }

    fn size(&self) -> u64 {
        size(self.record.len(), self.expiry)
    }
}

/// Returns the estimated memory of an entry whose key and value have `length` bytes.
fn size(length: usize, expiry: u64) -> u64 {
    length as u64 + OVERHEAD + if expiry == NEVER { 0 } else { EXPIRY }
}

#[derive(Default)]
pub(crate) struct Part {
    entries: HashTable<Entry>,
    /// The expiry and the hash of each entry that expires.
    expiries: BTreeSet<(u64, u64)>,
    /// Estimated memory of all entries, in bytes.
    bytes: u64,
    /// The stream has sent the entries before this position. Written under a shared lock.
    sent: AtomicU64,
    /// Hashes and keys of entries that have changed since they were sent.
    changes: HashTable<(u64, Record)>,
}

/// Returns the hash for the tables. All hashes of a part begin with the same bits, and a table
/// needs those at the beginning and at the end.
fn mixed(hash: u64) -> u64 {
    hash.rotate_right(16)
}

impl Part {
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns the number of entries that have expired at `now`.
    pub(crate) fn expired(&self, now: u64) -> usize {
        self.expiries.range(..=(now, u64::MAX)).count()
    }

    pub(crate) fn has_expired(&self, now: u64) -> bool {
        self.expiries.first().is_some_and(|(expiry, _)| *expiry <= now)
    }

    pub(crate) fn find(&self, key: Key<'_>) -> Option<&Entry> {
        self.entries.find(mixed(key.hash), |entry| entry.is(key))
    }

    /// Returns by how many bytes the part grows if `key` gets a value of this length.
    pub(crate) fn growth(&self, key: Key<'_>, value: usize, expiry: u64) -> u64 {
        let old = self.find(key).map_or(0, Entry::size);
        size(key.bytes.len() + value, expiry).saturating_sub(old)
    }

    /// Returns by how many bytes the part grows if an entry is put into it.
    pub(crate) fn growth_by(&self, entry: &Entry) -> u64 {
        let (key, value) = (entry.record.key(), entry.record.value());
        self.growth(Key { hash: entry.hash, bytes: key }, value.len(), entry.expiry)
    }

    /// Adds an entry or replaces the one of the same key. Returns the old one, which the caller
    /// drops after it has released the lock: freeing a large value takes time.
    pub(crate) fn put(&mut self, entry: Entry) -> Option<Entry> {
        let (hash, expiry, record) = (entry.hash, entry.expiry, &entry.record);
        self.bytes += entry.size();
        note_change(&self.sent, &mut self.changes, hash, record);
        let key = Key { hash, bytes: record.key() };
        let found = self.entries.find_mut(mixed(hash), |other| other.is(key));
        let old = match found {
            Some(place) => Some(mem::replace(place, entry)),
            None => {
                self.entries.insert_unique(mixed(hash), entry, |entry| mixed(entry.hash));
                None
            }
        };
        if let Some(old) = &old {
            self.bytes -= old.size();
            self.forget(old.expiry, hash);
        }
        if expiry != NEVER {
            self.expiries.insert((expiry, hash));
        }
        old
    }

    /// Removes an entry.
    pub(crate) fn take(&mut self, key: Key<'_>) -> Option<Entry> {
        let found = self.entries.find_entry(mixed(key.hash), |entry| entry.is(key));
        let old = found.ok()?.remove().0;
        self.removed(&old);
        Some(old)
    }

    /// Changes the expiry of an entry that exists.
    pub(crate) fn expire(&mut self, key: Key<'_>, expiry: u64) {
        let found = self.entries.find_mut(mixed(key.hash), |entry| entry.is(key));
        let Some(entry) = found else { return };
        note_change(&self.sent, &mut self.changes, key.hash, &entry.record);
        self.bytes -= entry.size();
        let old = mem::replace(&mut entry.expiry, expiry);
        self.bytes += entry.size();
        self.forget(old, key.hash);
        if expiry != NEVER {
            self.expiries.insert((expiry, key.hash));
        }
    }

    /// Removes up to `most` entries that have expired at `now`.
    pub(crate) fn take_expired(&mut self, now: u64, most: usize) -> Vec<Entry> {
        let mut all = Vec::new();
        while all.len() < most
            && let Some((expiry, hash)) = self.expiries.first().copied()
            && expiry <= now
        {
            self.expiries.pop_first();
            let same = |entry: &Entry| entry.hash == hash && entry.expiry == expiry;
            while let Ok(found) = self.entries.find_entry(mixed(hash), same) {
                let old = found.remove().0;
                self.removed(&old);
                all.push(old);
            }
        }
        all
    }

    /// Removes all entries. Returns them for the caller to drop.
    pub(crate) fn clear(&mut self) -> HashTable<Entry> {
        self.expiries.clear();
        self.changes = HashTable::new();
        self.bytes = 0;
        mem::take(&mut self.entries)
    }

    /// Marks the entries before this position as sent. The caller holds a shared lock at least.
    pub(crate) fn mark_sent(&self, position: u64) {
        self.sent.store(position, Relaxed);
    }

    pub(crate) fn has_changes(&self) -> bool {
        !self.changes.is_empty()
    }

    pub(crate) fn take_changes(&mut self) -> HashTable<(u64, Record)> {
        mem::take(&mut self.changes)
    }

    /// Returns clones of the next entries in the order of their positions: those from `from` on,
    /// about `most` entries and `bytes` bytes, but all of one position. Also returns the position
    /// after them; `end` is the one after this part.
    pub(crate) fn range(
        &self,
        from: u64,
        end: u64,
        most: usize,
        bytes: usize,
    ) -> (Vec<Entry>, u64) {
        // The table has no order, so each window of positions is picked by a pass over the table.
        let windows = (self.len() / most.max(1) + 1) as u64;
        let width = (position::PER_PART / windows).max(1);
        let (mut from, mut found) = (from, Vec::new());
        while found.is_empty() && from < end {
            let window = from..from.saturating_add(width).min(end);
            from = window.end;
            let is_in = |entry: &&Entry| window.contains(&position::of(entry.hash));
            found.extend(self.entries.iter().filter(is_in));
        }
        found.sort_unstable_by_key(|entry| entry.hash);
        let (mut size, mut last) = (0, None);
        let fits = |entry: &&Entry| {
            let place = position::of(entry.hash);
            let fits = size < bytes || last == Some(place);
            size += entry.record.len();
            if fits {
                last = Some(place);
            } else {
                from = place;
            }
            fits
        };
        (found.into_iter().take_while(fits).cloned().collect(), from)
    }

    fn removed(&mut self, entry: &Entry) {
        self.bytes -= entry.size();
        self.forget(entry.expiry, entry.hash);
        note_change(&self.sent, &mut self.changes, entry.hash, &entry.record);
    }

    fn forget(&mut self, expiry: u64, hash: u64) {
        if expiry != NEVER {
            self.expiries.remove(&(expiry, hash));
        }
    }
}

/// Notes that an entry has changed if the stream has sent it already.
fn note_change(
    sent: &AtomicU64,
    changes: &mut HashTable<(u64, Record)>,
    hash: u64,
    record: &Record,
) {
    if position::of(hash) >= sent.load(Relaxed) {
        return;
    }
    let same = |(_, other): &(u64, Record)| other.key() == record.key();
    let place = changes.entry(mixed(hash), same, |(hash, _)| mixed(*hash));
    if let hash_table::Entry::Vacant(vacant) = place {
        vacant.insert((hash, record.clone()));
    }
}
