//! The bound of the store's memory.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use plugin_api::{Error, Request, Result, serde::Deserialize};

/// The content of `store.toml`.
#[derive(Default, Deserialize)]
#[serde(crate = "plugin_api::serde", default, deny_unknown_fields)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Config {
    /// The largest memory of the records. Without it, or with 0, there is no bound.
    max_memory: Option<Size>,
}

/// A number of bytes, or a text such as `256MB`.
#[derive(Deserialize)]
#[serde(crate = "plugin_api::serde", untagged)]
enum Size {
    Bytes(i64),
    Text(String),
}

impl Config {
    /// Returns the bound in bytes; 0 means that there is none.
    pub(crate) fn limit(&self) -> Result<u64> {
        let limit = match &self.max_memory {
            None => Some(0),
            Some(Size::Bytes(bytes)) => u64::try_from(*bytes).ok(),
            Some(Size::Text(text)) => parse(text),
        };
        limit.ok_or_else(|| {
            Error::new(
                "cannot read `max-memory`: it is a number of bytes or a text such as '256MB'",
            )
        })
    }
}

/// Parses a size in the notation of Redis: `k` is 1000 and `kb` is 1024.
fn parse(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" => 1_000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return None,
    };
    let number = Some(digits).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    number.parse::<u64>().ok()?.checked_mul(unit)
}

/// The memory that the records use, and its bound.
#[derive(Default)]
pub(crate) struct Memory {
    used: AtomicU64,
    /// 0 means that there is none.
    limit: AtomicU64,
}

impl Memory {
    pub(crate) fn set_limit(&self, limit: u64) {
        self.limit.store(limit, Relaxed);
    }

    #[cfg(test)]
    pub(crate) fn used(&self) -> u64 {
        self.used.load(Relaxed)
    }

    /// Accounts for a part whose size has changed.
    pub(crate) fn account(&self, before: u64, after: u64) {
        if before != after {
            self.used.fetch_add(after.wrapping_sub(before), Relaxed);
        }
    }

    /// Returns by how much the records may grow in this call. A
    /// replayed command was within the bound of its time, so there is none for it.
    pub(crate) fn room(&self, request: &Request) -> Room {
        let limit = self.limit.load(Relaxed);
        // Sessions count from 1: 0 is the session of a replay.
        if limit == 0 || request.session_id() == 0 {
            return Room::UNBOUNDED;
        }
        Room(Some(limit.saturating_sub(self.used.load(Relaxed))))
    }
}

/// The bytes by which a command may let the store grow.
#[derive(Clone, Copy)]
pub(crate) struct Room(Option<u64>);

impl Room {
    pub(crate) const UNBOUNDED: Self = Self(None);

    /// Checks that what a command adds is within the bound. Computes it only if there is one.
    ///
    /// # Errors
    /// It is not; a command that adds nothing is always within it.
    pub(crate) fn check(self, growth: impl FnOnce() -> u64) -> Result<()> {
        match self.0 {
            Some(room) if growth() > room => {
                Err(Error::with_kind("OOM", "command not allowed when used memory > 'maxmemory'."))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_redis_reads_them() {
        for (text, bytes) in [
            ("0", 0),
            ("17", 17),
            ("17b", 17),
            ("2k", 2_000),
            ("2KB", 2_048),
            ("3m", 3_000_000),
            ("256MB", 256 << 20),
            ("1g", 1_000_000_000),
            ("1Gb", 1 << 30),
        ] {
            assert_eq!(parse(text), Some(bytes), "{text}");
        }
        for text in ["", "mb", "-1", "+1", "1 mb", "1.5gb", "1tb", "1é", "18446744073709551615k"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn nothing_is_added_beyond_the_bound() {
        for (room, growth, fits) in [(Some(5), 5, true), (Some(5), 6, false), (Some(0), 0, true)] {
            assert_eq!(Room(room).check(|| growth).is_ok(), fits);
        }
        assert!(Room(None).check(|| unreachable!()).is_ok());
    }
}
