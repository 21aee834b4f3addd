//! Tests of RESP requests.

use super::{LIMITS, Outcome, feed, message, outcomes, request};
use crate::{Framing, Limits, Parsed, Parser, RequestError};

const RESP: Framing = Framing::Resp;

/// Checks that `input` breaks the framing with `text`, and does so at its last byte.
fn breaks(input: &[u8], text: &str) {
    let error = |input| match Parser::new(LIMITS).parse(input) {
        Parsed::Broken { framing: RESP, error } => Some(message(error)),
        Parsed::Incomplete => None,
        other => panic!("{other:?}"),
    };
    assert_eq!(error(input).as_deref(), Some(text), "{:?}", input.escape_ascii().to_string());
    let (_, all_but_last) = input.split_last().unwrap();
    assert_eq!(error(all_but_last), None, "{:?}", input.escape_ascii().to_string());
}

#[test]
fn an_array_of_bulk_strings_is_a_request() {
    let found =
        outcomes(b"*2\r\n$4\r\necho\r\n$5\r\nhello\r\n*1\r\n$0\r\n\r\n*1\r\n$4\r\n\r\n\0\xff\r\n");
    let expected: [&[&[u8]]; 3] = [&[b"echo", b"hello"], &[b""], &[b"\r\n\0\xff"]];
    assert_eq!(found, expected.map(|pieces| request(RESP, pieces)));
}

#[test]
fn bytes_after_request_are_not_consumed() {
    let input = b"*1\r\n$4\r\nPING\r\n*1";
    let mut parser = Parser::new(LIMITS);
    assert_eq!(parser.parse(input), Parsed::Request { framing: RESP, consumed: 14 });
    assert_eq!(parser.request(input).name(), b"PING");
    assert!(parser.request(input).arguments().is_empty());
}

#[test]
fn a_request_is_read_afresh_whatever_went_before() {
    let good = b"*1\r\n$4\r\nPING\r\n";
    let mut parser = Parser::new(LIMITS);
    let before: [&[u8]; 5] =
        [b"*1\r\n$2\r\nabx", b"*2\r\n$1\r\na\r\nx", b"'quoted'\n", b"'open\n", b"a b c d e f\n"];
    for input in before {
        assert_ne!(parser.parse(input), Parsed::Incomplete);
        assert_eq!(parser.parse(good), Parsed::Request { framing: RESP, consumed: good.len() });
        assert_eq!(parser.request(good).name(), b"PING");
    }
}

#[test]
fn an_array_of_nothing_is_empty() {
    for input in ["*0\r\n", "*-1\r\n", "*-10\r\n", "*-9223372036854775808\r\n"] {
        let found = Parser::new(LIMITS).parse(input.as_bytes());
        assert_eq!(found, Parsed::Empty { framing: RESP, consumed: input.len() }, "{input}");
    }
}

#[test]
fn non_integer_count_breaks_framing() {
    let text = "Protocol error: invalid multibulk length";
    let inputs = [
        "*x",
        "*\r",
        "*+",
        "* ",
        "*1x",
        "*1 ",
        "*1\n",
        "*1\rx",
        "*01",
        "*00",
        "*-\r",
        "*-0",
        "*--",
        "*-x",
        "*6\r\n",
        "*3000000000\r\n",
        "*18446744073709551617\r\n",
        "*-9223372036854775809\r\n",
        "*-18446744073709551615\r\n",
    ];
    for input in inputs {
        breaks(input.as_bytes(), text);
    }
    let digits = format!("*{}", "9".repeat(32));
    assert_eq!(Parser::new(LIMITS).parse(digits.as_bytes()), Parsed::Incomplete);
    breaks(format!("{digits}\r\n").as_bytes(), text);
    breaks(format!("{digits}9").as_bytes(), "Protocol error: too big mbulk count string");
    breaks(
        format!("*-{}", "9".repeat(33)).as_bytes(),
        "Protocol error: too big mbulk count string",
    );
}

#[test]
fn invalid_length_breaks_framing() {
    let text = "Protocol error: invalid bulk length";
    for length in ["x", "\r", "+", " ", "-", "4x", "4\n", "4\rx", "04", "00", "41\r\n"] {
        breaks(format!("*1\r\n${length}").as_bytes(), text);
        breaks(format!("*2\r\n$1\r\na\r\n${length}").as_bytes(), text);
    }
    breaks(b"*1\r\n$18446744073709551620\r\n", text);
    let digits = format!("*1\r\n${}", "9".repeat(32));
    breaks(format!("{digits}\r\n").as_bytes(), text);
    breaks(format!("{digits}9").as_bytes(), "Protocol error: too big bulk count string");
}

#[test]
fn argument_other_than_bulk_string_breaks_framing() {
    breaks(b"*1\r\nP", "Protocol error: expected '$', got 'P'");
    breaks(b"*3\r\n$3\r\nSET\r\n$1\r\nx\r\nf", "Protocol error: expected '$', got 'f'");
    breaks(b"*1\r\n ", "Protocol error: expected '$', got ' '");
    breaks(b"*1\r\n\r", "Protocol error: expected '$', got '\\x0d'");
    breaks(b"*1\r\n\0", "Protocol error: expected '$', got '\\x00'");
    breaks(b"*1\r\n\xfa", "Protocol error: expected '$', got '\\xfa'");
    breaks(b"*1\r\n:", "Protocol error: expected '$', got ':'");
}

#[test]
fn an_argument_ends_in_a_line_end() {
    for end in ["x", "\n", "\rx", "\r\r"] {
        breaks(
            format!("*1\r\n$2\r\nab{end}").as_bytes(),
            "Protocol error: expected CRLF after bulk",
        );
    }
}

#[test]
fn limits_are_the_last_good_values() {
    let longest = format!("*1\r\n$40\r\n{}\r\n", "a".repeat(40));
    assert_eq!(outcomes(longest.as_bytes()), [request(RESP, &[&[b'a'; 40]])]);
    let most = format!("*5\r\n{}", "$1\r\na\r\n".repeat(5));
    assert_eq!(outcomes(most.as_bytes()), [request(RESP, &[&b"a"[..]; 5])]);

    // 4 + (5 + 40 + 2) + (5 + 40 + 2) = 98 bytes; a last argument of 15 makes 120.
    let forty = format!("$40\r\n{}\r\n", "a".repeat(40));
    let largest = format!("*3\r\n{forty}{forty}$15\r\n{}\r\n", "a".repeat(15));
    assert_eq!(largest.len(), LIMITS.request);
    assert_eq!(outcomes(largest.as_bytes()).len(), 1);
    breaks(format!("*3\r\n{forty}{forty}$16\r\n").as_bytes(), "Protocol error: too big request");
}

#[test]
fn limits_beyond_reach_are_cut_to_it() {
    let vast = usize::MAX;
    let mut parser = Parser::new(Limits { argument: vast, arguments: vast, request: vast });
    let (found, rest) =
        feed(&mut parser, [&b"*1\r\n$1\r\na\r\n*4294967295\r\n$4294967200\r\nxyz"[..]]);
    assert_eq!((found, rest.len()), (vec![request(RESP, &[b"a"])], 13 + 13 + 3));
    let too_big = Outcome::Broken(RESP, RequestError::RequestTooBig);
    let mut parser = Parser::new(Limits { argument: vast, arguments: vast, request: vast });
    assert_eq!(feed(&mut parser, [&b"*1\r\n$4294967295\r\n"[..]]).0, [too_big]);
}

#[test]
fn a_promise_of_many_arguments_costs_nothing() {
    let mut parser = Parser::new(Limits { arguments: 1 << 30, ..LIMITS });
    assert_eq!(parser.parse(b"*1073741824\r\n$1\r\na\r\n"), Parsed::Incomplete);
    assert!(parser.room().0 < 16, "{:?}", parser.room());
}

#[test]
fn shrinking_keeps_an_unfinished_request() {
    let mut parser = Parser::new(Limits { argument: 1 << 20, arguments: 1000, request: 1 << 20 });
    let mut input = b"*1000\r\n".to_vec();
    input.extend(b"$1\r\na\r\n".repeat(999));
    assert_eq!(parser.parse(&input), Parsed::Incomplete);
    parser.shrink();
    input.extend(b"$1\r\na\r\n");
    let consumed = input.len();
    assert_eq!(parser.parse(&input), Parsed::Request { framing: RESP, consumed });
    assert_eq!(parser.request(&input).spans.len(), 1000);
    parser.shrink();
    assert!(parser.room().0 <= 64);
    assert_eq!(parser.request(&input).name(), b"");

    let mut quoted = vec![b'"'; 1];
    quoted.extend([b'a'; 9000]);
    quoted.extend(b"\"\n");
    assert_eq!(feed(&mut parser, [&quoted[..]]).0.len(), 1);
    assert!(parser.room().1 >= 9000);
    parser.shrink();
    assert!(parser.room().1 <= 4096);
}

#[test]
fn long_argument_in_small_reads_is_scanned_once() {
    // Quadratic work would be 137 GB of scanning here.
    let size = 1 << 22;
    let mut parser = Parser::new(Limits { argument: size, arguments: 2, request: 2 * size });
    let mut bulk = format!("*1\r\n${size}\r\n").into_bytes();
    bulk.resize(bulk.len() + size, b'x');
    bulk.extend(b"\r\n");
    let mut line = vec![b'x'; size];
    line.push(b'\n');
    for input in [bulk, line] {
        let mut attempt = || {
            let started = std::time::Instant::now();
            let unfinished = (64..input.len()).step_by(64);
            unfinished.for_each(|end| assert_eq!(parser.parse(&input[..end]), Parsed::Incomplete));
            assert!(matches!(parser.parse(&input), Parsed::Request { .. }));
            started.elapsed()
        };
        // A loaded machine may make one attempt slow.
        assert!((0..3).any(|_| attempt().as_secs() < 2), "each of three attempts took 2 s or more");
    }
}
