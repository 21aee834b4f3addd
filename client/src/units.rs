//! Numbers as the command line has them.

use std::{str::FromStr, time::Duration};

/// How often something is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// That many times, at least once.
    Times(u64),
    /// Until something ends it.
    Forever,
}

impl Repeat {
    /// What is left after one time; `None` when that was the last.
    pub fn next(self) -> Option<Self> {
        match self {
            Self::Times(0 | 1) => None,
            Self::Times(times) => Some(Self::Times(times - 1)),
            Self::Forever => Some(Self::Forever),
        }
    }
}

impl FromStr for Repeat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            _ if text == "-1" => Ok(Self::Forever),
            Ok(times @ 1..) => Ok(Self::Times(times)),
            _ => Err("give a number above 0, or -1 for no end".to_owned()),
        }
    }
}

/// A number of seconds above 0.
pub fn seconds(text: &str) -> Result<Duration, String> {
    duration(text)
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| "give a number of seconds above 0, such as 5 or 0.5".to_owned())
}

/// A number of seconds.
pub fn interval(text: &str) -> Result<Duration, String> {
    duration(text).ok_or_else(|| "give a number of seconds, such as 5, 0.5 or 0".to_owned())
}

fn duration(text: &str) -> Option<Duration> {
    text.parse::<f64>().ok().and_then(|number| Duration::try_from_secs_f64(number).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_take_fractions_and_refuse_nonsense() {
        assert_eq!(seconds("0.25"), Ok(Duration::from_millis(250)));
        assert_eq!(interval("0"), Ok(Duration::ZERO));
        for text in ["0", "-1", "nan", "inf", "soon", "1e300", ""] {
            assert!(seconds(text).is_err(), "{text}");
            assert!(text == "0" || interval(text).is_err(), "{text}");
        }
    }

    #[test]
    fn repetitions_end() {
        assert_eq!("-1".parse(), Ok(Repeat::Forever));
        assert_eq!(Repeat::Forever.next(), Some(Repeat::Forever));
        assert_eq!("2".parse(), Ok(Repeat::Times(2)));
        assert_eq!(Repeat::Times(2).next(), Some(Repeat::Times(1)));
        assert_eq!(Repeat::Times(1).next(), None);
        for text in ["0", "-2", "1.5", "many", ""] {
            assert!(text.parse::<Repeat>().is_err(), "{text}");
        }
    }
}
