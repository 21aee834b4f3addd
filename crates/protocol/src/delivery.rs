//! From the encoder to the client: what is ready to send, and what goes out unasked.

use super::{
    reply::{Encoder, Protocol},
    resp,
};

impl Encoder {
    /// Tells the client something it did not ask for. Goes ahead of a reply that is not finished.
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

    /// A RESP3 push of bulk strings, ahead of a reply that is not finished. The other protocols have
    /// none, and a push of nothing is none.
    pub fn push(&mut self, items: &[&[u8]]) {
        if self.protocol() != Protocol::Resp3 || items.is_empty() {
            return;
        }
        let start = self.out.bytes.len();
        resp::push(&mut self.out.bytes, items);
        self.out.approve_last(self.out.bytes.len() - start);
    }

    /// A RESP3 push that tells how far a command is: `progress DONE TOTAL TEXT`.
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

    /// Bytes to send: finished replies, notices and pushes.
    pub fn pending(&self) -> &[u8] {
        self.out.pending()
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.pending().is_empty()
    }

    /// How many bytes there are to send.
    pub fn len(&self) -> usize {
        self.pending().len()
    }

    /// Drops the first `n` pending bytes, which were sent.
    pub fn advance(&mut self, n: usize) {
        self.out.advance(n);
    }

    /// Drops everything, a reply that is not finished included.
    pub fn clear(&mut self) {
        self.open = false;
        self.nesting.stop();
        self.out.clear();
    }

    /// Whether there is memory above that cap.
    pub fn is_large(&self) -> bool {
        self.out.is_large()
    }

    /// Bytes of memory that replies take.
    pub fn held(&self) -> usize {
        self.out.held()
    }

    /// Gives back memory above a small cap. For an idle session.
    pub fn shrink(&mut self) {
        self.out.shrink();
    }
}
