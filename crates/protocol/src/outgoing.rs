//! The buffer of bytes that are sent to the client.

/// The number of sent bytes at the front from which on the rest is moved.
const WORTH_MOVING: usize = 64 * 1024;
/// The capacity that an idle session keeps, in bytes.
const KEPT: usize = 16 * 1024;

/// The most bytes that are copied at once.
///
/// From 2,113 bytes on, the C library copies with the processor's `rep movsb`. On AMD's processors
/// since Zen 3 this is 16 to 20 times slower if the target's place in its page is 1 to 15 bytes
/// behind the source's, which the header of a reply makes likely: 64 KiB took 19 to 28 µs, not 1.2.
/// <https://lunnova.dev/articles/ryzen-slow-short-rep-mov/>
pub(super) const PIECE: usize = 2 << 10;

/// Appends bytes, in pieces.
pub(super) fn append(out: &mut Vec<u8>, bytes: &[u8]) {
    out.reserve(bytes.len());
    for piece in bytes.chunks(PIECE) {
        out.extend_from_slice(piece);
    }
}

/// A buffer of three parts: sent, ready to send, and a draft that may still be dropped.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    /// All three parts. Writing appends to the draft.
    pub(super) bytes: Vec<u8>,
    sent: usize,
    ready: usize,
}

impl Outgoing {
    /// Returns the bytes that are ready to send.
    #[inline]
    pub(super) fn pending(&self) -> &[u8] {
        self.bytes.get(self.sent..self.ready).unwrap_or_default()
    }

    /// Returns the draft's offset in `bytes`.
    #[inline]
    pub(super) fn draft_start(&self) -> usize {
        self.ready
    }

    /// Returns the draft's length in bytes.
    #[inline]
    pub(super) fn draft_len(&self) -> usize {
        self.bytes.len() - self.ready
    }

    #[inline]
    pub(super) fn drop_draft(&mut self) {
        self.bytes.truncate(self.ready);
    }

    #[inline]
    pub(super) fn approve_draft(&mut self) {
        self.ready = self.bytes.len();
    }

    /// Makes the last `length` bytes of the draft ready, ahead of the rest of it.
    pub(super) fn approve_last(&mut self, length: usize) {
        let length = length.min(self.draft_len());
        if let Some(draft) = self.bytes.get_mut(self.ready..) {
            draft.rotate_right(length);
        }
        self.ready += length;
    }

    /// Marks the first `count` pending bytes as sent.
    #[inline]
    pub(super) fn advance(&mut self, count: usize) {
        self.sent = self.sent.saturating_add(count).min(self.ready);
        // At least as many bytes are sent as are moved. So a slow reader costs neither memory for
        // the bytes that it has read nor quadratic time.
        let unsent = self.bytes.len() - self.sent;
        if unsent == 0 {
            self.clear();
        } else if self.sent >= WORTH_MOVING && self.sent >= unsent {
            self.drop_sent();
        }
    }

    /// Removes all but the first `length` pending bytes, and the draft.
    pub(super) fn truncate(&mut self, length: usize) {
        self.ready = self.ready.min(self.sent.saturating_add(length));
        self.drop_draft();
    }

    #[inline]
    pub(super) fn is_large(&self) -> bool {
        self.bytes.capacity() > KEPT
    }

    /// Returns the capacity in bytes.
    pub(super) fn held(&self) -> usize {
        self.bytes.capacity()
    }

    /// Frees the memory above [`KEPT`].
    pub(super) fn shrink(&mut self) {
        if self.bytes.capacity() > KEPT {
            self.drop_sent();
            self.bytes.shrink_to(KEPT);
        }
    }

    #[inline]
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        (self.sent, self.ready) = (0, 0);
    }

    fn drop_sent(&mut self) {
        self.bytes.drain(..self.sent);
        self.ready -= self.sent;
        self.sent = 0;
    }
}
