//! The state that earlier versions have saved.

use proptest::prelude::*;

use super::Tester;

/// Returns what version 2 of the format contains for these pairs.
fn saved(pairs: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut saved = b"DROPSTOR\x02".to_vec();
    saved.extend((pairs.len() as u64).to_le_bytes());
    for (key, value) in pairs {
        saved.extend((key.len() as u64).to_le_bytes());
        saved.extend((value.len() as u64).to_le_bytes());
        saved.extend([*key, *value].concat());
    }
    saved
}

const PAIRS: [(&[u8], &[u8]); 3] = [(b"a", b"1"), (b"", b"\xff"), (b"b", b"")];

#[test]
fn old_state_is_restored() {
    let store = Tester::start();
    store.run("set before 1").unwrap();
    store.0.restore(&saved(&PAIRS)).unwrap();
    let content = store.content();
    assert_eq!(content.len(), PAIRS.len());
    for (key, value) in PAIRS {
        assert_eq!(content[key], (value.into(), (-1).into()));
    }
}

#[test]
fn each_kind_of_damage_is_reported() {
    let one = |version: u8, count: u64, body: &[u8]| {
        [&b"DROPSTOR"[..], &[version], &count.to_le_bytes(), body].concat()
    };
    let cases = [
        (b"DROPSTO".to_vec(), "is not that of a store"),
        (one(1, 0, b""), "has version 1, not 2"),
        (one(2, u64::MAX, &[0; 16]), "is truncated"),
        (one(2, 1, &[0xff; 16]), "is truncated"),
        (one(2, 1, &[0; 15]), "is truncated"),
        (one(2, 0, &[0; 16]), "has bytes after its end"),
    ];
    let store = Tester::start();
    store.run("set kept 1").unwrap();
    for (saved, expected) in cases {
        let error = store.0.restore(&saved).unwrap_err();
        assert_eq!(error.message(), format!("the saved state {expected}"));
    }
    assert_eq!(store.content().len(), 1);
}

proptest! {
    #[test]
    fn damaged_state_changes_nothing(place: prop::sample::Index, byte: u8, cut: bool) {
        let mut saved = saved(&PAIRS);
        let place = place.index(saved.len());
        if cut { saved.truncate(place) } else { saved[place] = byte }
        let store = Tester::start();
        store.run("set kept 1").unwrap();
        let before = store.content();
        match store.0.restore(&saved) {
            Ok(()) => prop_assert!(store.content().len() <= PAIRS.len()),
            Err(_) => prop_assert_eq!(store.content(), before),
        }
    }

    #[test]
    fn garbage_is_refused(garbage: Vec<u8>) {
        prop_assert!(Tester::start().0.restore(&garbage).is_err());
    }
}
