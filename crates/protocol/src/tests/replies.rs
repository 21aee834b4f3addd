//! Tests of RESP replies, and of properties of all replies.

use crate::{Encoder, Finished, Protocol};
use Protocol::{Lines, Resp2, Resp3};

/// Returns the bytes of one reply, and its outcome.
pub(super) fn reply(protocol: Protocol, write: impl FnOnce(&mut Encoder)) -> (String, Finished) {
    let mut encoder = Encoder::new(protocol);
    encoder.begin();
    write(&mut encoder);
    let finished = encoder.finish();
    (String::from_utf8_lossy(encoder.pending()).into_owned(), finished)
}

fn both(resp2: &str, resp3: &str, write: impl Fn(&mut Encoder)) {
    assert_eq!(reply(Resp2, &write), (resp2.to_owned(), Finished::Ok));
    assert_eq!(reply(Resp3, &write), (resp3.to_owned(), Finished::Ok));
}

const MALFORMED: &str = "-ERR the worker gave a malformed reply\r\n";

#[test]
fn scalars() {
    both("+OK\r\n", "+OK\r\n", |e| e.ok());
    both("+PONG\r\n", "+PONG\r\n", |e| e.status("PONG"));
    both("+ab\r\n", "+ab\r\n", |e| e.status("\ra\r\nb\n"));
    both("$0\r\n\r\n", "$0\r\n\r\n", |e| e.text(b""));
    both("$5\r\na\r\nb\n\r\n", "$5\r\na\r\nb\n\r\n", |e| e.text(b"a\r\nb\n"));
    both(":-12\r\n", ":-12\r\n", |e| e.integer(-12));
    both(":-9223372036854775808\r\n", ":-9223372036854775808\r\n", |e| e.integer(i64::MIN));
    both(":1\r\n", "#t\r\n", |e| e.boolean(true));
    both(":0\r\n", "#f\r\n", |e| e.boolean(false));
    both("$-1\r\n", "_\r\n", |e| e.null());
}

#[test]
fn floats() {
    both("$3\r\n1.5\r\n", ",1.5\r\n", |e| e.float(1.5));
    both("$1\r\n3\r\n", ",3\r\n", |e| e.float(3.0));
    both("$2\r\n-3\r\n", ",-3\r\n", |e| e.float(-3.0));
    both("$3\r\n0.1\r\n", ",0.1\r\n", |e| e.float(0.1));
    both("$5\r\n1e300\r\n", ",1e300\r\n", |e| e.float(1e300));
    both("$3\r\ninf\r\n", ",inf\r\n", |e| e.float(f64::INFINITY));
    both("$4\r\n-inf\r\n", ",-inf\r\n", |e| e.float(f64::NEG_INFINITY));
    both("$3\r\nnan\r\n", ",nan\r\n", |e| e.float(-f64::NAN));
}

#[test]
fn collections() {
    both("*0\r\n", "*0\r\n", |e| e.list(0));
    both("*0\r\n", "%0\r\n", |e| e.map(0));
    both("*2\r\n:1\r\n*1\r\n:2\r\n", "*2\r\n:1\r\n*1\r\n:2\r\n", |e| {
        e.list(2);
        e.integer(1);
        e.list(1);
        e.integer(2);
    });
    both("*4\r\n:1\r\n*0\r\n:2\r\n$-1\r\n", "%2\r\n:1\r\n%0\r\n:2\r\n_\r\n", |e| {
        e.map(2);
        e.integer(1);
        e.map(0);
        e.integer(2);
        e.null();
    });
}

#[test]
fn errors() {
    for protocol in [Resp2, Resp3] {
        let error = |kind: &str, message: &[u8]| {
            let (text, finished) = reply(protocol, |e| e.error(kind, message));
            assert_eq!(finished, Finished::Error);
            text
        };
        assert_eq!(error("ERR", b"bad"), "-ERR bad\r\n");
        assert_eq!(error("NO\r\nPERM", b"a\r\nb\n"), "-NO  PERM a  b \r\n");
        assert_eq!(error("", b"bad"), "-ERR bad\r\n");
        assert_eq!(error("ERR", b""), "-ERR\r\n");
        let nested = reply(protocol, |e| {
            e.list(1);
            e.error("ERR", b"x");
        });
        assert_eq!(nested, ("*1\r\n-ERR x\r\n".to_owned(), Finished::Ok));
    }
    let mut encoder = Encoder::new(Resp2);
    encoder.begin();
    encoder.error("ERR", b"\xff\xfe");
    encoder.finish();
    assert_eq!(encoder.pending(), b"-ERR \xff\xfe\r\n");
}

#[test]
fn replies_that_do_not_add_up_become_errors() {
    type Wrong = (&'static str, fn(&mut Encoder));
    let wrong: [Wrong; 11] = [
        ("nothing", |_| {}),
        ("too many", |e| (0..2).for_each(|_| e.ok())),
        ("too few", |e| {
            e.list(2);
            e.ok();
        }),
        ("too many in a list", |e| {
            e.list(1);
            (0..2).for_each(|_| e.text(b"x"));
        }),
        ("key without value", |e| {
            e.map(1);
            e.text(b"key");
        }),
        ("after an empty list", |e| {
            e.list(0);
            e.map(0);
        }),
        ("vast list", |e| e.list(usize::MAX)),
        ("vast map", |e| {
            e.map(usize::MAX);
            e.ok();
        }),
        ("map whose size wraps to none", |e| e.map(1 << (usize::BITS - 1))),
        ("map whose size wraps to two", |e| {
            e.map((1 << (usize::BITS - 1)) + 1);
            (0..2).for_each(|_| e.ok());
        }),
        ("after an error", |e| {
            e.error("ERR", b"x");
            e.ok();
        }),
    ];
    for (name, write) in wrong {
        for protocol in [Resp2, Resp3] {
            assert_eq!(
                reply(protocol, write),
                (MALFORMED.to_owned(), Finished::Malformed),
                "{name}"
            );
        }
        let line = "error: the worker gave a malformed reply\n".to_owned();
        assert_eq!(reply(Lines, write), (line, Finished::Malformed), "{name}");
    }
}

#[test]
fn nesting_has_an_end() {
    for protocol in [Lines, Resp2, Resp3] {
        let nested = |depth: usize, last: fn(&mut Encoder)| {
            let write = |e: &mut Encoder| {
                (0..depth).for_each(|_| e.list(1));
                last(e);
            };
            reply(protocol, write).1
        };
        assert_eq!(nested(64, |e| e.ok()), Finished::Ok);
        assert_eq!(nested(63, |e| e.map(0)), Finished::Ok);
        assert_eq!(nested(65, |e| e.ok()), Finished::Malformed);
        assert_eq!(nested(64, |e| e.map(0)), Finished::Malformed);
    }
}

#[test]
fn a_spoiled_reply_takes_no_more_room() {
    let mut encoder = Encoder::new(Resp2);
    encoder.begin();
    encoder.list(3);
    let written = encoder.out.draft_len();
    encoder.map(usize::MAX);
    encoder.text(b"more");
    assert_eq!(encoder.out.draft_len(), written);
}

#[test]
fn a_reset_starts_the_reply_anew() {
    let anew = |spoil: fn(&mut Encoder)| {
        let mut encoder = Encoder::new(Resp2);
        encoder.begin();
        encoder.ok();
        encoder.finish();
        encoder.begin();
        spoil(&mut encoder);
        encoder.reset();
        encoder.integer(7);
        assert_eq!(encoder.finish(), Finished::Ok);
        assert_eq!(encoder.pending(), b"+OK\r\n:7\r\n");
    };
    anew(|_| {});
    anew(|e| e.list(3));
    anew(|e| e.error("ERR", b"x"));
    anew(|e| (0..3).for_each(|_| e.ok()));
}

#[test]
fn outside_a_reply_nothing_is_written() {
    let mut encoder = Encoder::new(Resp3);
    encoder.ok();
    encoder.list(2);
    encoder.reset();
    encoder.ok();
    assert_eq!(encoder.finish(), Finished::Malformed);
    assert!(encoder.is_empty() && encoder.out.bytes.is_empty());
    encoder.begin();
    encoder.ok();
    assert_eq!((encoder.finish(), encoder.finish()), (Finished::Ok, Finished::Malformed));
    encoder.integer(1);
    assert_eq!(encoder.pending(), b"+OK\r\n");
    encoder.begin();
    assert_eq!(encoder.pending(), b"+OK\r\n");
}

#[test]
fn the_protocol_may_change_between_replies() {
    let mut encoder = Encoder::new(Lines);
    for protocol in [Lines, Resp2, Resp3] {
        encoder.set_protocol(protocol);
        assert_eq!(encoder.protocol(), protocol);
        encoder.begin();
        encoder.null();
        encoder.finish();
    }
    assert_eq!(encoder.pending(), b"(null)\n$-1\r\n_\r\n");
}

#[test]
fn replies_over_the_bound_become_an_error() {
    let bounded = |protocol, write: &dyn Fn(&mut Encoder)| {
        let mut encoder = Encoder::new(protocol);
        encoder.bound(100);
        encoder.begin();
        write(&mut encoder);
        let finished = encoder.finish();
        let text = String::from_utf8_lossy(encoder.pending()).into_owned();
        encoder.begin();
        encoder.ok();
        assert_eq!(encoder.finish(), Finished::Ok, "the next reply is not affected");
        (text, finished)
    };
    let error = "reply larger than 100 bytes (--max-reply)";
    let resp = (format!("-ERR {error}\r\n"), Finished::TooLarge);
    let endless = |e: &mut Encoder| {
        e.list(1_000_000);
        (0..1_000_000).for_each(|number| e.integer(number));
    };
    let texts = |e: &mut Encoder| {
        e.map(2);
        (0..4).for_each(|_| e.text(&[b'x'; 40]));
    };
    for protocol in [Resp2, Resp3] {
        assert_eq!(bounded(protocol, &|e| e.text(&[b'x'; 101])), resp);
        assert_eq!(bounded(protocol, &|e| e.error("ERR", &[b'x'; 101])), resp);
        assert_eq!(bounded(protocol, &endless), resp);
        assert_eq!(bounded(protocol, &texts), resp);
        assert_eq!(bounded(protocol, &|e| e.text(&[b'x'; 100])).1, Finished::Ok);
    }
    let line = (format!("error: {error}\n"), Finished::TooLarge);
    assert_eq!(bounded(Lines, &|e| e.text(&[b'x'; 101])), line);
    assert_eq!(bounded(Lines, &endless), line);
}

#[test]
fn a_reply_over_the_bound_takes_no_memory() {
    let mut encoder = Encoder::new(Resp2);
    encoder.bound(1 << 20);
    encoder.begin();
    encoder.ok();
    encoder.finish();
    encoder.begin();
    encoder.list(10_000);
    for _ in 0..10_000 {
        encoder.text(&[b'x'; 1000]);
        assert!(encoder.held() < 3 << 20, "{}", encoder.held());
    }
    assert_eq!(encoder.finish(), Finished::TooLarge);
    assert!(encoder.held() < 64 << 10, "{}", encoder.held());
    assert!(encoder.pending().starts_with(b"+OK\r\n-ERR reply larger than"));
}
