//! Integers and times in arguments and values, as Redis reads them.

use plugin_api::{Error, Result};

/// Maximum length of a 64-bit integer, in bytes.
const LONGEST: usize = "-9223372036854775808".len();

/// Parses an integer in its one canonical form: no `+`, no spaces, no leading zeros.
///
/// # Errors
/// The bytes are no such integer, or it is beyond 64 bits.
pub(crate) fn integer(bytes: &[u8]) -> Result<i64> {
    // A part may be locked meanwhile, so a long value is not scanned.
    let short = Some(bytes).filter(|bytes| bytes.len() <= LONGEST);
    let digits = bytes.strip_prefix(b"-").unwrap_or(bytes);
    let plain = bytes == b"0" || matches!(digits, [b'1'..=b'9', ..]);
    short
        .filter(|_| plain)
        .and_then(|bytes| str::from_utf8(bytes).ok()?.parse().ok())
        .ok_or_else(|| Error::new("value is not an integer or out of range"))
}

/// The unit of a time in an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Seconds,
    Millis,
}

/// Returns `time` after `base` in milliseconds; `None` where that is beyond 63 bits. It may be
/// negative.
pub(crate) fn millis(time: i64, unit: Unit, base: u64) -> Option<i64> {
    let millis = match unit {
        Unit::Seconds => time.checked_mul(1_000)?,
        Unit::Millis => time,
    };
    millis.checked_add(i64::try_from(base).ok()?)
}

/// Returns the error of a time that cannot be one.
pub(crate) fn invalid_time(command: &str) -> Error {
    Error::new(format!("invalid expire time in '{command}' command"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_integers_are_integers() {
        for value in [0, 7, -7, 10, i64::MAX, i64::MIN] {
            assert_eq!(integer(value.to_string().as_bytes()), Ok(value));
        }
        for text in ["", "-", "+1", "01", "-0", "-01", "1 ", " 1", "1.0", "9223372036854775808"] {
            assert!(integer(text.as_bytes()).is_err(), "{text:?}");
        }
        assert!(integer(b"1\xff").is_err());
    }

    #[test]
    fn times_do_not_overflow() {
        assert_eq!(millis(-2, Unit::Seconds, 5_000), Some(3_000));
        assert_eq!(millis(i64::MAX / 1_000 + 1, Unit::Seconds, 0), None);
        assert_eq!(millis(i64::MIN, Unit::Seconds, 0), None);
        assert_eq!(millis(i64::MAX, Unit::Millis, 1), None);
        assert_eq!(millis(i64::MIN, Unit::Millis, 1), Some(i64::MIN + 1));
    }
}
