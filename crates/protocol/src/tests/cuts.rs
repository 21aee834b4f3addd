//! Properties of the parser: it accepts any input, and the sizes of reads do not change the result.

use super::{LIMITS, Outcome, feed, request};
use crate::{Framing, Limits, Parser};
use proptest::collection::vec;
use proptest::prelude::*;
use redis_protocol::resp2::encode;
use redis_protocol::resp2::types::{OwnedFrame, Resp2Frame};

/// Parts that make requests, near misses and limits likely.
fn fragment() -> impl Strategy<Value = Vec<u8>> {
    let known: &[&[u8]] = &[
        b"*1\r\n",
        b"*2\r\n",
        b"*0\r\n",
        b"*-1\r\n",
        b"*5\r\n",
        b"*6\r\n",
        b"*",
        b"$",
        b"-",
        b"0",
        b"$4\r\nPING\r\n",
        b"$0\r\n\r\n",
        b"$40\r\n",
        b"$41\r\n",
        b"$3\r\na\r\n\r\n",
        b"\r\n",
        b"\n",
        b"\r",
        b"PING\r\n",
        b"PING\n",
        b"echo ",
        b" ",
        b"\t",
        b"\"",
        b"'",
        b"\\",
        b"\\x4",
        b"\\x41",
        b"\0",
        b"99999999999999999999",
        b"aaaaaaaaaaaaaaaaaaa",
        b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    ];
    prop_oneof![
        8 => proptest::sample::select(known).prop_map(<[u8]>::to_vec),
        1 => vec(any::<u8>(), 0..8),
    ]
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => vec(fragment(), 0..24).prop_map(|fragments| fragments.concat()),
        1 => vec(any::<u8>(), 0..200),
    ]
}

/// Cuts `stream` into reads of the given sizes, which repeat.
fn cut<'a>(stream: &'a [u8], sizes: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    let mut sizes = sizes.iter().cycle();
    let mut rest = stream;
    std::iter::from_fn(move || {
        let size = rest.len().min(*sizes.next()?);
        let (read, tail) = rest.split_at(size);
        rest = tail;
        (size > 0).then_some(read)
    })
}

fn bulks(arguments: &[Vec<u8>]) -> Vec<u8> {
    let frames = arguments.iter().cloned().map(OwnedFrame::BulkString).collect();
    let frame = OwnedFrame::Array(frames);
    let mut buffer = vec![0; frame.encode_len(false)];
    let length = encode::encode(&mut buffer, &frame, false).unwrap();
    buffer.truncate(length);
    buffer
}

fn roomy() -> Limits {
    Limits { argument: 1 << 20, arguments: 1 << 10, request: 1 << 24 }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    #[test]
    fn reads_do_not_matter(stream in stream(), sizes in vec(1usize..50, 1..20)) {
        let whole = feed(&mut Parser::new(LIMITS), [&stream[..]]);
        let pieces = feed(&mut Parser::new(LIMITS), cut(&stream, &sizes));
        prop_assert_eq!(&whole, &pieces);
        let bytes = feed(&mut Parser::new(LIMITS), cut(&stream, &[1]));
        prop_assert_eq!(&whole, &bytes);
    }

    #[test]
    fn any_input_may_follow_any_other(inputs in vec(stream(), 1..10)) {
        // A wrong use: one parser gets unrelated inputs.
        let mut parser = Parser::new(LIMITS);
        for input in &inputs {
            parser.parse(input);
            let view = parser.request(input);
            (0..=view.spans.len()).for_each(|index| assert!(view.get(index) != Some(b"unlikely")));
        }
    }

    #[test]
    fn limits_hold(stream in stream()) {
        for outcome in feed(&mut Parser::new(LIMITS), [&stream[..]]).0 {
            if let Outcome::Request(_, pieces) = outcome {
                prop_assert!((1..=LIMITS.arguments).contains(&pieces.len()));
                prop_assert!(pieces.iter().all(|piece| piece.len() <= LIMITS.argument));
                prop_assert!(pieces.concat().len() <= LIMITS.request);
            }
        }
    }

    #[test]
    fn arrays_agree_with_another_implementation(
        requests in vec(vec(vec(any::<u8>(), 0..300), 1..10), 1..6),
        sizes in vec(1usize..400, 1..20),
    ) {
        let stream = requests.iter().map(|pieces| bulks(pieces)).collect::<Vec<_>>().concat();
        let (found, rest) = feed(&mut Parser::new(roomy()), cut(&stream, &sizes));
        let expected: Vec<_> =
            requests.into_iter().map(|pieces| Outcome::Request(Framing::Resp, pieces)).collect();
        prop_assert_eq!((found, rest.len()), (expected, 0));
    }

    #[test]
    fn words_come_back_from_quotes(pieces in vec(vec(any::<u8>(), 0..40), 1..10), hex: bool) {
        let mut line = Vec::new();
        for piece in &pieces {
            line.extend(b" \"");
            for &byte in piece {
                match byte {
                    b'"' | b'\\' if !hex => line.extend([b'\\', byte]),
                    0 | b'\n' | b'"' | b'\\' => line.extend(format!("\\x{byte:02X}").bytes()),
                    _ => line.push(byte),
                }
            }
            line.push(b'"');
        }
        line.push(b'\n');
        let found = feed(&mut Parser::new(roomy()), [&line[..]]).0;
        prop_assert_eq!(found, [Outcome::Request(Framing::Line, pieces)]);
    }

    #[test]
    fn words_come_back_from_a_plain_line(pieces in vec("[a-zA-Z0-9*$:.,_-]{1,20}", 1..10)) {
        prop_assume!(!pieces[0].starts_with('*'));
        let line = format!("{}\r\n", pieces.join(" "));
        let found = feed(&mut Parser::new(roomy()), [line.as_bytes()]).0;
        let expected: Vec<_> = pieces.iter().map(|piece| piece.as_bytes()).collect();
        prop_assert_eq!(found, [request(Framing::Line, &expected)]);
    }
}
