//! Encodes commands and decodes replies.

use redis_protocol::{
    bytes::{Bytes, BytesMut},
    resp3::{
        decode::complete::decode_range,
        encode::complete::extend_encode_borrowed,
        types::{BorrowedFrame, RangeFrame},
    },
};

use crate::{
    conversation::frame::{FoundFrame, FrameError, Scanner},
    reply::Reply,
};

/// A message of the host.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// The reply to the oldest command without one.
    Reply(Reply),
    /// A push message, which answers no command.
    Push(Vec<Reply>),
}

/// Encodes a command as an array of strings.
pub fn encode(arguments: &[Vec<u8>]) -> Result<BytesMut, FrameError> {
    let data: Vec<_> = arguments
        .iter()
        .map(|argument| BorrowedFrame::BlobString { data: argument, attributes: None })
        .collect();
    let frame = BorrowedFrame::Array { data: &data, attributes: None };
    let mut buffer = BytesMut::new();
    extend_encode_borrowed(&mut buffer, &frame, false)
        .map_err(|error| FrameError::Content(error.to_string()))?;
    Ok(buffer)
}

/// Decodes messages from bytes as they arrive.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: BytesMut,
    scanner: Scanner,
}

impl Decoder {
    /// Appends received bytes.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Removes and returns the next complete message.
    pub fn next(&mut self) -> Result<Option<Message>, FrameError> {
        let Some(FoundFrame { end, sets }) = self.scanner.scan(&self.buffer)? else {
            return Ok(None);
        };
        let mut bytes = self.buffer.split_to(end);
        for set in sets {
            // The decoder rejects sets of lists and maps, which servers do send. It accepts them as
            // lists.
            bytes[set] = b'*';
        }
        let bytes = bytes.freeze();
        let frame = match decode_range(&bytes) {
            Ok(Some((frame, length))) if length == end => frame,
            Ok(_) => return Err(FrameError::Length),
            Err(error) => return Err(FrameError::Content(error.to_string())),
        };
        Ok(Some(match frame {
            RangeFrame::Push { data, .. } => Message::Push(list(data, &bytes)?),
            frame => Message::Reply(reply(frame, &bytes)?),
        }))
    }
}

fn list(
    frames: impl IntoIterator<Item = RangeFrame>,
    bytes: &Bytes,
) -> Result<Vec<Reply>, FrameError> {
    frames.into_iter().map(|frame| reply(frame, bytes)).collect()
}

fn reply(frame: RangeFrame, bytes: &Bytes) -> Result<Reply, FrameError> {
    let slice = |(start, end): (usize, usize)| bytes.slice(start..end);
    Ok(match frame {
        RangeFrame::BlobString { data, .. }
        | RangeFrame::SimpleString { data, .. }
        | RangeFrame::BigNumber { data, .. }
        | RangeFrame::VerbatimString { data, .. } => Reply::Text(slice(data)),
        RangeFrame::SimpleError { data, .. } | RangeFrame::BlobError { data, .. } => {
            Reply::Error(slice(data))
        }
        RangeFrame::Boolean { data, .. } => Reply::Boolean(data),
        RangeFrame::Null => Reply::Null,
        RangeFrame::Number { data, .. } => Reply::Integer(data),
        RangeFrame::Double { data, .. } => Reply::Float(data),
        RangeFrame::Array { data, .. } | RangeFrame::Push { data, .. } => {
            Reply::List(list(data, bytes)?)
        }
        RangeFrame::Map { data, .. } => {
            // The decoder fills its map from the last entry to the first.
            let pairs = data.into_iter().rev();
            let pairs = pairs.map(|(key, value)| Ok((reply(key, bytes)?, reply(value, bytes)?)));
            Reply::Map(pairs.collect::<Result<_, FrameError>>()?)
        }
        RangeFrame::Set { .. } | RangeFrame::Hello { .. } | RangeFrame::ChunkedString(_) => {
            return Err(FrameError::Content("a kind of frame that no reply uses".to_owned()));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Reply {
        Reply::Text(Bytes::copy_from_slice(text.as_bytes()))
    }

    fn decode(bytes: &[u8]) -> Message {
        let mut decoder = Decoder::default();
        decoder.feed(bytes);
        let message = decoder.next().unwrap().unwrap();
        assert_eq!(decoder.next(), Ok(None));
        message
    }

    #[test]
    fn commands_are_arrays_of_strings() {
        let command = [b"echo".to_vec(), b"a b\r\n\xff".to_vec(), Vec::new()];
        let bytes = encode(&command).unwrap();
        assert_eq!(&bytes[..], b"*3\r\n$4\r\necho\r\n$6\r\na b\r\n\xff\r\n$0\r\n\r\n");
    }

    #[test]
    fn every_kind_of_reply_is_decoded() {
        for (bytes, reply) in [
            (&b"+OK\r\n"[..], text("OK")),
            (b"$2\r\nhi\r\n", text("hi")),
            (b"=6\r\ntxt:hi\r\n", text("hi")),
            (b"(123456789012345678901234567890\r\n", text("123456789012345678901234567890")),
            (b":-42\r\n", Reply::Integer(-42)),
            (b",1.5\r\n", Reply::Float(1.5)),
            (b",-inf\r\n", Reply::Float(f64::NEG_INFINITY)),
            (b"#f\r\n", Reply::Boolean(false)),
            (b"_\r\n", Reply::Null),
            (b"-ERR \xff\r\n", Reply::Error(Bytes::from_static(b"ERR \xff"))),
            (b"!5\r\nERR x\r\n", Reply::Error(Bytes::from_static(b"ERR x"))),
            (b"*2\r\n:1\r\n*0\r\n", Reply::List(vec![Reply::Integer(1), Reply::List(vec![])])),
            (
                b"~2\r\n%0\r\n~1\r\n:1\r\n",
                Reply::List(vec![Reply::Map(vec![]), Reply::List(vec![Reply::Integer(1)])]),
            ),
            (b"|1\r\n+a\r\n+b\r\n:1\r\n", Reply::Integer(1)),
        ] {
            assert_eq!(decode(bytes), Message::Reply(reply));
        }
    }

    #[test]
    fn maps_keep_their_order() {
        let pairs: Vec<_> =
            (0..100).rev().map(|n| (text(&format!("k{n}")), Reply::Integer(n))).collect();
        let mut bytes = b"%100\r\n".to_vec();
        for n in (0..100).rev() {
            bytes.extend(format!("+k{n}\r\n:{n}\r\n").bytes());
        }
        assert_eq!(decode(&bytes), Message::Reply(Reply::Map(pairs)));
    }

    #[test]
    fn pushes_are_apart_from_replies() {
        let message = decode(b">2\r\n+notice\r\n$3\r\nbye\r\n");
        assert_eq!(message, Message::Push(vec![text("notice"), text("bye")]));
    }

    #[test]
    fn invalid_content_is_an_error() {
        for bytes in [&b":x\r\n"[..], b"#x\r\n", b",x\r\n", b"HELLO 3\r\n"] {
            let mut decoder = Decoder::default();
            decoder.feed(bytes);
            assert!(decoder.next().is_err());
        }
    }
}
