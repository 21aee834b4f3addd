//! Tests of notices, pushes, and sending.

use crate::{Encoder, Protocol};
use Protocol::{Lines, Resp2, Resp3};

#[test]
fn notices() {
    let notice = |protocol| {
        let mut encoder = Encoder::new(protocol);
        encoder.notice("going\ndown");
        String::from_utf8(encoder.pending().to_vec()).unwrap()
    };
    assert_eq!(notice(Lines), "going down\n");
    assert_eq!(notice(Resp2), "-SHUTDOWN going down\r\n");
    assert_eq!(notice(Resp3), ">2\r\n$6\r\nnotice\r\n$10\r\ngoing\ndown\r\n");
}

#[test]
fn pushes_exist_in_resp3_only() {
    for (protocol, expected) in [(Lines, ""), (Resp2, ""), (Resp3, ">2\r\n$1\r\na\r\n$0\r\n\r\n")] {
        let mut encoder = Encoder::new(protocol);
        encoder.push(&[]);
        encoder.push(&[b"a", b""]);
        assert_eq!(encoder.pending(), expected.as_bytes());
    }
}

#[test]
fn a_notice_goes_ahead_of_an_unfinished_reply() {
    let mut encoder = Encoder::new(Resp3);
    encoder.begin();
    encoder.list(2);
    encoder.integer(1);
    encoder.push(&[b"a"]);
    assert_eq!(encoder.pending(), b">1\r\n$1\r\na\r\n");
    encoder.integer(2);
    encoder.finish();
    assert_eq!(encoder.pending(), b">1\r\n$1\r\na\r\n*2\r\n:1\r\n:2\r\n");

    let mut encoder = Encoder::new(Lines);
    encoder.begin();
    encoder.list(2);
    encoder.text(b"one");
    encoder.notice("bye");
    encoder.text(b"");
    encoder.finish();
    assert_eq!(encoder.pending(), b"bye\none\n\n");
}

#[test]
fn partial_writes_lose_nothing() {
    let mut encoder = Encoder::new(Resp2);
    let (mut sent, mut expected) = (Vec::new(), Vec::new());
    for round in 0..2000u32 {
        let text = vec![round as u8; (round % 700) as usize];
        encoder.begin();
        encoder.text(&text);
        // Sending continues while a reply is written, and must not change it.
        let part = encoder.len().min((round % 411) as usize);
        sent.extend_from_slice(&encoder.pending()[..part]);
        encoder.advance(part);
        encoder.finish();
        expected.extend(format!("${}\r\n", text.len()).bytes());
        expected.extend(&text);
        expected.extend(b"\r\n");
    }
    sent.extend_from_slice(encoder.pending());
    assert!(sent == expected);
    encoder.advance(encoder.len());
    assert!(encoder.is_empty());
    encoder.advance(usize::MAX);
    assert!(encoder.is_empty());
}

#[test]
fn slow_reader_does_not_pin_sent_bytes() {
    let mut encoder = Encoder::new(Resp2);
    for _ in 0..1000 {
        encoder.begin();
        encoder.text(&[b'x'; 10_000]);
        encoder.finish();
        // Something always stays behind.
        encoder.advance(encoder.len() - 1);
    }
    assert!(encoder.out.bytes.capacity() < 1 << 19, "{}", encoder.out.bytes.capacity());
}

#[test]
fn warm_buffers_do_not_grow() {
    let mut encoder = Encoder::new(Resp3);
    let mut round = || {
        encoder.begin();
        encoder.text(&[b'x'; 1000]);
        encoder.finish();
        encoder.advance(encoder.len());
        encoder.out.bytes.capacity()
    };
    let warm = round();
    assert!((0..100).all(|_| round() == warm));
}

#[test]
fn shrink_frees_memory_and_keeps_unsent_bytes() {
    let mut encoder = Encoder::new(Resp2);
    encoder.begin();
    encoder.text(&[b'x'; 1 << 20]);
    encoder.finish();
    encoder.advance((1 << 20) - 100);
    let unsent = encoder.pending().to_vec();
    encoder.begin();
    encoder.list(1);
    encoder.shrink();
    assert!(encoder.out.bytes.capacity() <= 16 * 1024, "{}", encoder.out.bytes.capacity());
    encoder.ok();
    encoder.finish();
    assert_eq!(encoder.pending(), [&unsent[..], b"*1\r\n+OK\r\n"].concat());
}

#[test]
fn clearing_drops_everything() {
    let mut encoder = Encoder::new(Resp2);
    encoder.notice("x");
    encoder.begin();
    encoder.list(2);
    encoder.clear();
    encoder.ok();
    assert!(encoder.is_empty() && encoder.out.bytes.is_empty());
    encoder.begin();
    encoder.ok();
    encoder.finish();
    assert_eq!(encoder.pending(), b"+OK\r\n");
}
