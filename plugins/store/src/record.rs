//! A key and its value, stored contiguously in a block of memory that several records may share.
//!
//! Records that are restored together share blocks: a hundred thousand of them are handed over in a
//! few large blocks, in memory order, while calls wait.

use std::{
    borrow::Borrow,
    hash::{Hash, Hasher},
    iter,
    sync::Arc,
};

use plugin_api::{IntoReply, Reply};

/// Size of a length field, in bytes. The lowest byte comes first.
const LENGTH: usize = size_of::<u64>();

/// Size of a record's header, in bytes: the lengths of the key and of the value.
pub(crate) const HEAD: usize = 2 * LENGTH;

/// A key and its value. Compared and found by its key. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Record {
    /// The block that holds it, perhaps with others. It is freed with the last of them.
    piece: Arc<[u8]>,
    start: usize,
}

/// A record in its binary form.
#[derive(Clone, Copy, Default)]
pub(crate) struct Encoded<'a> {
    bytes: &'a [u8],
}

impl<'a> Encoded<'a> {
    /// Splits `bytes` into their first record and the rest.
    pub(crate) fn split(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (head, rest) = bytes.split_at_checked(HEAD)?;
        let (key, value) = lengths(head)?;
        let length = key.checked_add(value).filter(|length| *length <= rest.len())?;
        let (bytes, rest) = bytes.split_at(HEAD + length);
        Some((Self { bytes }, rest))
    }

    pub(crate) fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    pub(crate) fn key(self) -> &'a [u8] {
        self.parts().0
    }

    pub(crate) fn value(self) -> &'a [u8] {
        self.parts().1
    }

    fn parts(self) -> (&'a [u8], &'a [u8]) {
        let (head, rest) = self.bytes.split_at_checked(HEAD).unwrap_or_default();
        let key = lengths(head).map_or(0, |(key, _)| key);
        rest.split_at_checked(key).unwrap_or_default()
    }
}

fn lengths(head: &[u8]) -> Option<(usize, usize)> {
    let (key, rest) = head.split_first_chunk::<LENGTH>()?;
    let (value, _) = rest.split_first_chunk::<LENGTH>()?;
    let length = |bytes| usize::try_from(u64::from_le_bytes(bytes)).ok();
    Some((length(*key)?, length(*value)?))
}

impl Record {
    pub(crate) fn new(key: &[u8], value: &[u8]) -> Self {
        let length = |bytes: &[u8]| (bytes.len() as u64).to_le_bytes();
        let parts = [&length(key)[..], &length(value), key, value];
        Self { piece: piece(&parts), start: 0 }
    }

    /// Stores records in one block.
    pub(crate) fn together(records: &[Encoded<'_>]) -> impl Iterator<Item = Self> {
        let parts: Vec<&[u8]> = records.iter().map(|record| record.bytes).collect();
        let (piece, mut next) = (piece(&parts), 0);
        parts.into_iter().map(move |part| {
            let start = next;
            next += part.len();
            Self { piece: Arc::clone(&piece), start }
        })
    }

    pub(crate) fn encoded(&self) -> Encoded<'_> {
        // The constructor has checked that a record starts here.
        let bytes = self.piece.get(self.start..).unwrap_or_default();
        Encoded::split(bytes).map(|(record, _)| record).unwrap_or_default()
    }

    pub(crate) fn key(&self) -> &[u8] {
        self.encoded().key()
    }

    pub(crate) fn value(&self) -> &[u8] {
        self.encoded().value()
    }
}

fn piece(parts: &[&[u8]]) -> Arc<[u8]> {
    let length = parts.iter().map(|part| part.len()).sum();
    let mut piece: Arc<[u8]> = iter::repeat_n(0, length).collect();
    // No other reference exists yet.
    if let Some(mut room) = Arc::get_mut(&mut piece) {
        for part in parts {
            let (head, rest) = room.split_at_mut(part.len());
            head.copy_from_slice(part);
            room = rest;
        }
    }
    piece
}

/// Replies the value.
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
        let all = [(&b"key"[..], &b"value"[..]), (b"", b""), (b"k", b""), (b"", b"v")];
        let records = all.map(|(key, value)| Record::new(key, value));
        let together: Vec<Record> =
            Record::together(&records.each_ref().map(Record::encoded)).collect();
        assert_eq!(together.len(), all.len());
        for (record, (key, value)) in records.iter().chain(&together).zip(all.repeat(2)) {
            assert_eq!((record.key(), record.value()), (key, value));
        }
    }

    #[test]
    fn records_are_split_off_one_by_one() {
        let (one, two) = (Record::new(b"a", b"1"), Record::new(b"", b""));
        let bytes = [one.encoded().bytes(), two.encoded().bytes(), b"rest"].concat();
        let (first, rest) = Encoded::split(&bytes).unwrap();
        assert_eq!((first.key(), first.value()), (&b"a"[..], &b"1"[..]));
        let (second, rest) = Encoded::split(rest).unwrap();
        assert_eq!((second.key(), second.value(), rest), (&b""[..], &b""[..], &b"rest"[..]));
    }

    #[test]
    fn invalid_record_is_none() {
        let lengths = |key: u64, value: u64| [key.to_le_bytes(), value.to_le_bytes()].concat();
        let long = [&lengths(2, 0)[..], b"k"].concat();
        let short = [&lengths(1, 1)[..], b"k"].concat();
        let huge = lengths(u64::MAX, u64::MAX);
        for bytes in [&b""[..], b"1234567", &huge[..HEAD - 1], &long, &short, &huge] {
            assert!(Encoded::split(bytes).is_none(), "{bytes:?}");
        }
    }
}
