//! The encoder of replies.

use super::{
    nesting::{Joint, Nesting},
    outgoing::{Outgoing, PIECE, append},
    plain, resp,
};

/// The protocol of a session's replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Text for people.
    Lines,
    /// The Redis protocol, version 2.
    Resp2,
    /// The Redis protocol, version 3.
    Resp3,
}

/// The outcome of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finished {
    /// The reply is whole.
    Ok,
    /// The reply is whole and is an error; an error inside a list does not count.
    Error,
    /// The items did not add up; the client gets an error in their place.
    Malformed,
    /// The items were larger than allowed; the client gets an error in their place.
    TooLarge,
}

/// The fault of a reply that cannot be sent as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// The items do not add up.
    Malformed,
    /// The items are larger than allowed.
    TooLarge,
    /// The reply is an error that is larger than allowed.
    LargeError,
}

/// An encoder of one session's replies, which it collects until they are sent.
///
/// A reply is one item, written between [`begin`](Self::begin) and [`finish`](Self::finish). A list
/// of n items takes n more items behind it, a map of n pairs takes n times a key and a value. A
/// further item is not written and spoils the reply. A reply that exceeds [`bound`](Self::bound) is
/// dropped, with everything that the worker still writes. No part of a reply is pending before it
/// is finished. Outside a reply, items are not written.
#[derive(Debug)]
pub struct Encoder {
    pub(super) out: Outgoing,
    protocol: Protocol,
    pub(super) nesting: Nesting,
    /// True if a reply has begun and is not finished.
    pub(super) open: bool,
    fault: Fault,
    /// The largest reply, in bytes.
    most: usize,
    /// The longest text that is copied at once, in bytes; at most `most`.
    short: usize,
    /// True if the reply's top-level item is an error.
    error: bool,
    /// The offset in the draft at which the current line of a plain reply starts.
    line: usize,
}

impl Encoder {
    /// Makes an encoder that has nothing to send.
    pub fn new(protocol: Protocol) -> Self {
        Self {
            out: Outgoing::default(),
            protocol,
            nesting: Nesting::default(),
            open: false,
            fault: Fault::None,
            most: usize::MAX,
            short: PIECE,
            error: false,
            line: 0,
        }
    }

    /// Replaces replies of more than `most` bytes with an error.
    pub fn bound(&mut self, most: usize) {
        self.most = most;
        self.short = most.min(PIECE);
    }

    /// Returns the size of the largest reply, in bytes.
    pub fn most(&self) -> usize {
        self.most
    }

    /// Returns the protocol of the replies.
    #[inline]
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Changes the protocol. Must not be called in the middle of a reply.
    pub fn set_protocol(&mut self, protocol: Protocol) {
        self.protocol = protocol;
    }

    /// Starts a reply. An unfinished one is dropped.
    #[inline]
    pub fn begin(&mut self) {
        self.open = true;
        self.reset();
    }

    /// Drops the items of this reply, and starts it again.
    #[inline]
    pub fn reset(&mut self) {
        self.out.drop_draft();
        (self.fault, self.error, self.line) = (Fault::None, false, 0);
        if self.open {
            self.nesting.start();
        }
    }

    /// Ends the reply. If its items do not add up, or are too large, it becomes an error. Outside a
    /// reply, nothing is written, and the result is [`Finished::Malformed`].
    #[inline]
    pub fn finish(&mut self) -> Finished {
        if !self.open {
            return Finished::Malformed;
        }
        let finished = if self.fault != Fault::None || self.nesting.wants_item() {
            self.replace_with_error()
        } else if self.error {
            Finished::Error
        } else {
            Finished::Ok
        };
        self.open = false;
        self.out.approve_draft();
        finished
    }

    /// Replaces a reply that cannot be sent with an error.
    #[cold]
    fn replace_with_error(&mut self) -> Finished {
        let (fault, most) = (self.fault, self.most);
        self.reset();
        // The error itself ignores the limit.
        self.most = usize::MAX;
        let finished = if matches!(fault, Fault::TooLarge | Fault::LargeError) {
            let message = format!("reply larger than {most} bytes (--max-reply)");
            self.error("ERR", message.as_bytes());
            Finished::TooLarge
        } else {
            self.error("ERR", b"the worker gave a malformed reply");
            Finished::Malformed
        };
        self.most = most;
        finished
    }

    /// Removes the replies behind the first `length` pending bytes. Must not be called in the middle
    /// of a reply.
    pub fn truncate(&mut self, length: usize) {
        self.out.truncate(length);
    }

    /// Returns whether the reply is an error so far.
    #[inline]
    pub fn failed(&self) -> bool {
        self.error
    }

    /// Returns whether the worker has replied an error. A reply that is too large is none: the worker
    /// has done its work.
    #[inline]
    pub fn is_refused(&self) -> bool {
        self.error && self.fault != Fault::TooLarge
    }

    /// Writes the reply `OK`.
    pub fn ok(&mut self) {
        // A length that is known in each arm needs no call of `memcpy`.
        self.write_item(|out, protocol| match protocol {
            Protocol::Lines => out.extend_from_slice(b"OK"),
            Protocol::Resp2 | Protocol::Resp3 => out.extend_from_slice(b"+OK\r\n"),
        });
    }

    /// Writes a status, a short word such as `PONG`. Line ends are left out.
    #[inline]
    pub fn status(&mut self, text: &str) {
        self.write_item(|out, protocol| match protocol {
            Protocol::Lines => resp::stripped(out, text.as_bytes()),
            Protocol::Resp2 | Protocol::Resp3 => {
                out.push(b'+');
                resp::stripped(out, text.as_bytes());
                out.extend_from_slice(b"\r\n");
            }
        });
    }

    /// Writes a text of arbitrary bytes.
    #[inline]
    pub fn text(&mut self, bytes: &[u8]) {
        if bytes.len() > self.short {
            return self.long_text(bytes);
        }
        self.write_item(|out, protocol| match protocol {
            Protocol::Lines => out.extend_from_slice(bytes),
            Protocol::Resp2 | Protocol::Resp3 => resp::bulk(out, bytes),
        });
    }

    #[cold]
    #[inline(never)]
    fn long_text(&mut self, bytes: &[u8]) {
        if bytes.len() > self.most {
            return self.refuse_as_too_large();
        }
        self.write_item(|out, protocol| match protocol {
            Protocol::Lines => append(out, bytes),
            Protocol::Resp2 | Protocol::Resp3 => resp::long_bulk(out, bytes),
        });
    }

    /// Writes an integer.
    pub fn integer(&mut self, value: i64) {
        self.write_item(|out, protocol| match protocol {
            Protocol::Lines => {
                out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
            }
            Protocol::Resp2 | Protocol::Resp3 => resp::header(out, b':', value),
        });
    }

    /// Writes a float, in the fewest digits that parse as the same one; or `inf`, `-inf`, `nan`.
    pub fn float(&mut self, value: f64) {
        self.write_item(|out, protocol| {
            resp::with_float(value, |text| match protocol {
                Protocol::Lines => out.extend_from_slice(text),
                Protocol::Resp2 => resp::bulk(out, text),
                Protocol::Resp3 => {
                    out.push(b',');
                    out.extend_from_slice(text);
                    out.extend_from_slice(b"\r\n");
                }
            });
        });
    }

    /// Writes a boolean, in RESP2 as 1 or 0.
    pub fn boolean(&mut self, value: bool) {
        self.write_item(|out, protocol| {
            out.extend_from_slice(match (protocol, value) {
                (Protocol::Lines, true) => b"true",
                (Protocol::Lines, false) => b"false",
                (Protocol::Resp2, true) => b":1\r\n",
                (Protocol::Resp2, false) => b":0\r\n",
                (Protocol::Resp3, true) => b"#t\r\n",
                (Protocol::Resp3, false) => b"#f\r\n",
            });
        });
    }

    /// Writes the absence of a value.
    pub fn null(&mut self) {
        self.write_item(|out, protocol| {
            out.extend_from_slice(match protocol {
                Protocol::Lines => b"(null)",
                Protocol::Resp2 => b"$-1\r\n",
                Protocol::Resp3 => b"_\r\n",
            });
        });
    }

    /// Opens a list; its `length` items come next.
    pub fn list(&mut self, length: usize) {
        self.open_collection(false, length, Some(length));
    }

    /// Opens a map; its `pairs` keys come next, each with its value.
    pub fn map(&mut self, pairs: usize) {
        self.open_collection(true, pairs, pairs.checked_mul(2));
    }

    /// Writes an error. An empty `kind` becomes `ERR`; line ends become spaces.
    pub fn error(&mut self, kind: &str, message: &[u8]) {
        if message.len() > self.most {
            return self.refuse_large_error();
        }
        let kind = if kind.is_empty() { "ERR" } else { kind };
        let whole_reply = self.nesting.wants_item() && self.nesting.depth() == 0;
        self.write_item(|out, protocol| match protocol {
            Protocol::Lines => plain::error(out, kind, message),
            Protocol::Resp2 | Protocol::Resp3 => resp::error(out, kind, message),
        });
        self.error |= whole_reply;
    }

    fn open_collection(&mut self, map: bool, count: usize, items: Option<usize>) {
        let (Some(items), true) = (items, self.nesting.has_room()) else {
            return self.spoil();
        };
        if items == 0 {
            let nested = self.nesting.depth() > 0;
            return self.write_item(|out, protocol| match protocol {
                Protocol::Lines if nested => out.extend_from_slice(b"(empty)"),
                Protocol::Lines => {}
                Protocol::Resp3 if map => out.extend_from_slice(b"%0\r\n"),
                Protocol::Resp2 | Protocol::Resp3 => out.extend_from_slice(b"*0\r\n"),
            });
        }
        if !self.admit() {
            return;
        }
        match self.protocol {
            Protocol::Lines => {}
            Protocol::Resp3 if map => resp::header(&mut self.out.bytes, b'%', count),
            Protocol::Resp2 | Protocol::Resp3 => resp::header(&mut self.out.bytes, b'*', items),
        }
        self.nesting.open(map, items);
    }

    /// Writes one item that is complete in itself.
    #[inline]
    pub(super) fn write_item(&mut self, write: impl FnOnce(&mut Vec<u8>, Protocol)) {
        if !self.admit() {
            return;
        }
        write(&mut self.out.bytes, self.protocol);
        // The size of an item that is the whole reply was checked before it was written.
        let line_ends = if self.nesting.depth() == 0 {
            self.nesting.stop_wanting();
            true
        } else if self.out.draft_len() > self.most {
            return self.refuse_as_too_large();
        } else {
            self.nesting.count()
        };
        if line_ends && self.protocol == Protocol::Lines {
            let start = self.out.draft_start() + self.line;
            plain::end_line(&mut self.out.bytes, start);
            self.line = self.out.draft_len();
        }
    }

    /// Returns whether another item is wanted, and writes the separator before it.
    #[inline]
    fn admit(&mut self) -> bool {
        if !self.nesting.wants_item() {
            self.spoil();
            return false;
        }
        if self.protocol == Protocol::Lines {
            self.out.bytes.extend_from_slice(match self.nesting.joint() {
                Joint::Start => b"",
                Joint::Next => b", ",
                Joint::Value => b": ",
            });
        }
        true
    }

    #[cold]
    fn spoil(&mut self) {
        if self.fault == Fault::None {
            self.fault = Fault::Malformed;
        }
        self.nesting.stop();
    }

    /// Drops a reply that is too large, frees its memory, and ignores further items.
    #[cold]
    pub fn refuse_as_too_large(&mut self) {
        if self.fault == Fault::None {
            self.fault = Fault::TooLarge;
        }
        self.error = true;
        self.nesting.stop();
        self.out.drop_draft();
        self.out.shrink();
    }

    /// Does the same for a reply that is an error, or may be one.
    #[cold]
    pub fn refuse_large_error(&mut self) {
        let is_reply = self.nesting.wants_item() && self.nesting.depth() == 0;
        self.refuse_as_too_large();
        if is_reply {
            self.fault = Fault::LargeError;
        }
    }
}
