//! A line as arguments, split by the rules that the host applies to its plain lines.

use std::fmt;

/// A line that is no command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadLine {
    /// A quote is opened and never closed.
    Unbalanced,
    /// A closing quote with more of the same word behind it.
    NoSpace,
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unbalanced => "unbalanced quotes: close the quote that is open",
            Self::NoSpace => "unbalanced quotes: put a space behind the closing quote",
        })
    }
}

impl std::error::Error for BadLine {}

/// Splits a line into arguments; a blank line has none.
pub fn split(line: &[u8]) -> Result<Vec<Vec<u8>>, BadLine> {
    let mut arguments = Vec::new();
    let mut rest = line;
    loop {
        match rest {
            [] => return Ok(arguments),
            [b' ' | b'\t', behind @ ..] => rest = behind,
            _ => {
                let mut argument = Vec::new();
                rest = first(rest, &mut argument)?;
                arguments.push(argument);
            }
        }
    }
}

/// Takes the argument that a line starts with; gives what is behind it.
fn first<'a>(mut rest: &'a [u8], argument: &mut Vec<u8>) -> Result<&'a [u8], BadLine> {
    loop {
        rest = match rest {
            [] | [b' ' | b'\t', ..] => return Ok(rest),
            [b'"', behind @ ..] => return closed(double_quoted(behind, argument)?),
            [b'\'', behind @ ..] => return closed(single_quoted(behind, argument)?),
            // A backslash that ends the line has nothing to escape and stands for itself.
            [b'\\', byte, behind @ ..] | [byte, behind @ ..] => {
                argument.push(*byte);
                behind
            }
        };
    }
}

/// What may be behind a closing quote: a blank, or nothing.
fn closed(rest: &[u8]) -> Result<&[u8], BadLine> {
    match rest {
        [] | [b' ' | b'\t', ..] => Ok(rest),
        _ => Err(BadLine::NoSpace),
    }
}

fn double_quoted<'a>(mut rest: &'a [u8], argument: &mut Vec<u8>) -> Result<&'a [u8], BadLine> {
    loop {
        let (byte, behind) = match rest {
            [] | [b'\\'] => return Err(BadLine::Unbalanced),
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

fn single_quoted<'a>(mut rest: &'a [u8], argument: &mut Vec<u8>) -> Result<&'a [u8], BadLine> {
    loop {
        let (byte, behind) = match rest {
            [] => return Err(BadLine::Unbalanced),
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
    fn plain_words() {
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
    fn escapes_in_double_quotes() {
        assert_eq!(words(r#""\"\\\n\r\t\a\b\q""#), [b"\"\\\n\r\t\x07\x08q"]);
        assert_eq!(words(r#""\x00\xfF\xg""#), [b"\x00\xffxg"]);
    }

    #[test]
    fn single_quotes_know_one_escape() {
        assert_eq!(words(r"'it\'s \n'"), [br"it's \n"]);
    }

    #[test]
    fn unbalanced_quotes_are_told() {
        for line in [r#"echo "a"#, "echo 'a", r#"""#, r#""\"#, r#""\""#] {
            assert_eq!(split(line.as_bytes()), Err(BadLine::Unbalanced), "{line}");
        }
        assert_eq!(split(br#""a"b"#), Err(BadLine::NoSpace));
        assert_eq!(split(b"'a''b'"), Err(BadLine::NoSpace));
    }
}
