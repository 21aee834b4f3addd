//! The messages of a library's worker process, which hostile code may have written.
//!
//! The first byte chooses the part of the protocol that reads the rest, the second its limits.
#![no_main]

use std::{
    io::{ErrorKind, Write},
    net::Shutdown,
    os::unix::net::UnixStream,
    sync::{Arc, LazyLock, atomic::Ordering},
    time::Duration,
};

use dropin_fuzz::process::native::{
    mailbox::WORDS,
    message::{CallHead, Opened, Ready},
    pieces::{PieceReader, next_reply},
    wire::{Received, Side, Wire},
};
use libfuzzer_sys::fuzz_target;
use platform::shared_memory::SharedMemory;
use plugin_api::is_command_name;
use protocol::{Encoder, Finished, Protocol};

/// The shortest time limit of a socket.
const SHORT: Duration = Duration::from_micros(1);
/// The most bytes of an incomplete piece beside its text: 17, and the kind of an error.
const BESIDE: usize = 17 + 255;
/// The most bytes of a reply beside its text.
const FRAME: usize = 600;

/// The words before a mailbox's message.
const HEAD: usize = 16;

static MEMORY: LazyLock<Arc<SharedMemory>> = LazyLock::new(|| {
    let (memory, _) = SharedMemory::make(platform::MEMORY).expect("there is memory");
    Arc::new(memory)
});

/// A message as this target compares it.
type Owned = (u8, Vec<u8>);

/// Returns a connection on which the other side has sent these bytes and their end, and that side.
fn wire(sent: &[u8], memory: Option<Arc<SharedMemory>>) -> (Wire, UnixStream) {
    let (ours, mut theirs) = UnixStream::pair().expect("there are descriptors");
    theirs.write_all(sent).expect("it is less than a socket takes");
    theirs.shutdown(Shutdown::Write).expect("it is connected");
    let wire = Wire::new((ours, memory), Side::Host, Some(SHORT));
    (wire.expect("a limit can be set"), theirs)
}

/// Returns the messages in these bytes, and the error behind them.
fn messages(mut sent: &[u8], most: usize) -> (Vec<Owned>, ErrorKind) {
    let mut messages = Vec::new();
    while let Some(([a, b, c, d, kind], rest)) = sent.split_first_chunk() {
        let length = u32::from_le_bytes([*a, *b, *c, *d]) as usize;
        if length > most {
            return (messages, ErrorKind::InvalidData);
        }
        let Some((payload, rest)) = rest.split_at_checked(length) else { break };
        messages.push((*kind, payload.to_vec()));
        sent = rest;
    }
    (messages, ErrorKind::UnexpectedEof)
}

/// Checks that a socket's messages are received as they were sent.
fn check_socket(sent: &[u8], most: usize) {
    let (mut wire, _theirs) = wire(sent, None);
    let mut received = Vec::new();
    let error = loop {
        match wire.receive(most) {
            Ok(Received::Message(kind, payload)) => received.push((kind, payload.to_vec())),
            // A signal of the fuzzer.
            Ok(Received::Nothing) => {}
            Err(error) => break error.kind(),
        }
    };
    assert_eq!((received, error), messages(sent, most));
}

/// Checks messages in shared memory that the other side sets at will before each turn: 8 bytes
/// have the states of both mailboxes, the length and the message's own length, which follows.
fn check_memory(input: &[u8], most: usize) {
    let (sent, mut turns) = input.split_at(input.len() / 2);
    let (mut wire, _theirs) = wire(sent, Some(Arc::clone(&MEMORY)));
    let words = MEMORY.words();
    let (outgoing, incoming) = words.split_at(WORDS);
    while let Some(([in_state, out_state, a, b, c, d, size, kind], rest)) =
        turns.split_first_chunk()
    {
        let (message, rest) = rest.split_at(rest.len().min(usize::from(*size)));
        turns = rest;
        outgoing[0].store(u32::from(*out_state), Ordering::Relaxed);
        incoming[0].store(u32::from(*in_state), Ordering::Relaxed);
        incoming[1].store(u32::from_le_bytes([*a, *b, *c, *d]), Ordering::Relaxed);
        for (word, bytes) in incoming[HEAD..].iter().zip(message.chunks(4)) {
            let mut four = [0; 4];
            four[..bytes.len()].copy_from_slice(bytes);
            word.store(u32::from_ne_bytes(four), Ordering::Relaxed);
        }
        let _ = wire.is_readable(Duration::ZERO);
        match wire.receive(most) {
            Ok(Received::Message(_, payload)) => assert!(payload.len() <= most),
            Ok(Received::Nothing) => {}
            Err(error) => {
                let text = error.to_string();
                assert!(!text.contains(char::is_control) && text.len() < 200, "{text:?}");
                // A host uses such a connection no more.
                return;
            }
        }
        let length = usize::from(*kind) * 64;
        if wire.send(*kind, |out| out.resize(out.len() + length, *kind), &mut || false).is_err() {
            return;
        }
    }
}

/// Reads a reply in parts of these lengths. Returns its outcome and its bytes, or nothing if the
/// bytes are no reply.
fn reply(
    input: &[u8],
    most: usize,
    mut part: impl FnMut() -> usize,
) -> Option<(Finished, Vec<u8>)> {
    let mut encoder = Encoder::new(Protocol::Resp3);
    encoder.bound(most);
    encoder.begin();
    let (mut reader, mut rest) = (PieceReader::default(), input);
    reader.start();
    while !rest.is_empty() {
        let (bytes, after) = rest.split_at(part().clamp(1, rest.len()));
        rest = after;
        reader.feed(bytes, &mut encoder).ok()?;
        assert!(reader.held() <= most.saturating_add(BESIDE), "{} of {most}", reader.held());
    }
    reader.finish().ok()?;
    let finished = encoder.finish();
    assert!(encoder.len() <= most.saturating_add(FRAME), "{} of {most}", encoder.len());
    Some((finished, encoder.pending().to_vec()))
}

/// Checks the pieces of a reply, which may come in any parts.
fn check_pieces(input: &[u8], most: usize) {
    let mut length = most;
    let mut cut = || {
        length = (length * 137 + 29) % 251;
        length
    };
    let _ = reply(input, most, &mut cut);
    let whole = reply(input, input.len(), || input.len());
    assert_eq!(reply(input, input.len(), &mut cut), whole);
}

/// Checks the payload of a call, which is written again from what was read.
fn check_call(payload: &[u8]) {
    let mut spans = Vec::new();
    let Some((head, bytes)) = CallHead::read(payload, &mut spans) else { return };
    let end = |start: u32, length: u32| start as usize + length as usize;
    assert!(spans.iter().all(|span| end(span.start, span.length) <= bytes.len()));
    let mut written = Vec::new();
    head.write(&mut written, bytes, &spans);
    // Any value but 0 means IPv6.
    let mut expected = payload.to_vec();
    expected[13] = u8::from(expected[13] != 0);
    assert_eq!(written, expected);
}

/// Checks the description of a library.
fn check_ready(payload: &[u8]) {
    match Ready::read(payload) {
        Ok(ready) => {
            assert_eq!(ready.manifest.check(), Ok(()));
            assert!(ready.manifest.commands.iter().all(|command| is_command_name(&command.name)));
            let again = serde_json::to_vec(&Opened::Ok(ready.clone())).expect("it has a form");
            assert_eq!(Ready::read(&again), Ok(ready));
        }
        Err(refusal) => {
            let text = refusal.to_string();
            assert!(!text.contains(char::is_control) && text.len() < 5000, "{text:?}");
        }
    }
}

/// Checks several replies in one message: each lies in it, behind the one before.
fn check_replies(message: &[u8], most: usize) {
    let (mut rest, mut length) = (message, 0);
    while let Some(pieces) = next_reply(&mut rest) {
        length += 4 + pieces.len();
        assert_eq!(length + rest.len(), message.len());
        let _ = reply(pieces, most, || pieces.len());
    }
}

fuzz_target!(|data: &[u8]| {
    let Some(([choice, limit], input)) = data.split_first_chunk() else { return };
    let most = usize::from(*limit) * 16;
    match choice % 6 {
        0 => check_socket(input, most),
        // Longer than the room that a connection keeps.
        1 => check_socket(&input.repeat(1 + usize::from(limit % 16)), usize::MAX),
        2 => check_memory(input, most),
        3 => check_pieces(input, most),
        4 => check_call(input),
        _ => {
            check_ready(input);
            check_replies(input, most);
        }
    }
});
