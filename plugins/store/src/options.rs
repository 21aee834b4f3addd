//! The options of `set` and `getex`.

use plugin_api::{Error, Result};

use crate::{
    clock::NEVER,
    number::{Unit, integer, invalid_time, millis},
};

/// The parsed options.
#[derive(Default)]
pub(crate) struct Options<'a> {
    pub(crate) condition: Condition,
    /// True if the old value is replied.
    pub(crate) get: bool,
    pub(crate) expiry: Expiry<'a>,
}

/// The condition under which `set` sets a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Condition {
    #[default]
    Always,
    Absent,
    Present,
}

/// The new expiry of a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Expiry<'a> {
    /// No option names one.
    #[default]
    Unnamed,
    Keep,
    Persist,
    After(Unit, &'a [u8]),
    At(Unit, &'a [u8]),
}

impl<'a> Options<'a> {
    /// Parses the options of `set`.
    ///
    /// # Errors
    /// An option is unknown, lacks its argument, or contradicts another.
    pub(crate) fn of_set(mut words: impl Iterator<Item = &'a [u8]>) -> Result<Self> {
        let mut options = Self::default();
        while let Some(word) = words.next() {
            let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
            if is("NX") {
                options.require(Condition::Absent)?;
            } else if is("XX") {
                options.require(Condition::Present)?;
            } else if is("GET") {
                options.get = true;
            } else if is("KEEPTTL") {
                options.expire(Expiry::Keep)?;
            } else {
                options.expire(time(word, words.next())?)?;
            }
        }
        Ok(options)
    }

    /// Parses the options of `getex`.
    ///
    /// # Errors
    /// As [`of_set`](Self::of_set).
    pub(crate) fn of_getex(mut words: impl Iterator<Item = &'a [u8]>) -> Result<Self> {
        let mut options = Self::default();
        while let Some(word) = words.next() {
            if word.eq_ignore_ascii_case(b"PERSIST") {
                options.expire(Expiry::Persist)?;
            } else {
                options.expire(time(word, words.next())?)?;
            }
        }
        Ok(options)
    }

    fn require(&mut self, condition: Condition) -> Result<()> {
        if self.condition != Condition::Always && self.condition != condition {
            return Err(syntax_error());
        }
        self.condition = condition;
        Ok(())
    }

    /// As in Redis, the last of several expiries counts if all are of one kind.
    fn expire(&mut self, expiry: Expiry<'a>) -> Result<()> {
        let same_kind = match (self.expiry, expiry) {
            (Expiry::Unnamed, _) => true,
            (Expiry::After(one, _), Expiry::After(other, _))
            | (Expiry::At(one, _), Expiry::At(other, _)) => one == other,
            (one, other) => one == other,
        };
        if !same_kind {
            return Err(syntax_error());
        }
        self.expiry = expiry;
        Ok(())
    }
}

impl Expiry<'_> {
    /// Returns the time that the options name, in milliseconds since 1970; [`NEVER`] if they name
    /// none. `now` counts only for a time that is counted from now.
    ///
    /// # Errors
    /// The time is not an integer, not positive, or too large.
    pub(crate) fn resolve(self, command: &str, now: u64) -> Result<u64> {
        let (time, unit, is_absolute) = match self {
            Self::Unnamed | Self::Keep | Self::Persist => return Ok(NEVER),
            Self::After(unit, time) => (time, unit, false),
            Self::At(unit, time) => (time, unit, true),
        };
        let time = Some(integer(time)?).filter(|time| *time > 0);
        time.and_then(|time| millis(time, unit, if is_absolute { 0 } else { now }))
            .and_then(|time| u64::try_from(time).ok())
            .ok_or_else(|| invalid_time(command))
    }
}

fn time<'a>(word: &[u8], argument: Option<&'a [u8]>) -> Result<Expiry<'a>> {
    let argument = argument.ok_or_else(syntax_error)?;
    match word.to_ascii_uppercase().as_slice() {
        b"EX" => Ok(Expiry::After(Unit::Seconds, argument)),
        b"PX" => Ok(Expiry::After(Unit::Millis, argument)),
        b"EXAT" => Ok(Expiry::At(Unit::Seconds, argument)),
        b"PXAT" => Ok(Expiry::At(Unit::Millis, argument)),
        _ => Err(syntax_error()),
    }
}

pub(crate) fn syntax_error() -> Error {
    Error::new("syntax error")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set<'a>(words: &[&'a str]) -> Result<Options<'a>> {
        Options::of_set(words.iter().map(|word| word.as_bytes()))
    }

    #[test]
    fn options_come_in_any_order_and_case() {
        for words in [["nx", "GET", "Px", "7"], ["pX", "7", "NX", "get"]] {
            let options = set(&words).unwrap();
            assert_eq!((options.condition, options.get), (Condition::Absent, true));
            assert_eq!(options.expiry, Expiry::After(Unit::Millis, b"7"));
            assert_eq!(options.expiry.resolve("set", 5), Ok(12));
        }
        assert_eq!(set(&["EX", "1", "EX", "2"]).unwrap().expiry.resolve("set", 0), Ok(2_000));
        assert_eq!(set(&["EXAT", "2"]).unwrap().expiry.resolve("set", 7), Ok(2_000));
    }

    #[test]
    fn contradictions_are_syntax_errors() {
        let wrong: [&[&str]; 9] = [
            &["NX", "XX"],
            &["EX"],
            &["EX", "1", "PX", "1"],
            &["KEEPTTL", "EX", "1"],
            &["EXAT", "1", "EX", "1"],
            &["PX", "1", "KEEPTTL"],
            &["PERSIST"],
            &["", "1"],
            &["one", "two"],
        ];
        for words in wrong {
            assert_eq!(
                set(words).err().map(|error| error.to_string()),
                Some("ERR syntax error".into())
            );
        }
        let getex = |words: &[&'static str]| {
            Options::of_getex(words.iter().map(|word| word.as_bytes()))
                .map(|options| options.expiry)
        };
        assert_eq!(getex(&["persist"]), Ok(Expiry::Persist));
        for words in [&["PERSIST", "EX", "1"][..], &["NX"], &["KEEPTTL"], &["GET"]] {
            assert!(getex(words).is_err(), "{words:?}");
        }
    }
}
