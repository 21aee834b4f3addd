//! Replies of a server, split into arbitrary reads: the splits must not matter to the client.
//!
//! The first byte chooses the reads. The rest is also sent as a command and read again.
#![no_main]

#[path = "../../client/src/conversation"]
mod conversation {
    pub mod codec;
    pub mod frame;
}
#[path = "../../client/src/reply.rs"]
#[allow(dead_code, reason = "the client asks replies more")]
mod reply;

use conversation::codec::{Decoder, Message, encode};
use conversation::frame::FrameError;
use libfuzzer_sys::fuzz_target;
use reply::Reply;

/// Maximum nesting of a reply, as in the client.
const DEPTH: usize = 64;

/// Feeds these bytes and appends the messages that are complete then. Returns whether the
/// conversation continues.
fn read(
    decoder: &mut Decoder,
    bytes: &[u8],
    messages: &mut Vec<Result<Message, FrameError>>,
) -> bool {
    decoder.feed(bytes);
    while let Some(message) = decoder.next().transpose() {
        messages.push(message);
        if let Some(Err(error)) = messages.last() {
            let text = error.to_string();
            assert!(!text.contains(char::is_control), "{text:?}");
            return false;
        }
    }
    true
}

/// Returns the minimum number of bytes that the server has sent for a reply.
fn size(reply: &Reply, depth: usize) -> usize {
    assert!(depth <= DEPTH);
    match reply {
        Reply::Text(bytes) | Reply::Error(bytes) => bytes.len() + 3,
        Reply::List(list) => 4 + list.iter().map(|item| size(item, depth + 1)).sum::<usize>(),
        Reply::Map(pairs) => {
            let pair = |(key, value)| size(key, depth + 1) + size(value, depth + 1);
            4 + pairs.iter().map(|(key, value)| pair((key, value))).sum::<usize>()
        }
        Reply::Integer(_) | Reply::Float(_) | Reply::Boolean(_) => 4,
        Reply::Null => 3,
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((&cuts, stream)) = data.split_first() else { return };
    let (mut decoder, mut whole) = (Decoder::default(), Vec::new());
    let whole_goes_on = read(&mut decoder, stream, &mut whole);

    // One byte at a time, or pieces of pseudo-random sizes.
    let (mut decoder, mut pieces) = (Decoder::default(), Vec::new());
    let (mut rest, mut length, mut goes_on) = (stream, usize::from(cuts), true);
    while goes_on && !rest.is_empty() {
        length = (length * 137 + 29) % 251;
        let (bytes, tail) = rest.split_at(rest.len().min(length % (usize::from(cuts) + 1) + 1));
        goes_on = read(&mut decoder, bytes, &mut pieces);
        rest = tail;
    }
    assert_eq!(whole_goes_on, goes_on);
    // Compared as text, since a float may be NaN, which equals nothing.
    assert!(whole == pieces || format!("{whole:?}") == format!("{pieces:?}"));

    let sizes = whole.iter().flatten().map(|message| match message {
        Message::Reply(reply) => size(reply, 0),
        Message::Push(list) => 4 + list.iter().map(|item| size(item, 1)).sum::<usize>(),
    });
    let least = sizes.sum::<usize>();
    assert!(least <= stream.len(), "{least} of {}", stream.len());

    let arguments: Vec<Vec<u8>> = stream.split(|byte| *byte == b' ').map(<[u8]>::to_vec).collect();
    let sent = encode(&arguments).expect("any bytes can be sent");
    let (mut decoder, mut replies) = (Decoder::default(), Vec::new());
    assert!(read(&mut decoder, &sent, &mut replies));
    let texts = arguments.into_iter().map(|argument| Reply::Text(argument.into())).collect();
    assert_eq!(replies, [Ok(Message::Reply(Reply::List(texts)))]);
});
