//! The form of the messages between hosts.
//!
//! A call is [`MAGIC`], the length of its head in four bytes, the head in JSON, and the request as a
//! RESP array. A message that does not begin with [`MAGIC`] comes from a service client: its payload
//! is a line of arguments. A reply is a byte for its kind, and its content.

use std::{collections::HashSet, net::SocketAddr};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// The first bytes of a host's call. No line begins with them.
const MAGIC: &[u8] = b"\0DC1";

/// The facts about a call that travel with it. Its presence says that the call was forwarded: the
/// host that gets it never forwards it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallHead {
    /// The id of the calling host.
    #[serde(rename = "i")]
    pub caller: String,
    /// The name of the calling host.
    #[serde(rename = "h")]
    pub host: String,
    /// The session's number there.
    #[serde(rename = "s")]
    pub session: u64,
    /// The client's address.
    #[serde(rename = "p")]
    pub peer: SocketAddr,
    /// The name that the client gave its session.
    #[serde(rename = "n", default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The client's key; empty for a client that is trusted by its address.
    #[serde(rename = "k", default, skip_serializing_if = "String::is_empty")]
    pub key: String,
    /// True if the client is an admin.
    #[serde(rename = "a", default)]
    pub is_admin: bool,
}

/// Returns the message of a call.
pub fn call<'a>(head: &CallHead, words: impl Iterator<Item = &'a [u8]> + Clone) -> Bytes {
    let size = words.clone().map(|word| word.len() + 32).sum::<usize>();
    let mut out = Vec::with_capacity(size + 256);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&[0; 4]);
    // A head of text and numbers always has a form in JSON.
    let _ = serde_json::to_writer(&mut out, head);
    let length = u32::try_from(out.len() - MAGIC.len() - 4).unwrap_or_default();
    out[MAGIC.len()..MAGIC.len() + 4].copy_from_slice(&length.to_le_bytes());
    request(&mut out, words);
    out.into()
}

/// Appends a request as a RESP array.
fn request<'a>(out: &mut Vec<u8>, words: impl Iterator<Item = &'a [u8]> + Clone) {
    let mut header = |kind: u8, count: usize, content: &[u8]| {
        out.push(kind);
        out.extend_from_slice(count.to_string().as_bytes());
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(content);
        if kind == b'$' {
            out.extend_from_slice(b"\r\n");
        }
    };
    header(b'*', words.clone().count(), b"");
    words.for_each(|word| header(b'$', word.len(), word));
}

/// Returns true if a message is a host's call, or is meant to be one.
pub fn is_call(message: &[u8]) -> bool {
    message.starts_with(MAGIC)
}

/// Returns a call's head and its request; `None` if the message is no call.
pub fn read_call(message: &[u8]) -> Option<(CallHead, &[u8])> {
    let (length, rest) = message.strip_prefix(MAGIC)?.split_first_chunk()?;
    let (head, request) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    Some((serde_json::from_slice(head).ok()?, request))
}

/// A message of the host that answers a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    /// The reply, in RESP3. Behind parts, it says that the others will not come.
    Reply(Bytes),
    /// A part of a large reply.
    Part {
        /// The id of the host that answers.
        host: String,
        /// The part's number; the first has 0.
        number: u64,
        /// True if no other follows.
        is_last: bool,
        /// The part.
        content: Bytes,
    },
    /// The progress of the call: done, total, text.
    Progress(u64, u64, String),
    /// The call has not run, since this host does not answer the command now.
    Elsewhere,
}

impl Response {
    /// Returns the message.
    pub fn encode(&self) -> Bytes {
        let with = |kind: u8, content: &[u8]| [&[kind], content].concat().into();
        match self {
            Self::Reply(bytes) => with(b'R', bytes),
            Self::Part { host, number, is_last, content } => {
                let kind = if *is_last { b'L' } else { b'C' };
                let length = u8::try_from(host.len()).unwrap_or_default();
                let number = number.to_le_bytes();
                with(kind, &[&number[..], &[length], host.as_bytes(), content].concat())
            }
            Self::Progress(done, total, text) => with(
                b'P',
                &[&done.to_le_bytes()[..], &total.to_le_bytes(), text.as_bytes()].concat(),
            ),
            Self::Elsewhere => with(b'E', b""),
        }
    }

    /// Reads a message; `None` if it is none.
    pub fn decode(message: &Bytes) -> Option<Self> {
        let content = message.slice(1.min(message.len())..);
        Some(match message.first()? {
            b'R' => Self::Reply(content),
            kind @ (b'C' | b'L') => {
                let (number, rest) = content.split_first_chunk()?;
                let (length, rest) = rest.split_first()?;
                let (host, part) = rest.split_at_checked(usize::from(*length))?;
                Self::Part {
                    host: std::str::from_utf8(host).ok()?.to_owned(),
                    number: u64::from_le_bytes(*number),
                    is_last: *kind == b'L',
                    content: content.slice_ref(part),
                }
            }
            b'P' => {
                let (done, rest) = content.split_first_chunk()?;
                let (total, text) = rest.split_first_chunk()?;
                let text = String::from_utf8_lossy(text).into_owned();
                Self::Progress(u64::from_le_bytes(*done), u64::from_le_bytes(*total), text)
            }
            b'E' => Self::Elsewhere,
            _ => return None,
        })
    }
}

/// A message to one host, outside of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Direct {
    /// Asks for the calls of this host that run there.
    Ping(String),
    /// Cancels a call of this host.
    Cancel(String, u64),
    /// Tells that this host has taken this number of parts of the reply to a call.
    Taken(String, u64, u64),
    /// Asks for the list of commands.
    Commands,
    /// Comes from the host itself: all calls that were sent to it before have arrived.
    Drained,
}

impl Direct {
    /// Returns the message.
    pub fn encode(&self) -> Bytes {
        match self {
            Self::Ping(caller) => format!("P{caller}").into(),
            Self::Cancel(caller, call) => format!("X{call} {caller}").into(),
            Self::Taken(caller, call, parts) => format!("T{call} {parts} {caller}").into(),
            Self::Commands => "L".into(),
            Self::Drained => "D".into(),
        }
    }

    /// Reads a message; `None` if it is none.
    pub fn decode(message: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(message).ok()?;
        let (kind, content) = text.split_at_checked(1)?;
        match kind {
            "P" => Some(Self::Ping(content.to_owned())),
            "X" => {
                let (call, caller) = content.split_once(' ')?;
                Some(Self::Cancel(caller.to_owned(), call.parse().ok()?))
            }
            "T" => {
                let (call, rest) = content.split_once(' ')?;
                let (parts, caller) = rest.split_once(' ')?;
                Some(Self::Taken(caller.to_owned(), call.parse().ok()?, parts.parse().ok()?))
            }
            "L" => Some(Self::Commands),
            "D" => Some(Self::Drained),
            _ => None,
        }
    }
}

/// Returns the answer to a ping: the number of times that this host has been connected, and the
/// numbers of the calls that run.
pub fn pong(connects: usize, calls: &[u64]) -> Bytes {
    let numbers = std::iter::once(connects as u64).chain(calls.iter().copied());
    numbers.flat_map(u64::to_le_bytes).collect::<Vec<u8>>().into()
}

/// Reads the answer to a ping; `None` if it is none.
pub fn read_pong(message: &[u8]) -> Option<(usize, HashSet<u64>)> {
    let (numbers, _) = message.as_chunks::<8>();
    let mut numbers = numbers.iter().map(|number| u64::from_le_bytes(*number));
    Some((usize::try_from(numbers.next()?).ok()?, numbers.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> CallHead {
        CallHead {
            caller: "id".into(),
            host: "a".into(),
            session: 7,
            peer: "[::1]:9".parse().unwrap(),
            name: String::new(),
            key: "kim".into(),
            is_admin: false,
        }
    }

    #[test]
    fn a_call_arrives_as_it_was_sent() {
        let words = [&b"echo"[..], b"", b"\0\xff\r\n*1"];
        let message = call(&head(), words.into_iter());
        assert!(is_call(&message));
        let (found, request) = read_call(&message).unwrap();
        assert_eq!(found, head());
        assert_eq!(request, b"*3\r\n$4\r\necho\r\n$0\r\n\r\n$6\r\n\0\xff\r\n*1\r\n");
        for length in 0..message.len() - request.len() {
            assert_eq!(read_call(&message[..length]), None, "{length}");
        }
        assert!(!is_call(b"hello"));
    }

    #[test]
    fn responses_and_direct_messages_arrive() {
        let part = |is_last| {
            let content = Bytes::from_static(b"\xff");
            Response::Part { host: "id".into(), number: 7, is_last, content }
        };
        for response in [
            Response::Reply(Bytes::from_static(b"+OK\r\n")),
            Response::Reply(Bytes::new()),
            part(false),
            part(true),
            Response::Progress(1, u64::MAX, "half".into()),
            Response::Elsewhere,
        ] {
            assert_eq!(Response::decode(&response.encode()), Some(response));
        }
        for message in [&b""[..], b"Z", b"P\0\0", b"C", b"L\0\0\0\0\0\0\0\0\x03id"] {
            assert_eq!(Response::decode(&Bytes::from_static(message)), None, "{message:?}");
        }
        for direct in [Direct::Ping("id".into()), Direct::Cancel("id".into(), 9), Direct::Commands]
        {
            assert_eq!(Direct::decode(&direct.encode()), Some(direct));
        }
        for message in [&b""[..], b"Zx", b"X", b"Xa id", b"T1 id", b"\xff"] {
            assert_eq!(Direct::decode(message), None, "{message:?}");
        }
        assert_eq!(read_pong(&pong(3, &[1, u64::MAX])), Some((3, HashSet::from([1, u64::MAX]))));
        assert_eq!(read_pong(b""), None);
    }
}
