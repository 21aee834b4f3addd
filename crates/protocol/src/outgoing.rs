//! Bytes on their way to the client.

/// Sent bytes at the front that are worth moving the rest for.
const WORTH_MOVING: usize = 64 * 1024;
/// Bytes of room that are kept while the session idles.
const KEPT: usize = 16 * 1024;

/// A buffer of three parts: sent, ready to send, and a draft that may still be taken back.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    /// All three parts. Writing appends to the draft.
    pub(super) bytes: Vec<u8>,
    sent: usize,
    ready: usize,
}

impl Outgoing {
    /// What may be sent.
    pub(super) fn pending(&self) -> &[u8] {
        self.bytes.get(self.sent..self.ready).unwrap_or_default()
    }

    /// Where in `bytes` the draft starts.
    pub(super) fn draft_start(&self) -> usize {
        self.ready
    }

    /// Bytes of the draft.
    pub(super) fn draft_len(&self) -> usize {
        self.bytes.len() - self.ready
    }

    pub(super) fn drop_draft(&mut self) {
        self.bytes.truncate(self.ready);
    }

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

    /// Notes that the first `count` pending bytes were sent.
    pub(super) fn advance(&mut self, count: usize) {
        self.sent = self.sent.saturating_add(count).min(self.ready);
        // Every byte moved is paid for by a byte sent, so that a reader who is slow for ever costs
        // neither memory for what he has read nor time for moving the rest again and again.
        let unsent = self.bytes.len() - self.sent;
        if unsent == 0 {
            self.clear();
        } else if self.sent >= WORTH_MOVING && self.sent >= unsent {
            self.drop_sent();
        }
    }

    pub(super) fn is_large(&self) -> bool {
        self.bytes.capacity() > KEPT
    }

    /// Bytes of memory.
    pub(super) fn held(&self) -> usize {
        self.bytes.capacity()
    }

    /// Gives back memory above a small cap.
    pub(super) fn shrink(&mut self) {
        if self.bytes.capacity() > KEPT {
            self.drop_sent();
            self.bytes.shrink_to(KEPT);
        }
    }

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
