//! The error of a request that is refused.

use std::fmt;

/// The reason for which a request is refused. The error's kind is always `ERR`, which the message
/// does not contain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestError {
    /// The number after `*` is not an integer, or more than the arguments allowed.
    MultibulkLength,
    /// The number after `*` has too many digits.
    MultibulkCountTooLong,
    /// This byte stands where an argument's `$` belongs.
    ExpectedBulk(u8),
    /// The number after `$` is not an integer, is negative, or is more than the bytes allowed.
    BulkLength,
    /// The number after `$` has too many digits.
    BulkCountTooLong,
    /// An argument's bytes are not followed by CRLF.
    BulkEnd,
    /// The RESP request as a whole has more bytes than allowed.
    RequestTooBig,
    /// The line has more bytes than allowed.
    LineTooBig,
    /// A quote is not closed, or is closed in the middle of a word.
    UnbalancedQuotes,
    /// The line contains a NUL byte.
    NulByte,
    /// The line has more arguments than allowed.
    TooManyArguments,
}

impl RequestError {
    /// Appends the message to `out`: one line of printable ASCII, without its newline.
    pub fn write_message(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.text().as_bytes());
        if let Self::ExpectedBulk(byte) = *self {
            let (shown, length) = printable(byte);
            out.extend(shown.into_iter().take(length));
            out.push(b'\'');
        }
    }

    /// Returns the message, without the byte at its end that only `ExpectedBulk` has.
    fn text(&self) -> &'static str {
        match self {
            Self::MultibulkLength => "Protocol error: invalid multibulk length",
            Self::MultibulkCountTooLong => "Protocol error: too big mbulk count string",
            Self::ExpectedBulk(_) => "Protocol error: expected '$', got '",
            Self::BulkLength => "Protocol error: invalid bulk length",
            Self::BulkCountTooLong => "Protocol error: too big bulk count string",
            Self::BulkEnd => "Protocol error: expected CRLF after bulk",
            Self::RequestTooBig => "Protocol error: too big request",
            Self::LineTooBig => "Protocol error: too big inline request",
            Self::UnbalancedQuotes => "Protocol error: unbalanced quotes in request",
            Self::NulByte => "line contains a NUL byte",
            Self::TooManyArguments => "too many arguments",
        }
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut message = Vec::new();
        self.write_message(&mut message);
        formatter.write_str(&String::from_utf8_lossy(&message))
    }
}

impl std::error::Error for RequestError {}

/// Returns a byte as printable text, itself or `\x00`, and the number of bytes that are used.
fn printable(byte: u8) -> ([u8; 4], usize) {
    if byte == b' ' || byte.is_ascii_graphic() {
        return ([byte, 0, 0, 0], 1);
    }
    let hex = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
    ([b'\\', b'x', hex(byte >> 4), hex(byte & 15)], 4)
}
