//! Times and sizes on the command line.

use std::time::Duration;

/// The longest time that a flag may name: a day over which a clock's sum cannot run over.
const LONGEST: f64 = 366.0 * 86_400.0;

/// A time in seconds.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.0..=LONGEST).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("a time is a number of seconds, at most a year, such as 5 or 0.5".into()),
    }
}

/// The largest size that a flag may name: places in a request are 32-bit numbers.
const LARGEST: u64 = 1 << 31;

/// A number of bytes.
pub(super) fn size(text: &str) -> Result<usize, String> {
    let (digits, unit) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 1 << 10),
        Some(b'm' | b'M') => (&text[..text.len() - 1], 1 << 20),
        Some(b'g' | b'G') => (&text[..text.len() - 1], 1 << 30),
        _ => (text, 1_u64),
    };
    digits
        .parse::<u64>()
        .ok()
        .and_then(|count| count.checked_mul(unit))
        .filter(|bytes| (1..=LARGEST).contains(bytes))
        .and_then(|bytes| usize::try_from(bytes).ok())
        .ok_or_else(|| "a size is a number of bytes, at most 2G, such as 4096, 64K or 1M".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_take_units() {
        assert_eq!(size("1"), Ok(1));
        assert_eq!(size("64K"), Ok(65_536));
        assert_eq!(size("1m"), Ok(1 << 20));
        assert_eq!(size("2G"), Ok(1 << 31));
        for text in ["0", "", "K", "-1", "3G", "1T", "99999999999999999999G"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_are_bounded_and_finite() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for text in ["-1", "nan", "inf", "1e300", "soon"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
