//! The parsers of times and sizes on the command line.

use std::time::Duration;

/// The longest time that a flag may name, in seconds: a sum with the clock's time cannot overflow.
const LONGEST: f64 = 366.0 * 86_400.0;

/// Parses a time in seconds, at most a year.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.0..=LONGEST).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("a time is a number of seconds, at most a year, such as 5 or 0.5".into()),
    }
}

/// The largest size that a flag may name, in bytes: offsets in a request are 32-bit numbers.
const LARGEST: u64 = 1 << 31;

/// Parses a number of bytes, from 1 to 2 GiB.
pub(super) fn size(text: &str) -> Result<usize, String> {
    parse_bytes(text)
        .filter(|bytes| (1..=LARGEST).contains(bytes))
        .and_then(|bytes| usize::try_from(bytes).ok())
        .ok_or_else(|| "a size is a number of bytes, at most 2G, such as 4096, 64K or 1M".into())
}

/// The least memory that a worker process may be limited to, in bytes: with less it cannot start.
const LEAST_MEMORY: u64 = 1 << 20;

/// Parses the memory of a worker process in bytes, at least 1 MiB.
pub(super) fn memory(text: &str) -> Result<u64, String> {
    parse_bytes(text).filter(|bytes| *bytes >= LEAST_MEMORY).ok_or_else(|| {
        "a worker process's memory is a number of bytes, at least 1M, such as 256M or 2G".into()
    })
}

fn parse_bytes(text: &str) -> Option<u64> {
    let (digits, unit) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 1 << 10),
        Some(b'm' | b'M') => (&text[..text.len() - 1], 1 << 20),
        Some(b'g' | b'G') => (&text[..text.len() - 1], 1 << 30),
        _ => (text, 1_u64),
    };
    digits.parse::<u64>().ok().and_then(|count| count.checked_mul(unit))
}

/// An amount of memory, absolute or as a share of the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// Bytes.
    Bytes(u64),
    /// Percent of the whole.
    Percent(u8),
}

impl Share {
    /// Returns the amount in bytes, if the whole is `all` bytes. `None` stands for no limit: the
    /// amount is 0, or a share of an unknown whole.
    pub fn of(self, all: Option<u64>) -> Option<usize> {
        let bytes = match self {
            Self::Bytes(bytes) => bytes,
            Self::Percent(percent) => all? / 100 * u64::from(percent),
        };
        usize::try_from(bytes).ok().filter(|bytes| *bytes > 0)
    }
}

/// Parses a number of bytes, without an upper limit, or a percentage. 0 is allowed.
pub(super) fn share(text: &str) -> Result<Share, String> {
    let share = match text.strip_suffix('%') {
        Some(number) => number.parse().ok().filter(|percent| *percent <= 100).map(Share::Percent),
        None => parse_bytes(text).map(Share::Bytes),
    };
    share.ok_or_else(|| "an amount of memory is a size such as 512M or 2G, or 25%".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_sizes_or_percents() {
        assert_eq!(share("0"), Ok(Share::Bytes(0)));
        assert_eq!(share("8G"), Ok(Share::Bytes(8 << 30)));
        assert_eq!(share("25%"), Ok(Share::Percent(25)));
        for text in ["", "%", "101%", "-1", "1.5G", "x"] {
            assert!(share(text).is_err(), "{text}");
        }
        assert_eq!(Share::Percent(25).of(Some(1000)), Some(250));
        assert_eq!(Share::Percent(25).of(None), None);
        assert_eq!(Share::Bytes(0).of(Some(1000)), None);
        assert_eq!(Share::Bytes(7).of(None), Some(7));
    }

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
