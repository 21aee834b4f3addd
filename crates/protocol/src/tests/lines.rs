//! Tests of plain lines.

use super::{LIMITS, Outcome, feed, message, outcomes, request};
use crate::{Framing, Parsed, Parser, RequestError};

const LINE: Framing = Framing::Line;

fn words(line: &str, expected: &[&[u8]]) {
    assert_eq!(outcomes(format!("{line}\n").as_bytes()), [request(LINE, expected)], "{line}");
    assert_eq!(outcomes(format!("{line}\r\n").as_bytes()), [request(LINE, expected)], "{line}");
}

/// Checks that `line` is refused with `text`, and that the next line is parsed.
fn refused(line: &[u8], text: &str) {
    let mut input = line.to_vec();
    input.extend(b"\nPING\n");
    let found = outcomes(&input);
    let [Outcome::Invalid(LINE, error), next] = &found[..] else { panic!("{found:?}") };
    assert_eq!((message(*error).as_str(), next), (text, &request(LINE, &[b"PING"])));
}

#[test]
fn a_line_is_its_words() {
    words("PING", &[b"PING"]);
    words("echo hello", &[b"echo", b"hello"]);
    words(" \t a\t\tb  c ", &[b"a", b"b", b"c"]);
    words("a\rb \u{b} \u{e9}", &[b"a\rb", b"\x0b", "\u{e9}".as_bytes()]);
    words("PING *1 $1", &[b"PING", b"*1", b"$1"]);
    words(" *1", &[b"*1"]);
}

#[test]
fn one_carriage_return_belongs_to_the_line_end() {
    assert_eq!(outcomes(b"a\r\r\n"), [request(LINE, &[b"a\r"])]);
}

#[test]
fn words_without_quotes_are_not_copied() {
    let input = b"echo hello\n";
    let mut parser = Parser::new(LIMITS);
    parser.parse(input);
    assert!(std::ptr::eq(parser.request(input).bytes, &input[..]));
    let quoted = b"echo \"hello\"\n";
    parser.parse(quoted);
    assert!(!std::ptr::eq(parser.request(quoted).bytes, &quoted[..]));
    parser.parse(input);
    assert!(std::ptr::eq(parser.request(input).bytes, &input[..]));
}

#[test]
fn unquoting_takes_no_more_room_each_time() {
    let mut parser = Parser::new(LIMITS);
    (0..1000).for_each(|_| drop(feed(&mut parser, [&b"echo 'hello world'\n"[..]])));
    assert!(parser.room().1 < 100, "{:?}", parser.room());
}

#[test]
fn blank_lines_are_empty() {
    for input in ["\n", "\r\n", " \t \r\n"] {
        let found = Parser::new(LIMITS).parse(input.as_bytes());
        assert_eq!(found, Parsed::Empty { framing: LINE, consumed: input.len() }, "{input:?}");
    }
}

#[test]
fn double_quotes_unescape() {
    words(r#"echo "a b""#, &[b"echo", b"a b"]);
    words(r#""\n\r\t\b\a\\\"" x"#, &[b"\n\r\t\x08\x07\\\"", b"x"]);
    words(r#""\x00\xfF\x4a""#, &[b"\0\xff\x4a"]);
    words(r#""\xg1 \x1 \q\'" "#, &[b"xg1 x1 q'"]);
    words(r#""\x1""#, &[b"x1"]);
    words(r#""" ''"#, &[b"", b""]);
    words(r#""it's""#, &[b"it's"]);
}

#[test]
fn single_quotes_unescape_only_themselves() {
    words(r"'a b' c", &[b"a b", b"c"]);
    words(r"'it\'s'", &[b"it's"]);
    words(r#"'\n\x41\\"'"#, &[br#"\n\x41\\""#]);
}

#[test]
fn quotes_open_inside_and_close_at_word_end() {
    words(r#"a"b c" d"#, &[b"ab c", b"d"]);
    words("a'b c'\td", &[b"ab c", b"d"]);
    for line in [r#""a"b"#, "'a'b", r#""a"'b'"#, r#""a"\ "#] {
        refused(line.as_bytes(), "Protocol error: unbalanced quotes in request");
    }
}

#[test]
fn a_backslash_outside_quotes_escapes_the_next_byte() {
    words(r#"\"a\" \'b c\\ d\ e \n"#, &[br#""a""#, b"'b", br"c\", b"d e", b"n"]);
    words(r"C:\", &[br"C:\"]);
}

#[test]
fn quotes_that_stay_open_are_refused() {
    for line in [r#"""#, "'", r#"a "b"#, r#""a\""#, r#""a\"#, r"'a\'", r#""\x4"#, "a ' b"] {
        refused(line.as_bytes(), "Protocol error: unbalanced quotes in request");
    }
}

#[test]
fn a_nul_byte_is_refused_wherever_it_stands() {
    let lines: [&[u8]; 8] =
        [b"\0", b"a\0b", b"a \0", b"\"\0\"", b"'\0'", b"\\\0", b"\"open \0", b"a b c d e f \0"];
    for line in lines {
        refused(line, "line contains a NUL byte");
    }
    refused(b"'a' b c d e f \0", "line contains a NUL byte");
}

#[test]
fn too_many_words_are_refused() {
    words("a b c d e ", &[b"a", b"b", b"c", b"d", b"e"]);
    words("'a' b c d e ", &[b"a", b"b", b"c", b"d", b"e"]);
    refused(b"a b c d e f", "too many arguments");
    refused(b"'a' b c d e f", "too many arguments");
}

#[test]
fn a_line_over_the_limit_breaks_the_framing() {
    let broken = Parsed::Broken { framing: LINE, error: RequestError::LineTooBig };
    assert_eq!(message(RequestError::LineTooBig), "Protocol error: too big inline request");
    let most = "a".repeat(LIMITS.argument);
    let parse = |input: String| Parser::new(LIMITS).parse(input.as_bytes());
    for end in ["\n", "\r\n"] {
        assert!(matches!(parse(format!("{most}{end}")), Parsed::Request { .. }), "{end:?}");
        assert_eq!(parse(format!("{most}a{end}")), broken, "{end:?}");
    }
    for start in ["", "\r"] {
        assert_eq!(parse(format!("{most}{start}")), Parsed::Incomplete);
    }
    for over in ["a", "\ra", "\r\r", "\r\r\n"] {
        assert_eq!(parse(format!("{most}{over}")), broken, "{over:?}");
    }
}
