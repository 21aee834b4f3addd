//! The length of a header: how much of it is missing.

use super::HeaderError;

/// The start of a header of version 1.
const TEXT: &[u8] = b"PROXY ";

/// The start of a header of version 2.
const BINARY: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// The bytes of a header of version 2 up to the length of the rest, which they end in.
const BINARY_START: usize = 16;

/// The bytes that every header has, of either version: `PROXY UNKNOWN` and the end of the line.
const SHORTEST: usize = 15;

/// The longest header of version 1, in bytes; a number of the specification.
const LONGEST_TEXT: usize = 107;

/// The longest header of version 2 that is accepted, in bytes. One with addresses takes 52; the
/// rest is for what proxies add about TLS and themselves, which the host does not use.
const LONGEST_BINARY: usize = 4096;

/// The part of a header that is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// The header is complete.
    Nothing,
    /// At least this many bytes.
    Bytes(usize),
    /// The rest of a line, of at most this many bytes.
    Line(usize),
}

/// Returns the part that is missing of a header that begins with these bytes.
///
/// # Errors
/// No header begins like this.
pub(super) fn missing(header: &[u8]) -> Result<Missing, HeaderError> {
    let begins = |start: &[u8]| header.iter().zip(start).all(|(byte, wanted)| byte == wanted);
    let is_text = begins(TEXT);
    if !is_text && !begins(BINARY) {
        return Err(HeaderError::None);
    }
    match (SHORTEST.checked_sub(header.len()), is_text) {
        (Some(count @ 1..), _) => Ok(Missing::Bytes(count)),
        (_, true) => missing_of_text(header),
        (_, false) => missing_of_binary(header),
    }
}

fn missing_of_text(header: &[u8]) -> Result<Missing, HeaderError> {
    match header.iter().position(|byte| *byte == b'\n') {
        Some(end) if end + 1 == header.len() => Ok(Missing::Nothing),
        Some(_) => Err(HeaderError::Malformed),
        None => match LONGEST_TEXT.checked_sub(header.len()) {
            Some(most @ 1..) => Ok(Missing::Line(most)),
            _ => Err(HeaderError::TooLong(LONGEST_TEXT)),
        },
    }
}

fn missing_of_binary(header: &[u8]) -> Result<Missing, HeaderError> {
    let Some(&[high, low]) = header.get(BINARY_START - 2..BINARY_START) else {
        return Ok(Missing::Bytes(BINARY_START - header.len()));
    };
    let length = BINARY_START + usize::from(u16::from_be_bytes([high, low]));
    match length.checked_sub(header.len()) {
        _ if length > LONGEST_BINARY => Err(HeaderError::TooLong(LONGEST_BINARY)),
        Some(count @ 1..) => Ok(Missing::Bytes(count)),
        _ => Ok(Missing::Nothing),
    }
}
