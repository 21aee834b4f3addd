//! The format in which the store is saved.
//!
//! `DROPSTOR`, the format's version as one byte, the number of records, then each record: the
//! length of its key, the length of its value, the key and the value. Numbers have 64 bits, lowest
//! byte first.

use plugin_api::{Error, Result};

use crate::{
    map::Map,
    record::{Encoded, HEAD},
};

const MAGIC: &[u8] = b"DROPSTOR";
const VERSION: u8 = 2;
/// Size of a number, in bytes.
const NUMBER: usize = size_of::<u64>();
/// Expected size of a key and its value, in bytes.
const USUAL: usize = 48;

pub(crate) fn write(map: &Map) -> Vec<u8> {
    let count = map.len();
    let mut saved = Vec::with_capacity(MAGIC.len() + 1 + NUMBER + count * (HEAD + USUAL));
    saved.extend_from_slice(MAGIC);
    saved.push(VERSION);
    saved.extend_from_slice(&(count as u64).to_le_bytes());
    map.for_each(|record| saved.extend_from_slice(record.encoded().bytes()));
    saved
}

/// Returns the saved records; `saved` may be anything. Only a complete iteration shows whether it
/// is valid: the last item is an error where it is not.
pub(crate) fn read(saved: &[u8]) -> Result<Records<'_>> {
    let rest = saved
        .strip_prefix(MAGIC)
        .ok_or_else(|| Error::new("the saved state is not that of a store"))?;
    let (version, rest) = rest.split_first().ok_or_else(cut_short)?;
    if *version != VERSION {
        let message = format!("the saved state has version {version}, not {VERSION}");
        return Err(Error::new(message));
    }
    let (count, rest) = rest.split_first_chunk().ok_or_else(cut_short)?;
    Ok(Records { left: u64::from_le_bytes(*count), rest })
}

/// An iterator over saved records.
pub(crate) struct Records<'a> {
    left: u64,
    rest: &'a [u8],
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Encoded<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        let Some(left) = self.left.checked_sub(1) else {
            let beyond = !std::mem::take(&mut self.rest).is_empty();
            return beyond.then(|| Err(Error::new("the saved state has bytes after its end")));
        };
        self.left = left;
        let Some((record, rest)) = Encoded::split(self.rest) else {
            *self = Self { left: 0, rest: &[] };
            return Some(Err(cut_short()));
        };
        self.rest = rest;
        Some(Ok(record))
    }
}

fn cut_short() -> Error {
    Error::new("the saved state is truncated")
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use plugin_api::{Value, testing::Plugin};
    use proptest::prelude::*;

    use super::*;
    use crate::PLUGIN;

    type Entries = HashMap<Vec<u8>, Vec<u8>>;

    /// Creates a store with these entries.
    fn store(entries: &Entries) -> Plugin<Map> {
        let store = Plugin::start(&PLUGIN).unwrap();
        for (key, value) in entries {
            store.call_bytes("set", &[key, value]).unwrap();
        }
        store
    }

    /// Returns the store's entries, read by its own commands.
    fn entries(store: &Plugin<Map>) -> Entries {
        let text = |value| match value {
            Value::Text(text) => text,
            other => panic!("not bytes: {other:?}"),
        };
        let Ok(Value::List(keys)) = store.call("keys", &[]) else { panic!("no list of keys") };
        keys.into_iter()
            .map(text)
            .map(|key| (key.clone(), text(store.call_bytes("get", &[&key]).unwrap())))
            .collect()
    }

    fn saved(entries: &Entries) -> Vec<u8> {
        store(entries).save().unwrap().unwrap()
    }

    /// Creates a store with some entries, and returns them as well.
    fn full() -> (Plugin<Map>, Entries) {
        let entries = Entries::from([(b"kept".to_vec(), b"1".to_vec())]);
        (store(&entries), entries)
    }

    fn any_entries() -> impl Strategy<Value = Entries> {
        let bytes = || prop::collection::vec(any::<u8>(), 0..12);
        prop::collection::hash_map(bytes(), bytes(), 0..20)
    }

    proptest! {
        #[test]
        fn restore_replaces_entries_by_saved_ones(before in any_entries()) {
            let (store, _) = full();
            store.restore(&saved(&before)).unwrap();
            prop_assert_eq!(entries(&store), before);
        }

        #[test]
        fn snapshot_of_wrong_length_is_rejected(before in any_entries(), cut: prop::sample::Index) {
            let (store, kept) = full();
            let mut saved = saved(&before);
            prop_assert!(store.restore(&saved[..cut.index(saved.len())]).is_err());
            saved.push(0);
            prop_assert!(store.restore(&saved).is_err());
            prop_assert_eq!(entries(&store), kept);
        }

        #[test]
        fn a_damaged_byte_never_restores_a_part(
            before in any_entries(), place: prop::sample::Index, byte: u8,
        ) {
            let (store, kept) = full();
            let mut saved = saved(&before);
            let place = place.index(saved.len());
            saved[place] = byte;
            match store.restore(&saved) {
                Ok(()) => prop_assert_eq!(entries(&store).len(), before.len()),
                Err(_) => prop_assert_eq!(entries(&store), kept),
            }
        }

        #[test]
        fn garbage_is_refused(garbage: Vec<u8>) {
            // Zeros would be a valid store without entries.
            prop_assume!(garbage != [0; NUMBER]);
            let (store, kept) = full();
            prop_assert!(store.restore(&garbage).is_err());
            let headed = [MAGIC, &[VERSION], &garbage].concat();
            prop_assert!(store.restore(&headed).is_err());
            prop_assert_eq!(entries(&store), kept);
        }
    }

    #[test]
    fn each_kind_of_damage_is_reported() {
        let one = |version: u8, count: u64, body: &[u8]| {
            [MAGIC, &[version], &count.to_le_bytes(), body].concat()
        };
        let empty = [0; HEAD];
        let cases = [
            (b"DROPSTO".to_vec(), "is not that of a store"),
            (one(1, 0, b""), "has version 1, not 2"),
            (one(VERSION, u64::MAX, &empty), "is truncated"),
            (one(VERSION, 1, &[0xff; HEAD]), "is truncated"),
            (one(VERSION, 1, &[0; HEAD - 1]), "is truncated"),
            (one(VERSION, 2, &empty.repeat(2)), "has a key twice"),
            (one(VERSION, 0, &empty), "has bytes after its end"),
        ];
        for (saved, expected) in cases {
            let restored = read(&saved).and_then(|records| Map::default().replace(records));
            let message = restored.unwrap_err().message().to_owned();
            assert_eq!(message, format!("the saved state {expected}"));
        }
    }

    #[test]
    fn a_large_store_is_handed_over() {
        let number = |number: u32| number.to_string().into_bytes();
        let before: Entries = (0..100_000).map(|key| (number(key), number(!key))).collect();
        let store = Plugin::start(&PLUGIN).unwrap();
        store.restore(&saved(&before)).unwrap();
        assert_eq!(entries(&store), before);
    }
}
