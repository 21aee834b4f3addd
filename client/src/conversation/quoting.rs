//! Splits a line into arguments, by the rules of the host for plain lines.

use std::fmt;

/// A line with wrong quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuotingError {
    /// A quote is not closed.
    Unbalanced,
    /// A closing quote is not at the end of its word.
    NoSpace,
}

impl fmt::Display for QuotingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unbalanced => "unbalanced quotes: close the quote that is open",
            Self::NoSpace => "unbalanced quotes: put a space behind the closing quote",
        })
    }
}

impl std::error::Error for QuotingError {}

/// Splits a line into arguments; a blank line has none.
pub fn split(line: &[u8]) -> Result<Vec<Vec<u8>>, QuotingError> {
    let mut arguments = Vec::new();
    let mut rest = line;
    loop {
        match rest {
            [] => return Ok(arguments),
            [b' ' | b'\t', behind @ ..] => rest = behind,
            _ => {
                let mut argument = Vec::new();
                rest = split_first(rest, &mut argument)?;
                arguments.push(argument);
            }
        }
    }
}

/// Appends the first argument of a line to `argument` and returns the rest of the line.
fn split_first<'a>(mut rest: &'a [u8], argument: &mut Vec<u8>) -> Result<&'a [u8], QuotingError> {
    loop {
        rest = match rest {
            [] | [b' ' | b'\t', ..] => return Ok(rest),
            [b'"', behind @ ..] => return end_of_word(double_quoted(behind, argument)?),
            [b'\'', behind @ ..] => return end_of_word(single_quoted(behind, argument)?),
            // A backslash at the end of the line escapes nothing and stands for itself.
            [b'\\', byte, behind @ ..] | [byte, behind @ ..] => {
                argument.push(*byte);
                behind
            }
        };
    }
}

/// Returns the rest behind a closing quote, which must be empty or start with a blank.
fn end_of_word(rest: &[u8]) -> Result<&[u8], QuotingError> {
    match rest {
        [] | [b' ' | b'\t', ..] => Ok(rest),
        _ => Err(QuotingError::NoSpace),
    }
}

fn double_quoted<'a>(mut rest: &'a [u8], argument: &mut Vec<u8>) -> Result<&'a [u8], QuotingError> {
    loop {
        let (byte, behind) = match rest {
            [] | [b'\\'] => return Err(QuotingError::Unbalanced),
            [b'"', behind @ ..] => return Ok(behind),
            [b'\\', b'x', high, low, behind @ ..] if is_hex(*high) && is_hex(*low) => {
                (hex(*high) << 4 | hex(*low), behind)
            }
            [b'\\', escaped, behind @ ..] => (unescape(*escaped), behind),
            [byte, behind @ ..] => (*byte, behind),
        };
        argument.push(byte);
        rest = behind;
    }
}

fn single_quoted<'a>(mut rest: &'a [u8], argument: &mut Vec<u8>) -> Result<&'a [u8], QuotingError> {
    loop {
        let (byte, behind) = match rest {
            [] => return Err(QuotingError::Unbalanced),
            [b'\'', behind @ ..] => return Ok(behind),
            [b'\\', b'\'', behind @ ..] => (b'\'', behind),
            [byte, behind @ ..] => (*byte, behind),
        };
        argument.push(byte);
        rest = behind;
    }
}

fn unescape(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'a' => 0x07,
        other => other,
    }
}

fn is_hex(byte: u8) -> bool {
    byte.is_ascii_hexdigit()
}

fn hex(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => byte - b'0',
        _ => (byte | 0x20) - b'a' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<Vec<u8>> {
        split(line.as_bytes()).unwrap()
    }

    #[test]
    fn words_are_split_at_blanks() {
        assert_eq!(words("  echo a\tb  "), [&b"echo"[..], b"a", b"b"]);
        assert!(words(" \t ").is_empty());
        assert_eq!(words("a\rb \u{b}"), [&b"a\rb"[..], b"\x0b"]);
    }

    #[test]
    fn a_backslash_outside_quotes_escapes_one_byte() {
        assert_eq!(
            words(r#"a\ b \"c \' \\ \n d\"#),
            [&b"a b"[..], b"\"c", b"'", b"\\", b"n", br"d\"]
        );
    }

    #[test]
    fn quotes_keep_spaces_and_empty_words() {
        assert_eq!(words(r#"echo "a b" 'c d' "" ''"#), [&b"echo"[..], b"a b", b"c d", b"", b""]);
        assert_eq!(words(r#"key="a b""#), [b"key=a b"]);
    }

    #[test]
    fn double_quotes_know_all_escapes() {
        assert_eq!(words(r#""\"\\\n\r\t\a\b\q""#), [b"\"\\\n\r\t\x07\x08q"]);
        assert_eq!(words(r#""\x00\xfF\xg""#), [b"\x00\xffxg"]);
    }

    #[test]
    fn single_quotes_know_one_escape() {
        assert_eq!(words(r"'it\'s \n'"), [br"it's \n"]);
    }

    #[test]
    fn unbalanced_quotes_are_errors() {
        for line in [r#"echo "a"#, "echo 'a", r#"""#, r#""\"#, r#""\""#] {
            assert_eq!(split(line.as_bytes()), Err(QuotingError::Unbalanced), "{line}");
        }
        assert_eq!(split(br#""a"b"#), Err(QuotingError::NoSpace));
        assert_eq!(split(b"'a''b'"), Err(QuotingError::NoSpace));
    }
}
