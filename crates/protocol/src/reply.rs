//! Replies as bytes.

use super::{
    nesting::{Joint, Nesting},
    outgoing::Outgoing,
    plain, resp,
};

/// How a session wants its replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Text for people.
    Lines,
    /// The Redis protocol, version 2.
    Resp2,
    /// The Redis protocol, version 3.
    Resp3,
}

/// How a reply ended.
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

/// Why a reply cannot be sent as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// The items do not add up.
    Malformed,
    /// The items are larger than allowed.
    TooLarge,
}

/// Collects the replies of one session until they are sent.
///
/// A reply is what is written between [`begin`](Self::begin) and [`finish`](Self::finish): one item.
/// A list of n items wants n more behind it, a map of n pairs wants n times a key and a value. What
/// goes beyond is not written and spoils the reply, and so does what is larger than [`bound`](Self::bound)
/// allows: of such a reply nothing is kept, however long the worker goes on writing. Nothing of a reply is pending before it is
/// finished; outside a reply, items are not written.
#[derive(Debug)]
pub struct Encoder {
    pub(super) out: Outgoing,
    protocol: Protocol,
    pub(super) nesting: Nesting,
    /// Whether a reply has begun and is not finished.
    pub(super) open: bool,
    fault: Fault,
    /// The largest reply, in bytes.
    most: usize,
    /// Whether the reply's top-level item is an error.
    error: bool,
    /// Where in the draft the current line of a plain reply starts.
    line: usize,
}

impl Encoder {
    /// An encoder that has nothing to send.
    pub fn new(protocol: Protocol) -> Self {
        Self {
            out: Outgoing::default(),
            protocol,
            nesting: Nesting::default(),
            open: false,
            fault: Fault::None,
            most: usize::MAX,
            error: false,
            line: 0,
        }
    }

    /// Replaces replies of more than `most` bytes with an error.
    pub fn bound(&mut self, most: usize) {
        self.most = most;
    }

    /// What replies are written in.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Writes in `protocol` from now on. Not for the middle of a reply, which must be in one.
    pub fn set_protocol(&mut self, protocol: Protocol) {
        self.protocol = protocol;
    }

    /// Starts a reply. One that was not finished is thrown away.
    #[inline]
    pub fn begin(&mut self) {
        self.open = true;
        self.reset();
    }

    /// Throws away what this reply has written so far, and starts it anew.
    #[inline]
    pub fn reset(&mut self) {
        self.out.drop_draft();
        (self.fault, self.error, self.line) = (Fault::None, false, 0);
        if self.open {
            self.nesting.start();
        }
    }

    /// Ends the reply. If its items do not add up, or are too large, it becomes an error instead.
    /// Without a reply to end, nothing is written and the answer is [`Finished::Malformed`].
    #[inline]
    pub fn finish(&mut self) -> Finished {
        if !self.open {
            return Finished::Malformed;
        }
        let finished = if self.fault != Fault::None || self.nesting.wanting() {
            self.replace()
        } else if self.error {
            Finished::Error
        } else {
            Finished::Ok
        };
        self.open = false;
        self.out.approve_draft();
        finished
    }

    /// Puts an error in the place of a reply that cannot be sent.
    #[cold]
    fn replace(&mut self) -> Finished {
        let (fault, most) = (self.fault, self.most);
        self.reset();
        // The error itself is sent however little is allowed.
        self.most = usize::MAX;
        let finished = if fault == Fault::TooLarge {
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

    /// Whether the reply, as far as it is written, is an error.
    #[inline]
    pub fn failed(&self) -> bool {
        self.error
    }

    /// The reply that says that all went well.
    pub fn ok(&mut self) {
        self.item(|out, protocol| {
            out.extend_from_slice(match protocol {
                Protocol::Lines => b"OK",
                Protocol::Resp2 | Protocol::Resp3 => b"+OK\r\n",
            });
        });
    }

    /// A short word for people and programs, such as `PONG`. Its line ends are left out.
    #[inline]
    pub fn status(&mut self, text: &str) {
        self.item(|out, protocol| match protocol {
            Protocol::Lines => resp::stripped(out, text.as_bytes()),
            Protocol::Resp2 | Protocol::Resp3 => {
                out.push(b'+');
                resp::stripped(out, text.as_bytes());
                out.extend_from_slice(b"\r\n");
            }
        });
    }

    /// Bytes of any kind.
    #[inline]
    pub fn text(&mut self, bytes: &[u8]) {
        if bytes.len() > self.most {
            return self.discard();
        }
        self.item(|out, protocol| match protocol {
            Protocol::Lines => out.extend_from_slice(bytes),
            Protocol::Resp2 | Protocol::Resp3 => resp::bulk(out, bytes),
        });
    }

    /// An integer.
    pub fn integer(&mut self, value: i64) {
        self.item(|out, protocol| match protocol {
            Protocol::Lines => {
                out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
            }
            Protocol::Resp2 | Protocol::Resp3 => resp::header(out, b':', value),
        });
    }

    /// A float, in the fewest digits that read back as the same one; or `inf`, `-inf`, `nan`.
    pub fn float(&mut self, value: f64) {
        self.item(|out, protocol| {
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

    /// True or false; 1 or 0 in RESP2.
    pub fn boolean(&mut self, value: bool) {
        self.item(|out, protocol| {
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

    /// The absence of a value.
    pub fn null(&mut self) {
        self.item(|out, protocol| {
            out.extend_from_slice(match protocol {
                Protocol::Lines => b"(null)",
                Protocol::Resp2 => b"$-1\r\n",
                Protocol::Resp3 => b"_\r\n",
            });
        });
    }

    /// Opens a list; its `length` items come next.
    pub fn list(&mut self, length: usize) {
        self.collection(false, length, Some(length));
    }

    /// Opens a map; its `pairs` keys come next, each with its value.
    pub fn map(&mut self, pairs: usize) {
        self.collection(true, pairs, pairs.checked_mul(2));
    }

    /// An error. `kind` is a word such as `ERR`, and is `ERR` if empty; line ends become spaces.
    pub fn error(&mut self, kind: &str, message: &[u8]) {
        if message.len() > self.most {
            return self.discard();
        }
        let kind = if kind.is_empty() { "ERR" } else { kind };
        let whole_reply = self.nesting.wanting() && self.nesting.depth() == 0;
        self.item(|out, protocol| match protocol {
            Protocol::Lines => plain::error(out, kind, message),
            Protocol::Resp2 | Protocol::Resp3 => resp::error(out, kind, message),
        });
        self.error |= whole_reply;
    }

    fn collection(&mut self, map: bool, count: usize, items: Option<usize>) {
        let (Some(items), true) = (items, self.nesting.has_room()) else {
            return self.spoil();
        };
        if items == 0 {
            let nested = self.nesting.depth() > 0;
            return self.item(|out, protocol| match protocol {
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
    fn item(&mut self, write: impl FnOnce(&mut Vec<u8>, Protocol)) {
        if !self.admit() {
            return;
        }
        write(&mut self.out.bytes, self.protocol);
        // An item that is a reply by itself has been looked at before it was written.
        let line_ends = if self.nesting.depth() == 0 {
            self.nesting.stop_wanting();
            true
        } else if self.out.draft_len() > self.most {
            return self.discard();
        } else {
            self.nesting.count()
        };
        if line_ends && self.protocol == Protocol::Lines {
            let start = self.out.draft_start() + self.line;
            plain::end_line(&mut self.out.bytes, start);
            self.line = self.out.draft_len();
        }
    }

    /// Lets another item in if one is wanted, and joins it to the one before.
    #[inline]
    fn admit(&mut self) -> bool {
        if !self.nesting.wanting() {
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

    /// Drops a reply that is too large, and its memory, and takes no more of it.
    #[cold]
    fn discard(&mut self) {
        if self.fault == Fault::None {
            self.fault = Fault::TooLarge;
        }
        self.error = true;
        self.nesting.stop();
        self.out.drop_draft();
        self.out.shrink();
    }
}
