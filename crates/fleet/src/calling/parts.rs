//! The parts of a large reply.

use bytes::{Bytes, BytesMut};

/// The parts of a reply that have arrived, in order.
#[derive(Default)]
pub struct Parts {
    content: BytesMut,
    count: u64,
}

impl Parts {
    /// Adds the part of this number; the first has 0. Returns false if one before it is missing: what
    /// a host sends while its connection is interrupted is lost.
    #[must_use]
    pub fn add(&mut self, number: u64, part: &[u8]) -> bool {
        let is_next = number == self.count;
        if is_next {
            self.content.extend_from_slice(part);
            self.count += 1;
        }
        is_next
    }

    /// Returns the number of parts.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Returns the number of bytes.
    pub fn size(&self) -> usize {
        self.content.len()
    }

    /// Returns the whole reply.
    pub fn join(self) -> Bytes {
        self.content.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_has_no_hole() {
        let mut parts = Parts::default();
        assert!(parts.add(0, b"one ") && parts.add(1, b"two "));
        assert!(!parts.add(3, b"four") && !parts.add(1, b"two "));
        assert!(parts.add(2, b"three"));
        assert_eq!((parts.count(), parts.size()), (3, 13));
        assert_eq!(parts.join(), "one two three");
    }

    #[test]
    fn a_reply_does_not_begin_in_its_middle() {
        assert!(!Parts::default().add(1, b"two"));
    }
}
