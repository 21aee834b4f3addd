//! A key and its value in one allocation, shared by its readers.

use plugin_api::{IntoReply, Reply};
use triomphe::ThinArc;

/// Maximum length of a record that is put together on the stack, in bytes.
const SHORT: usize = 256;

/// A key and its value. Cheap to clone: a reader shares it and does not copy it.
///
/// The allocation holds the number of references, the length of the key, the length of both, and
/// the bytes of both.
#[derive(Clone)]
pub(crate) struct Record(ThinArc<usize, u8>);

impl Record {
    pub(crate) fn new(key: &[u8], value: &[u8]) -> Self {
        let mut short = [0; SHORT];
        let both = short.get_mut(..key.len() + value.len());
        let record = |both: &[u8]| Self(ThinArc::from_header_and_slice(key.len(), both));
        match both {
            Some(both) => {
                let (head, tail) = both.split_at_mut(key.len());
                head.copy_from_slice(key);
                tail.copy_from_slice(value);
                record(both)
            }
            None => record(&[key, value].concat()),
        }
    }

    pub(crate) fn key(&self) -> &[u8] {
        self.parts().0
    }

    pub(crate) fn value(&self) -> &[u8] {
        self.parts().1
    }

    /// Returns whether both are the same allocation.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.0.ptr() == other.0.ptr()
    }

    /// Returns the length of the key and the value, in bytes.
    pub(crate) fn len(&self) -> usize {
        self.0.slice.len()
    }

    fn parts(&self) -> (&[u8], &[u8]) {
        // The key is never longer than both.
        self.0.slice.split_at_checked(self.0.header.header).unwrap_or_default()
    }
}

/// Replies the value.
impl IntoReply for Record {
    fn write(self, reply: &mut Reply<'_>) {
        reply.text(self.value());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_and_value_come_back() {
        let long = vec![b'x'; SHORT];
        for (key, value) in [
            (&b"key"[..], &b"value"[..]),
            (b"", b""),
            (b"k", b""),
            (b"", b"v"),
            (b"k", &long),
            (&long, b""),
            (&long[1..], b"v"),
        ] {
            let record = Record::new(key, value);
            assert_eq!((record.key(), record.value()), (key, value));
            assert_eq!(record.len(), key.len() + value.len());
            assert!(record.clone().is(&record) && !record.is(&Record::new(key, value)));
        }
    }
}
