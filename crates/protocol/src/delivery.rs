//! The encoder's side towards the client: bytes to send, notices and pushes.

use super::{
    reply::{Encoder, Protocol},
    resp,
};

impl Encoder {
    /// Adds a notice, which is no reply. It goes ahead of a reply that is not finished.
    pub fn notice(&mut self, text: &str) {
        let (protocol, start) = (self.protocol(), self.out.bytes.len());
        let out = &mut self.out.bytes;
        match protocol {
            Protocol::Lines => {
                resp::spaced(out, text.as_bytes());
                out.push(b'\n');
            }
            Protocol::Resp2 => resp::error(out, "SHUTDOWN", text.as_bytes()),
            Protocol::Resp3 => resp::push(out, &[b"notice", text.as_bytes()]),
        }
        self.out.approve_last(self.out.bytes.len() - start);
    }

    /// Adds a RESP3 push of bulk strings, ahead of a reply that is not finished. Does nothing in
    /// the other protocols and without items.
    pub fn push(&mut self, items: &[&[u8]]) {
        if self.protocol() != Protocol::Resp3 || items.is_empty() {
            return;
        }
        let start = self.out.bytes.len();
        resp::push(&mut self.out.bytes, items);
        self.out.approve_last(self.out.bytes.len() - start);
    }

    /// Adds a RESP3 push with a command's progress: `progress DONE TOTAL TEXT`.
    pub fn progress(&mut self, done: u64, total: u64, text: &str) {
        let (start, out) = (self.out.bytes.len(), &mut self.out.bytes);
        resp::header(out, b'>', 4);
        resp::bulk(out, b"progress");
        for number in [done, total] {
            resp::header(out, b':', number.min(i64::MAX as u64));
        }
        resp::bulk(out, text.as_bytes());
        self.out.approve_last(self.out.bytes.len() - start);
    }

    /// Returns the bytes to send: finished replies, notices and pushes.
    pub fn pending(&self) -> &[u8] {
        self.out.pending()
    }

    /// Returns whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.pending().is_empty()
    }

    /// Returns the number of bytes to send.
    pub fn len(&self) -> usize {
        self.pending().len()
    }

    /// Drops the first `n` pending bytes, which were sent.
    pub fn advance(&mut self, n: usize) {
        self.out.advance(n);
    }

    /// Drops everything, with a reply that is not finished.
    pub fn clear(&mut self) {
        self.open = false;
        self.nesting.stop();
        self.out.clear();
    }

    /// Returns whether there is memory that [`shrink`](Self::shrink) would free.
    pub fn is_large(&self) -> bool {
        self.out.is_large()
    }

    /// Returns the bytes of memory that replies take.
    pub fn held(&self) -> usize {
        self.out.held()
    }

    /// Frees memory above 16 KiB, for an idle session.
    pub fn shrink(&mut self) {
        self.out.shrink();
    }
}
