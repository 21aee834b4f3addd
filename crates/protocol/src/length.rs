//! The parser of the decimal number in a RESP header line, as in `*2\r\n` and `$5\r\n`.

/// The most digits of a number that has not ended. Redis waits for 64 KiB, but no number of more
/// than 20 digits can be accepted anyway.
const MOST_DIGITS: usize = 32;

/// The outcome of parsing the bytes after `*` or `$`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    /// Valid so far, but the CRLF has not arrived.
    Incomplete,
    /// A number, and the bytes that it took, with its CRLF.
    Known { value: u64, negative: bool, taken: usize },
    /// Not a number, whatever follows.
    Invalid,
    /// More than [`MOST_DIGITS`] digits.
    TooLong,
}

impl Length {
    /// Parses a number with its CRLF at the front of `input`. As in Redis, leading zeros, a plus
    /// sign, spaces and `-0` are invalid. An error is found at its very byte, so that the result
    /// does not depend on how much of the line has arrived. A number too large for `u64` is
    /// `u64::MAX`.
    #[inline(always)]
    pub(super) fn read(input: &[u8]) -> Self {
        // Nearly all headers are one of these two; they need no loop.
        let digit = |byte: &u8| u64::from(byte - b'0');
        match input {
            [one @ b'1'..=b'9', b'\r', b'\n', ..] => {
                Self::Known { value: digit(one), negative: false, taken: 3 }
            }
            [ten @ b'1'..=b'9', one @ b'0'..=b'9', b'\r', b'\n', ..] => {
                let value = digit(ten) * 10 + digit(one);
                Self::Known { value, negative: false, taken: 4 }
            }
            _ => Self::read_any(input),
        }
    }

    fn read_any(input: &[u8]) -> Self {
        let negative = input.first() == Some(&b'-');
        let first = usize::from(negative);
        let mut value = 0u64;
        for (at, &byte) in input.iter().enumerate().skip(first) {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                return match (byte, input.get(at + 1)) {
                    (b'\r', _) if at == first => Self::Invalid,
                    (b'\r', None) => Self::Incomplete,
                    (b'\r', Some(b'\n')) => Self::Known { value, negative, taken: at + 2 },
                    _ => Self::Invalid,
                };
            }
            if at == first + MOST_DIGITS {
                return Self::TooLong;
            }
            let leading_zero = value == 0 && at > first;
            if leading_zero || (negative && digit == 0 && at == first) {
                return Self::Invalid;
            }
            value = value.saturating_mul(10).saturating_add(u64::from(digit));
        }
        Self::Incomplete
    }
}
