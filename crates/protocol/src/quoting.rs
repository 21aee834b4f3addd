//! Splits a line into arguments, for programs that send commands.

use super::{line, request_error::RequestError};

/// Returns the arguments of a line without its newline; a blank line has none.
///
/// # Errors
/// The quotes are unbalanced, or the line has a NUL byte or 4 GiB and more.
pub fn split(line: &[u8]) -> Result<Vec<Vec<u8>>, RequestError> {
    if u32::try_from(line.len()).is_err() {
        return Err(RequestError::LineTooBig);
    }
    let (mut words, mut scratch) = (Vec::new(), Vec::new());
    let is_unquoted = line::split(line, usize::MAX, &mut words, &mut scratch)?;
    let bytes = if is_unquoted { &scratch } else { line };
    let argument = |start: u32, length: u32| bytes[start as usize..][..length as usize].to_vec();
    Ok(words.iter().map(|word| argument(word.start, word.length)).collect())
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
    fn quotes_and_escapes_are_removed() {
        assert_eq!(words(r#"echo "a b" 'c d' "" ''"#), [&b"echo"[..], b"a b", b"c d", b"", b""]);
        assert_eq!(words(r#"key="a b""#), [b"key=a b"]);
        assert_eq!(words(r#""\x00\xfF\xg" 'it\'s'"#), [&b"\x00\xffxg"[..], b"it's"]);
    }

    #[test]
    fn unbalanced_quotes_and_nul_bytes_are_errors() {
        for line in [r#"echo "a"#, "echo 'a", r#"""#, r#""\"#, r#""a"b"#, "'a''b'"] {
            assert_eq!(split(line.as_bytes()), Err(RequestError::UnbalancedQuotes), "{line}");
        }
        assert_eq!(split(b"a \0"), Err(RequestError::NulByte));
    }
}
