//! Requests and replies between hosts: they arrive as they were sent.

use dropin_tests::{Frame, Host, Lines, Resp, nats::Nats};

use super::{error, expect_in_step, member, pair, wait_for_hosts};

/// Room for values that are larger than a message of NATS.
const LARGE: [&str; 6] =
    ["--max-argument", "8388608", "--max-request", "9000000", "--max-reply", "16777216"];

/// The commands whose replies have every kind.
const COMMANDS: [&[&str]; 6] = [
    &["kinds"],
    &["deep", "0"],
    &["deep", "30"],
    &["fail", "WRONGTYPE", "no such person"],
    &["fail", "lower", "a\r\n+b"],
    &["fail"],
];

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
fn every_kind_of_reply_arrives_unchanged() {
    let nats = Nats::start();
    let (a, b) = pair(&nats, &["facts"], "kinds");
    for connect in [Resp::connect, Resp::connect3] {
        let (mut far, mut near) = (connect(&a), connect(&b));
        for words in COMMANDS {
            assert_eq!(far.ask(words), near.ask(words), "{words:?}");
        }
        assert_eq!(far.ask(&["kinds"]).items().len(), 8);
        let failed = far.ask(&["fail", "WRONGTYPE", "no such person"]);
        assert_eq!(failed, Frame::error("WRONGTYPE no such person"));
    }
    let (mut far, mut near) = (Lines::connect(&a), Lines::connect(&b));
    for line in ["kinds", "deep 3", "fail WRONGTYPE 'no such person'", "fail"] {
        let said = far.ask_all(line);
        assert!(!said.is_empty(), "{line}");
        assert_eq!(said, near.ask_all(line), "{line}");
    }
}

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
fn arguments_and_replies_are_any_bytes() {
    let nats = Nats::start();
    let (a, _b) = pair(&nats, &["facts", "text"], "facts");
    let every_byte: Vec<u8> = (0..=255).collect();
    let mut client = Resp::connect3(&a);
    for value in [&every_byte[..], b"", b"\r\n", b"\0DC1", "æ\u{1f600}".as_bytes()] {
        assert_eq!(client.ask(&[b"echo", value]), Frame::text(value), "{value:?}");
        let facts = client.ask(&[b"facts", value, b"", value]);
        let arguments = [value, b"", value].map(Frame::text).to_vec();
        assert_eq!(facts.get("arguments"), Some(&Frame::List(arguments)), "{value:?}");
    }
    let mut lines = Lines::connect(&a);
    assert_eq!(lines.ask("echo 'two words'"), "two words");
}

/// Returns hosts `a` and `b` with a store at `b`, and room for large values.
fn large_pair(nats: &Nats) -> (Host, Host) {
    let a = member(nats, "a", &[]).flags(&LARGE).start();
    let b = member(nats, "b", &["store"]).flags(&LARGE).start();
    wait_for_hosts(&a, "get", 1);
    (a, b)
}

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
fn reply_larger_than_a_message_arrives() {
    let nats = Nats::start();
    let (a, b) = large_pair(&nats);
    let (mut far, mut near) = (Resp::connect(&a), Resp::connect(&b));
    // Both sides of the size of one message, and of five.
    for size in [(1 << 20) - 5_000, 1 << 20, (1 << 20) + 1, 5 << 20] {
        let value: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
        assert_eq!(near.ask(&[b"set", &b"large"[..], &value]), Frame::ok());
        assert!(far.ask(&["get", "large"]) == Frame::text(&value), "{size} bytes");
        expect_in_step(&mut far, "next");
    }
}

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
fn too_large_request_is_an_error() {
    let nats = Nats::start();
    let (a, _b) = large_pair(&nats);
    let mut client = Resp::connect(&a);
    let value = vec![b'x'; 2 << 20];
    let reply = client.ask(&[b"set", &b"large"[..], &value]);
    let (kind, text) = error(&reply);
    assert_eq!(kind, "ERR");
    assert!(text.contains(" bytes is too large for another host"), "{text}");
    assert!(text.contains("max_payload"), "{text}");
    expect_in_step(&mut client, "next");
    assert_eq!(client.ask(&["get", "large"]), Frame::Null, "it has not run");
    let value = vec![b'x'; 1_000_000];
    assert_eq!(client.ask(&[b"set", &b"large"[..], &value]), Frame::ok(), "this one is not");
}

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
fn too_large_reply_is_an_error() {
    let nats = Nats::start();
    let a = member(&nats, "a", &[]).flags(&["--max-reply", "1000000"]).start();
    let b = member(&nats, "b", &["store"]).flags(&LARGE).start();
    wait_for_hosts(&a, "get", 1);
    let value = vec![b'x'; 5 << 20];
    assert_eq!(Resp::connect(&b).ask(&[b"set", &b"large"[..], &value]), Frame::ok());
    let mut client = Resp::connect(&a);
    let reply = client.ask(&["get", "large"]);
    assert!(matches!(&reply, Frame::Error(text) if text.contains("max-reply")), "{reply:?}");
    expect_in_step(&mut client, "next");
    assert_eq!(client.ask(&["get", "none"]), Frame::Null);
}
