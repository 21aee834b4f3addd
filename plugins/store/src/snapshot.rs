//! How the store is written down.
//!
//! `DROPSTOR`, the format's version as one byte, the number of records, then each record as a
//! length and that many bytes. Numbers are 64 bits, lowest byte first.

use plugin_api::{Error, Result};

use crate::{map::Map, record::Record};

const MAGIC: &[u8] = b"DROPSTOR";
const VERSION: u8 = 1;
/// The size of a number in bytes. A record with its length is no smaller than two of them.
const NUMBER: usize = size_of::<u64>();
/// What a record is expected to take, with its length. Bytes.
const USUAL: usize = 64;

pub(crate) fn write(map: &Map) -> Vec<u8> {
    let count = map.len();
    let mut saved = Vec::with_capacity(MAGIC.len() + 1 + NUMBER + count * USUAL);
    saved.extend_from_slice(MAGIC);
    saved.push(VERSION);
    saved.extend_from_slice(&(count as u64).to_le_bytes());
    map.for_each(|record| {
        saved.extend_from_slice(&(record.bytes().len() as u64).to_le_bytes());
        saved.extend_from_slice(record.bytes());
    });
    saved
}

/// Reads all of it or fails; `saved` may be anything.
pub(crate) fn read(saved: &[u8]) -> Result<Vec<Record>> {
    let rest = saved
        .strip_prefix(MAGIC)
        .ok_or_else(|| Error::new("the saved state is not that of a store"))?;
    let mut reader = Reader { rest };
    match reader.take(1)? {
        [VERSION] => {}
        version => {
            let message = format!("the saved state has version {version:?}, not {VERSION}");
            return Err(Error::new(message));
        }
    }
    let count = reader.length()?;
    // Garbage may announce any number: no more room than the bytes can fill.
    let mut records = Vec::with_capacity(count.min(reader.rest.len() / (2 * NUMBER)));
    for _ in 0..count {
        records.push(Record::from_bytes(reader.bytes()?).ok_or_else(cut_short)?);
    }
    if !reader.rest.is_empty() {
        return Err(Error::new("the saved state goes on after its end"));
    }
    Ok(records)
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or_else(cut_short)?;
        self.rest = rest;
        Ok(taken)
    }

    fn length(&mut self) -> Result<usize> {
        let (number, rest) = self.rest.split_first_chunk().ok_or_else(cut_short)?;
        self.rest = rest;
        Ok(usize::try_from(u64::from_le_bytes(*number))?)
    }

    fn bytes(&mut self) -> Result<&'a [u8]> {
        let length = self.length()?;
        self.take(length)
    }
}

fn cut_short() -> Error {
    Error::new("the saved state is cut short")
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use plugin_api::{Value, testing::Plugin};
    use proptest::prelude::*;

    use super::*;
    use crate::PLUGIN;

    type Entries = HashMap<Vec<u8>, Vec<u8>>;

    /// A store that holds these entries.
    fn store(entries: &Entries) -> Plugin<Map> {
        let store = Plugin::start(&PLUGIN).unwrap();
        for (key, value) in entries {
            store.call_bytes("set", &[key, value]).unwrap();
        }
        store
    }

    /// What the store holds, as its own commands tell it.
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

    /// A store that has something to lose, and what it holds.
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
        fn what_was_saved_is_restored_and_nothing_else(before in any_entries()) {
            let (store, _) = full();
            store.restore(&saved(&before)).unwrap();
            prop_assert_eq!(entries(&store), before);
        }

        #[test]
        fn what_is_cut_short_or_goes_on_is_refused(before in any_entries(), cut: prop::sample::Index) {
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
            // That would be a whole store with nothing in it.
            prop_assume!(garbage != [0; NUMBER]);
            let (store, kept) = full();
            prop_assert!(store.restore(&garbage).is_err());
            let headed = [MAGIC, &[VERSION], &garbage].concat();
            prop_assert!(store.restore(&headed).is_err());
            prop_assert_eq!(entries(&store), kept);
        }
    }

    #[test]
    fn each_kind_of_damage_is_told() {
        let one = |version: u8, count: u64, body: &[u8]| {
            [MAGIC, &[version], &count.to_le_bytes(), body].concat()
        };
        // A record of no key and no value is its key's length alone.
        let empty = [&8_u64.to_le_bytes()[..], &[0; NUMBER]].concat();
        let cases = [
            (b"DROPSTO".to_vec(), "is not that of a store"),
            (one(2, 0, b""), "has version [2], not 1"),
            (one(VERSION, u64::MAX, &empty), "is cut short"),
            (one(VERSION, 1, &[0xff; NUMBER]), "is cut short"),
            (one(VERSION, 1, &[0; NUMBER]), "is cut short"),
            (one(VERSION, 2, &empty.repeat(2)), "has a key twice"),
            (one(VERSION, 0, &empty), "goes on after its end"),
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
