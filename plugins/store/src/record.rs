//! A key and its value, side by side in one piece of memory.
//!
//! One piece and not two: half the work when a hundred thousand of them are handed over, while
//! calls wait.

use std::{
    borrow::Borrow,
    hash::{Hash, Hasher},
    iter,
    sync::Arc,
};

use plugin_api::{IntoReply, Reply};

/// The key's length, which comes first. Bytes.
const LENGTH: usize = size_of::<u64>();

/// A key and its value. Equal to another, and found, by its key. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Record(Arc<[u8]>);

impl Record {
    pub(crate) fn new(key: &[u8], value: &[u8]) -> Self {
        let length = LENGTH + key.len() + value.len();
        let mut bytes: Arc<[u8]> = iter::repeat_n(0, length).collect();
        // Nobody else has it yet.
        if let Some(bytes) = Arc::get_mut(&mut bytes) {
            let (head, rest) = bytes.split_at_mut(LENGTH);
            head.copy_from_slice(&(key.len() as u64).to_le_bytes());
            let (head, rest) = rest.split_at_mut(key.len());
            head.copy_from_slice(key);
            rest.copy_from_slice(value);
        }
        Self(bytes)
    }

    /// What [`bytes`](Self::bytes) gave; `None` where that was something else.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (length, rest) = bytes.split_first_chunk()?;
        let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
        (length <= rest.len()).then(|| Self(bytes.into()))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn key(&self) -> &[u8] {
        self.parts().0
    }

    pub(crate) fn value(&self) -> &[u8] {
        self.parts().1
    }

    fn parts(&self) -> (&[u8], &[u8]) {
        let (length, rest) = self.0.split_first_chunk().unwrap_or((&[0; LENGTH], &[]));
        // Both constructors have made sure that it fits.
        rest.split_at_checked(u64::from_le_bytes(*length) as usize).unwrap_or_default()
    }
}

/// The reply is the value.
impl IntoReply for Record {
    fn write(self, reply: &mut Reply<'_>) {
        reply.text(self.value());
    }
}

impl Borrow<[u8]> for Record {
    fn borrow(&self) -> &[u8] {
        self.key()
    }
}

impl Hash for Record {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

impl PartialEq for Record {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Record {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_and_value_come_back() {
        for (key, value) in [(&b"key"[..], &b"value"[..]), (b"", b""), (b"k", b""), (b"", b"v")] {
            let record = Record::new(key, value);
            assert_eq!((record.key(), record.value()), (key, value));
            let again = Record::from_bytes(record.bytes()).unwrap();
            assert_eq!((again.key(), again.value()), (key, value));
        }
    }

    #[test]
    fn what_is_no_record_is_none() {
        let long = [&2_u64.to_le_bytes()[..], b"k"].concat();
        let huge = u64::MAX.to_le_bytes();
        for bytes in [&b""[..], b"1234567", &long, &huge] {
            assert!(Record::from_bytes(bytes).is_none(), "{bytes:?}");
        }
    }
}
