//! Passes a reply of another host on, in the protocol of this session.

use bytes::Bytes;
use protocol::Encoder;
use redis_protocol::resp3::{decode::complete::decode_bytes, types::BytesFrame};

/// The other host's reply is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoReply;

/// Writes a reply in RESP3, as [`Encoder`] makes it, into another encoder.
///
/// # Errors
/// The bytes are not one reply.
pub fn write(reply: &Bytes, out: &mut Encoder) -> Result<(), NoReply> {
    match decode_bytes(reply) {
        Ok(Some((frame, read))) if read == reply.len() => write_frame(&frame, out),
        _ => Err(NoReply),
    }
}

fn write_frame(frame: &BytesFrame, out: &mut Encoder) -> Result<(), NoReply> {
    match frame {
        BytesFrame::SimpleString { data, .. } if data.as_ref() == b"OK" => out.ok(),
        BytesFrame::SimpleString { data, .. } => out.status(&String::from_utf8_lossy(data)),
        BytesFrame::BlobString { data, .. } => out.text(data),
        BytesFrame::Number { data, .. } => out.integer(*data),
        BytesFrame::Double { data, .. } => out.float(*data),
        BytesFrame::Boolean { data, .. } => out.boolean(*data),
        BytesFrame::Null => out.null(),
        BytesFrame::SimpleError { data, .. } => write_error(data, out),
        BytesFrame::Array { data, .. } => {
            out.list(data.len());
            data.iter().try_for_each(|item| write_frame(item, out))?;
        }
        BytesFrame::Map { data, .. } => {
            out.map(data.len());
            for (key, value) in data {
                write_frame(key, out)?;
                write_frame(value, out)?;
            }
        }
        // The encoder makes no other.
        _ => return Err(NoReply),
    }
    Ok(())
}

fn write_error(text: &str, out: &mut Encoder) {
    match text.split_once(' ') {
        Some((kind, message)) => out.error(kind, message.as_bytes()),
        None => out.error(text, b""),
    }
}

#[cfg(test)]
mod tests {
    use protocol::{Finished, Protocol};

    use super::*;

    fn encoded(protocol: Protocol, write: impl FnOnce(&mut Encoder)) -> (Finished, Vec<u8>) {
        let mut encoder = Encoder::new(protocol);
        encoder.begin();
        write(&mut encoder);
        let finished = encoder.finish();
        (finished, encoder.pending().to_vec())
    }

    #[test]
    fn every_reply_is_the_same_in_every_protocol() {
        let replies: [fn(&mut Encoder); 13] = [
            |out| out.ok(),
            |out| out.status("PONG"),
            |out| out.text(b""),
            |out| out.text(b"\0\xff\r\n$5"),
            |out| out.integer(i64::MIN),
            |out| out.float(-0.5),
            |out| out.float(f64::INFINITY),
            |out| out.boolean(true),
            |out| out.null(),
            |out| out.error("NOPE", b"no such thing"),
            |out| out.error("", b"text"),
            |out| out.list(0),
            |out| {
                out.list(3);
                out.map(2);
                out.text(b"z");
                out.boolean(false);
                out.text(b"a");
                out.list(1);
                out.null();
                out.error("ERR", b"inside");
                out.integer(1);
            },
        ];
        for (number, reply) in replies.into_iter().enumerate() {
            let sent = Bytes::from(encoded(Protocol::Resp3, reply).1);
            for protocol in [Protocol::Lines, Protocol::Resp2, Protocol::Resp3] {
                let passed = encoded(protocol, |out| write(&sent, out).unwrap());
                assert_eq!(passed, encoded(protocol, reply), "reply {number} as {protocol:?}");
            }
        }
    }

    #[test]
    fn bytes_that_are_no_reply_are_refused() {
        for bytes in [&b""[..], b"+OK", b"$5\r\nab", b"+OK\r\n+OK\r\n", b"?", b">1\r\n+a\r\n"] {
            let mut encoder = Encoder::new(Protocol::Resp2);
            encoder.begin();
            assert_eq!(write(&Bytes::copy_from_slice(bytes), &mut encoder), Err(NoReply));
        }
    }
}
