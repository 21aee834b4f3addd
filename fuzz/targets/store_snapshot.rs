//! The state of the store, which may come from a foreign file.
#![no_main]

#[path = "../../plugins/store/src/map.rs"]
#[allow(dead_code, reason = "the store's commands do more with it")]
mod map;
#[path = "../../plugins/store/src/record.rs"]
mod record;
#[path = "../../plugins/store/src/snapshot.rs"]
mod snapshot;

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use map::Map;

type Entries = BTreeMap<Vec<u8>, Vec<u8>>;

fn entries(map: &Map) -> Entries {
    map.records().map(|record| (record.key().to_vec(), record.value().to_vec())).collect()
}

/// Returns whether the map has restored the saved state; otherwise nothing in it has changed.
fn restore(map: &Map, saved: &[u8]) -> bool {
    let before = entries(map);
    let restored = snapshot::read(saved).and_then(|records| map.replace(records));
    if let Err(error) = &restored {
        assert!(!error.message().contains(char::is_control), "{error:?}");
        assert_eq!(entries(map), before);
    }
    restored.is_ok()
}

/// Checks that another map restores this one's saved state, but no part of it and nothing longer.
fn round_trip(map: &Map) {
    let saved = snapshot::write(map);
    let other = Map::default();
    other.set(b"kept", b"1");
    for end in [0, saved.len() / 2, saved.len() - 1] {
        assert!(!restore(&other, &saved[..end]));
    }
    assert!(!restore(&other, &[&saved[..], b"\0"].concat()));
    assert!(restore(&other, &saved));
    assert_eq!(entries(&other), entries(map));
}

fuzz_target!(|data: &[u8]| {
    let map = Map::default();
    map.set(b"kept", b"1");
    if let Ok(records) = snapshot::read(data) {
        let mut found = 0;
        for record in records.flatten() {
            found += record.bytes().len();
            assert_eq!(
                record.bytes().len(),
                record::HEAD + record.key().len() + record.value().len()
            );
        }
        assert!(found < data.len(), "{found} of {}", data.len());
    }
    if restore(&map, data) {
        assert_eq!(snapshot::write(&map).len(), data.len());
        round_trip(&map);
    }

    // Entries end at a comma, keys at a colon.
    let map = Map::default();
    let mut set = Entries::new();
    for entry in data.split(|byte| *byte == b',') {
        let middle = entry.iter().position(|byte| *byte == b':').unwrap_or(entry.len());
        let (key, value) = entry.split_at(middle);
        map.set(key, value);
        set.insert(key.to_vec(), value.to_vec());
    }
    assert_eq!(entries(&map), set);
    round_trip(&map);
});
