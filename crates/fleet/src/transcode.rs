//! Passes a reply of another host on, in the protocol of this session.
//!
//! The parsers of RESP3 on the registry collect a map, which loses the order of its entries and every
//! second entry of a key. Nothing has to be collected: each element is passed on as it is read, and
//! the encoder counts those that a list or a map still needs.

use memchr::memchr;
use protocol::Encoder;

/// The other host's reply is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoReply;

/// Writes a reply in RESP3, as [`Encoder`] makes it, into another encoder. The encoder refuses one
/// whose items do not add up.
///
/// # Errors
/// The bytes are not elements of RESP3, or none.
pub fn write(reply: &[u8], out: &mut Encoder) -> Result<(), NoReply> {
    let mut rest = reply;
    if rest.is_empty() {
        return Err(NoReply);
    }
    while !rest.is_empty() {
        rest = write_element(rest, out).ok_or(NoReply)?;
    }
    Ok(())
}

/// Writes the first element, and returns the bytes behind it; `None` if it is none.
fn write_element<'a>(bytes: &'a [u8], out: &mut Encoder) -> Option<&'a [u8]> {
    let (&kind, bytes) = bytes.split_first()?;
    let end = memchr(b'\r', bytes)?;
    let (line, rest) = bytes.split_at(end);
    let rest = rest.strip_prefix(b"\r\n")?;
    let text = || std::str::from_utf8(line).ok();
    let length = || text()?.parse::<usize>().ok();
    match kind {
        b'+' if line == b"OK" => out.ok(),
        b'+' => out.status(text()?),
        b'$' => {
            let (content, rest) = rest.split_at_checked(length()?)?;
            out.text(content);
            return rest.strip_prefix(b"\r\n");
        }
        b':' => out.integer(text()?.parse().ok()?),
        b',' => out.float(text()?.parse().ok()?),
        b'#' => out.boolean(line == b"t"),
        b'_' => out.null(),
        b'*' => out.list(length()?),
        b'%' => out.map(length()?),
        b'-' => {
            let space = memchr(b' ', line).unwrap_or(line.len());
            let (name, message) = line.split_at(space);
            let message = message.strip_prefix(b" ").unwrap_or(message);
            out.error(std::str::from_utf8(name).ok()?, message);
        }
        // The encoder makes no other.
        _ => return None,
    }
    Some(rest)
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
                out.map(3);
                out.text(b"z");
                out.boolean(false);
                out.text(b"z");
                out.integer(2);
                out.text(b"a");
                out.list(1);
                out.null();
                out.error("ERR", b"inside");
                out.integer(1);
            },
        ];
        for (number, reply) in replies.into_iter().enumerate() {
            let sent = encoded(Protocol::Resp3, reply).1;
            for protocol in [Protocol::Lines, Protocol::Resp2, Protocol::Resp3] {
                let passed = encoded(protocol, |out| write(&sent, out).unwrap());
                assert_eq!(passed, encoded(protocol, reply), "reply {number} as {protocol:?}");
            }
        }
    }

    #[test]
    fn bytes_that_are_no_reply_are_refused() {
        for bytes in
            [&b""[..], b"+OK", b"+OK\n", b"$5\r\nab", b"$-1\r\n", b"$2\r\nabc\r\n", b"?\r\n"]
        {
            let mut encoder = Encoder::new(Protocol::Resp2);
            encoder.begin();
            assert_eq!(write(bytes, &mut encoder), Err(NoReply), "{bytes:?}");
        }
        for bytes in [&b"+OK\r\n+OK\r\n"[..], b"*2\r\n:1\r\n"] {
            let (finished, _) = encoded(Protocol::Resp2, |out| write(bytes, out).unwrap());
            assert_eq!(finished, Finished::Malformed, "{bytes:?}");
        }
    }
}
