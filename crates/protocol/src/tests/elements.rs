//! Tests of replies that are items of another reply.

use super::replies::reply;
use crate::{Encoder, Finished, Protocol};
use Protocol::{Lines, Resp2, Resp3};

/// The writers of some replies.
type Writers<'a> = &'a [&'a dyn Fn(&mut Encoder)];

/// Returns a list of these replies, the outcome of each, and that of the list.
fn list(
    protocol: Protocol,
    most: usize,
    writers: Writers<'_>,
) -> (String, Vec<Finished>, Finished) {
    let mut encoder = Encoder::new(protocol);
    encoder.bound(most);
    encoder.begin();
    encoder.list(writers.len());
    let mut element = encoder.for_elements();
    let mut outcomes = Vec::new();
    for write in writers {
        encoder.begin_element(&mut element);
        write(&mut element);
        outcomes.push(encoder.finish_element(&mut element));
    }
    let finished = encoder.finish();
    (String::from_utf8_lossy(encoder.pending()).into_owned(), outcomes, finished)
}

fn every_kind(e: &mut Encoder) {
    e.list(10);
    e.ok();
    e.status("PONG");
    e.text(b"a b\r\n$");
    e.integer(-7);
    e.float(2.5);
    e.boolean(true);
    e.boolean(false);
    e.null();
    e.error("NOPERM", b"not you");
    e.map(2);
    e.text(b"k");
    e.list(0);
    e.text(b"l");
    e.list(2);
    e.error("", b"");
    e.map(0);
}

#[test]
fn element_is_the_same_as_an_item() {
    let writers: Writers<'_> = &[
        &every_kind,
        &|e| e.ok(),
        &|e| e.text(b""),
        &|e| e.list(0),
        &|e| e.float(f64::NEG_INFINITY),
        &|e| e.error("KIND", b""),
        &|e| e.error("ERR", b"wrong  number"),
    ];
    for protocol in [Lines, Resp2, Resp3] {
        let plain = reply(protocol, |e| {
            e.list(writers.len());
            writers.iter().for_each(|write| write(e));
        });
        let (text, outcomes, finished) = list(protocol, usize::MAX, writers);
        assert_eq!((text, finished), plain, "{protocol:?}");
        use Finished::{Error, Ok};
        assert_eq!(outcomes, [Ok, Ok, Ok, Ok, Ok, Error, Error], "{protocol:?}");
    }
}

#[test]
fn malformed_element_changes_no_other() {
    let writers: Writers<'_> = &[
        &|e| e.integer(1),
        &|e| {
            e.list(2);
            e.integer(2);
        },
        &|_| {},
        &|e| {
            e.ok();
            e.ok();
        },
        &|e| {
            e.text(b"half");
            e.reset();
            e.integer(5);
        },
    ];
    let bad = "-ERR the worker gave a malformed reply\r\n";
    let (text, outcomes, finished) = list(Resp2, usize::MAX, writers);
    assert_eq!(text, format!("*5\r\n:1\r\n{bad}{bad}{bad}:5\r\n"));
    assert_eq!(outcomes.iter().filter(|one| **one == Finished::Malformed).count(), 3);
    assert_eq!(finished, Finished::Ok);
}

#[test]
fn element_without_room_becomes_an_error() {
    let large = [b'x'; 300];
    let writers: Writers<'_> =
        &[&|e| e.text(&large), &|e| e.text(&large), &|e| e.text(b"y"), &|e| e.integer(3)];
    for protocol in [Lines, Resp2, Resp3] {
        let (text, outcomes, finished) = list(protocol, 512, writers);
        use Finished::{Ok, TooLarge};
        assert_eq!((outcomes.as_slice(), finished), (&[Ok, TooLarge, Ok, Ok][..], Ok));
        assert!(text.contains("reply larger than 512 bytes (--max-reply), with those"), "{text}");
        assert!(text.len() <= 512 && text.trim_end().ends_with('3'), "{text}");
    }
}

#[test]
fn limit_holds_for_all_elements_together() {
    let text = [b'x'; 100];
    let write = |e: &mut Encoder| e.text(&text);
    let writers: Vec<&dyn Fn(&mut Encoder)> = vec![&write; 50];
    for protocol in [Lines, Resp2, Resp3] {
        let (text, _, finished) = list(protocol, 1_024, &writers);
        assert_eq!(finished, Finished::TooLarge);
        assert!(text.contains("reply larger than 1024 bytes (--max-reply)"), "{text}");
        assert!(text.len() < 100, "{text}");
    }
}

#[test]
fn only_an_error_of_the_worker_is_refused() {
    let is_refused = |write: &dyn Fn(&mut Encoder)| {
        let mut encoder = Encoder::new(Resp2);
        encoder.bound(1_024);
        encoder.begin();
        write(&mut encoder);
        encoder.is_refused()
    };
    assert!(!is_refused(&|e| e.ok()));
    assert!(is_refused(&|e| e.error("ERR", b"no")));
    assert!(!is_refused(&|e| e.text(&[0; 2_000])));
    assert!(!is_refused(&|e| {
        e.list(1);
        e.error("ERR", &[b'x'; 2_000]);
    }));
    assert!(is_refused(&|e| e.error("ERR", &[b'x'; 2_000])));
}
