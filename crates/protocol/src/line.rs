//! The parser of plain lines, which splits a line into words with quotes as in a shell.

use plugin_api::abi::Span;

use super::request_error::RequestError;
use memchr::memchr;

/// The class of a byte outside quotes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Word,
    Blank,
    Quote,
    Nul,
}

const CLASSES: [Class; 256] = {
    let mut classes = [Class::Word; 256];
    classes[b' ' as usize] = Class::Blank;
    classes[b'\t' as usize] = Class::Blank;
    classes[b'"' as usize] = Class::Quote;
    classes[b'\'' as usize] = Class::Quote;
    classes[b'\\' as usize] = Class::Quote;
    classes[0] = Class::Nul;
    classes
};

/// Splits `line`, which has no newline, into at most `most` words. Returns true if the words lie in
/// `scratch`, because the line had quotes or backslashes; otherwise they lie in `line`.
///
/// A line must be shorter than 4 GiB, the reach of a [`Span`].
pub(super) fn split(
    line: &[u8],
    most: usize,
    words: &mut Vec<Span>,
    scratch: &mut Vec<u8>,
) -> Result<bool, RequestError> {
    let mut at = 0;
    loop {
        while line.get(at).is_some_and(|&byte| CLASSES[usize::from(byte)] == Class::Blank) {
            at += 1;
        }
        let start = at;
        while let Some(&byte) = line.get(at) {
            match CLASSES[usize::from(byte)] {
                Class::Word => at += 1,
                Class::Blank => break,
                Class::Quote => return unquote(line, most, words, scratch).map(|()| true),
                Class::Nul => return Err(RequestError::NulByte),
            }
        }
        if at == start {
            return Ok(false);
        }
        if words.len() == most {
            return Err(too_many(line));
        }
        words.push(Span { start: start as u32, length: (at - start) as u32 });
    }
}

/// Splits a line with quotes or backslashes into words in `scratch`.
fn unquote(
    line: &[u8],
    most: usize,
    words: &mut Vec<Span>,
    scratch: &mut Vec<u8>,
) -> Result<(), RequestError> {
    if memchr(0, line).is_some() {
        return Err(RequestError::NulByte);
    }
    words.clear();
    scratch.clear();
    let mut rest = line;
    loop {
        rest = match rest {
            [] => return Ok(()),
            [b' ' | b'\t', tail @ ..] => tail,
            _ if words.len() == most => return Err(too_many(line)),
            word => {
                let start = scratch.len();
                let tail = unquote_word(word, scratch)?;
                let length = scratch.len() - start;
                words.push(Span { start: start as u32, length: length as u32 });
                tail
            }
        };
    }
}

/// Returns the error for too many words. A NUL byte in the line takes precedence.
fn too_many(line: &[u8]) -> RequestError {
    match memchr(0, line) {
        Some(_) => RequestError::NulByte,
        None => RequestError::TooManyArguments,
    }
}

/// Appends the word at the front of `rest` to `scratch`, and returns the bytes behind it.
fn unquote_word<'a>(mut rest: &'a [u8], scratch: &mut Vec<u8>) -> Result<&'a [u8], RequestError> {
    loop {
        rest = match rest {
            [] | [b' ' | b'\t', ..] => return Ok(rest),
            [b'"', tail @ ..] => return unquote_double(tail, scratch),
            [b'\'', tail @ ..] => return unquote_single(tail, scratch),
            // A backslash that ends the line has nothing to escape and stands for itself.
            [b'\\', byte, tail @ ..] | [byte, tail @ ..] => {
                scratch.push(*byte);
                tail
            }
        };
    }
}

fn unquote_double<'a>(mut rest: &'a [u8], scratch: &mut Vec<u8>) -> Result<&'a [u8], RequestError> {
    loop {
        rest = match rest {
            [] => return Err(RequestError::UnbalancedQuotes),
            [b'"', tail @ ..] => return check_closed(tail),
            [b'\\', b'x', high, low, tail @ ..]
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                scratch.push(hex_value(*high) << 4 | hex_value(*low));
                tail
            }
            [b'\\', byte, tail @ ..] => {
                scratch.push(match byte {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 8,
                    b'a' => 7,
                    other => *other,
                });
                tail
            }
            [byte, tail @ ..] => {
                scratch.push(*byte);
                tail
            }
        };
    }
}

fn unquote_single<'a>(mut rest: &'a [u8], scratch: &mut Vec<u8>) -> Result<&'a [u8], RequestError> {
    loop {
        rest = match rest {
            [] => return Err(RequestError::UnbalancedQuotes),
            [b'\'', tail @ ..] => return check_closed(tail),
            [b'\\', byte @ b'\'', tail @ ..] | [byte, tail @ ..] => {
                scratch.push(*byte);
                tail
            }
        };
    }
}

/// Checks that a closing quote is followed by a blank or the end of the line.
fn check_closed(rest: &[u8]) -> Result<&[u8], RequestError> {
    match rest {
        [] | [b' ' | b'\t', ..] => Ok(rest),
        _ => Err(RequestError::UnbalancedQuotes),
    }
}

/// Returns the value of a byte that is known to be a hexadecimal digit.
fn hex_value(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20).wrapping_sub(b'a' - 10),
    }
}
