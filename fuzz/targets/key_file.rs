//! A key file: parsing its output gives the same keys.
#![no_main]

use dropin_fuzz::keys::Keys;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(keys) = Keys::parse(text) else { return };
    let written = keys.to_text().expect("what was read can be written");
    assert_eq!(Keys::parse(&written).as_ref(), Ok(&keys));

    // No file may let in a client without a key.
    assert_eq!(keys.find(None, text.as_bytes()), None);
    assert_eq!(keys.find(None, b""), None);
    for key in keys.list() {
        assert_eq!(keys.find(Some(&key.name), key.name.as_bytes()), None);
        assert!(key.commands.is_empty() <= key.lists("get", Some("store")));
        let mut others = keys.clone();
        others.revoke(&key.name).expect("it is there");
        assert!(!others.holds(key));
    }
});
