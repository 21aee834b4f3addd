//! The state that earlier versions of the store have saved, which may come from a foreign file.
#![no_main]

#[path = "../../plugins/store/src/snapshot.rs"]
mod snapshot;

use libfuzzer_sys::fuzz_target;

/// Returns the length of all keys and values; `None` if the state is rejected.
fn read(saved: &[u8]) -> Option<usize> {
    let mut length = 0;
    for record in snapshot::read(saved).ok()? {
        match record {
            Ok((key, value)) => length += key.len() + value.len(),
            Err(error) => {
                assert!(!error.message().contains(char::is_control), "{error:?}");
                return None;
            }
        }
    }
    Some(length)
}

fuzz_target!(|data: &[u8]| {
    if let Some(length) = read(data) {
        assert!(length < data.len(), "{length} of {}", data.len());
        // No part of it is a state, and nothing longer is.
        for end in [data.len() / 2, data.len() - 1] {
            assert!(read(&data[..end]).is_none(), "{end} of {}", data.len());
        }
        assert!(read(&[data, b"\0"].concat()).is_none());
    }
});
