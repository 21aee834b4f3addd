//! A plain line as words, quoted as in a shell.

use super::{request::Span, request_error::RequestError};
use memchr::memchr;

/// What a byte outside quotes means to a line.
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

/// Splits `line`, which has no newline, into at most `most` words. Answers whether the words lie in
/// `scratch`, because there was something to unquote; otherwise they lie in `line` itself.
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

/// As `split`, for a line with quotes or backslashes.
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

/// A NUL byte is the worse news, so it goes before the count.
fn too_many(line: &[u8]) -> RequestError {
    match memchr(0, line) {
        Some(_) => RequestError::NulByte,
        None => RequestError::TooManyArguments,
    }
}

/// Appends the word at the front of `rest` to `scratch`; answers what follows it.
fn unquote_word<'a>(mut rest: &'a [u8], scratch: &mut Vec<u8>) -> Result<&'a [u8], RequestError> {
    loop {
        rest = match rest {
            [] | [b' ' | b'\t', ..] => return Ok(rest),
            [b'"', tail @ ..] => return double_quoted(tail, scratch),
            [b'\'', tail @ ..] => return single_quoted(tail, scratch),
            // A backslash that ends the line has nothing to escape and stands for itself.
            [b'\\', byte, tail @ ..] | [byte, tail @ ..] => {
                scratch.push(*byte);
                tail
            }
        };
    }
}

fn double_quoted<'a>(mut rest: &'a [u8], scratch: &mut Vec<u8>) -> Result<&'a [u8], RequestError> {
    loop {
        rest = match rest {
            [] => return Err(RequestError::UnbalancedQuotes),
            [b'"', tail @ ..] => return closed(tail),
            [b'\\', b'x', high, low, tail @ ..]
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                scratch.push(nibble(*high) << 4 | nibble(*low));
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

fn single_quoted<'a>(mut rest: &'a [u8], scratch: &mut Vec<u8>) -> Result<&'a [u8], RequestError> {
    loop {
        rest = match rest {
            [] => return Err(RequestError::UnbalancedQuotes),
            [b'\'', tail @ ..] => return closed(tail),
            [b'\\', byte @ b'\'', tail @ ..] | [byte, tail @ ..] => {
                scratch.push(*byte);
                tail
            }
        };
    }
}

/// What may follow a closing quote: a blank, or the end of the line.
fn closed(rest: &[u8]) -> Result<&[u8], RequestError> {
    match rest {
        [] | [b' ' | b'\t', ..] => Ok(rest),
        _ => Err(RequestError::UnbalancedQuotes),
    }
}

/// The value of a byte known to be a hexadecimal digit.
fn nibble(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20).wrapping_sub(b'a' - 10),
    }
}
