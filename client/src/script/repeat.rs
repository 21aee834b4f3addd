//! Repetitions of a command.

use std::{str::FromStr, time::Duration};

/// The number of times that a command runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// That many times, at least once.
    Times(u64),
    /// Until something ends it.
    Forever,
}

/// The number of runs and the pause between two of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// The number of runs.
    pub repeat: Repeat,
    /// The pause between two runs.
    pub interval: Duration,
}

impl Repeat {
    /// Returns the repetitions after the next run; `None` when that run is the last.
    pub fn after_one(self) -> Option<Self> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetitions_end_after_their_number() {
        assert_eq!("-1".parse(), Ok(Repeat::Forever));
        assert_eq!(Repeat::Forever.after_one(), Some(Repeat::Forever));
        assert_eq!("2".parse(), Ok(Repeat::Times(2)));
        assert_eq!(Repeat::Times(2).after_one(), Some(Repeat::Times(1)));
        assert_eq!(Repeat::Times(1).after_one(), None);
        for text in ["0", "-2", "1.5", "many", ""] {
            assert!(text.parse::<Repeat>().is_err(), "{text}");
        }
    }
}
