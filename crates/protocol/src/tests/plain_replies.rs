//! Tests of plain replies.

use super::replies::reply;
use crate::{Encoder, Finished, Protocol};

fn says(expected: &str, write: impl FnOnce(&mut Encoder)) {
    assert_eq!(reply(Protocol::Lines, write), (expected.to_owned(), Finished::Ok));
}

#[test]
fn scalars_are_themselves() {
    says("OK\n", |e| e.ok());
    says("PONG\n", |e| e.status("PO\r\nNG"));
    says("-5\n", |e| e.integer(-5));
    says("1.5\n", |e| e.float(1.5));
    says("3\n", |e| e.float(3.0));
    says("inf\n", |e| e.float(f64::INFINITY));
    says("nan\n", |e| e.float(f64::NAN));
    says("true\n", |e| e.boolean(true));
    says("false\n", |e| e.boolean(false));
    says("(null)\n", |e| e.null());
}

#[test]
fn text_ends_in_one_newline() {
    says("hello\n", |e| e.text(b"hello"));
    says("hello\n", |e| e.text(b"hello\n"));
    says("a\nb\n\n", |e| e.text(b"a\nb\n\n"));
    says("\n", |e| e.text(b""));
    // A newline before the reply is not its own.
    let mut encoder = Encoder::new(Protocol::Lines);
    for text in [&b"a\n"[..], b"", b""] {
        encoder.begin();
        encoder.text(text);
        encoder.finish();
    }
    assert_eq!(encoder.pending(), b"a\n\n\n");
}

#[test]
fn errors_are_one_line() {
    let error = |kind: &str, message: &[u8]| {
        let (text, finished) = reply(Protocol::Lines, |e| e.error(kind, message));
        assert_eq!(finished, Finished::Error);
        text
    };
    assert_eq!(error("ERR", b"bad\r\nluck"), "error: bad  luck\n");
    assert_eq!(error("NOPERM", b"message"), "error: NOPERM message\n");
    assert_eq!(error("NOPERM", b""), "error: NOPERM\n");
    assert_eq!(error("", b"x\n"), "error: x \n");
}

#[test]
fn a_list_is_one_item_a_line() {
    says("\n", |e| e.list(0));
    says("a\n\nb\n1\nerror: x\n", |e| {
        e.list(5);
        e.text(b"a");
        e.text(b"");
        e.text(b"b\n");
        e.integer(1);
        e.error("ERR", b"x");
    });
}

#[test]
fn a_map_is_one_pair_a_line() {
    says("\n", |e| e.map(0));
    says("name: x\nempty: \nsize: 3\n", |e| {
        e.map(3);
        e.text(b"name");
        e.text(b"x");
        e.text(b"empty");
        e.text(b"");
        e.text(b"size");
        e.integer(3);
    });
}

#[test]
fn nested_values_are_inline() {
    says("a, b\nk: 1, l: 2\n(empty)\n(empty)\nz\n", |e| {
        e.list(5);
        e.list(2);
        e.text(b"a");
        e.text(b"b");
        e.map(2);
        e.text(b"k");
        e.integer(1);
        e.text(b"l");
        e.integer(2);
        e.list(0);
        e.map(0);
        e.text(b"z");
    });
    says("k: a, b, c, d\nl: x: 1, y: (empty), z: 2\nm: (empty)\n", |e| {
        e.map(3);
        e.text(b"k");
        e.list(3);
        e.text(b"a");
        e.list(2);
        e.text(b"b");
        e.text(b"c");
        e.text(b"d");
        e.text(b"l");
        e.map(3);
        e.text(b"x");
        e.integer(1);
        e.text(b"y");
        e.list(0);
        e.text(b"z");
        e.integer(2);
        e.text(b"m");
        e.map(0);
    });
}
