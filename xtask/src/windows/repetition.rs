//! Repetition of tests that failed because of Wine.

use super::wine::fault_line;

/// Number of repetitions that one run under Wine allows.
pub const MOST: usize = 3;

/// The decision whether a failure is repeated.
#[derive(Debug, PartialEq, Eq)]
pub enum Decision<'a> {
    /// It is repeated, since Wine reports this fault.
    Repeat(&'a str),
    /// Wine is at fault, but has been too often.
    TooMany(&'a str),
    /// Wine is not at fault.
    Fail,
}

/// Decides by the failure's own output and by the number of earlier repetitions.
pub fn decide(output: &str, repeated: usize) -> Decision<'_> {
    match fault_line(output) {
        None => Decision::Fail,
        Some(reason) if repeated < MOST => Decision::Repeat(reason),
        Some(reason) => Decision::TooMany(reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAULT: &str = "cannot start the probe: Internal error. (os error 1359)";

    #[test]
    fn failure_is_repeated_if_wine_is_at_fault() {
        let output = format!("thread 'a' panicked at b.rs:1:1:\n{FAULT}\nnote: run with");
        assert_eq!(decide(&output, 0), Decision::Repeat(FAULT));
        assert_eq!(decide(&output, MOST - 1), Decision::Repeat(FAULT));
    }

    #[test]
    fn failure_without_fault_of_wine_is_not_repeated() {
        let output = "thread 'a' panicked at b.rs:1:1:\nassertion failed: (os error 13590)";
        assert_eq!(decide(output, 0), Decision::Fail);
        assert_eq!(decide("", 0), Decision::Fail);
    }

    #[test]
    fn fourth_repetition_is_refused() {
        assert_eq!(decide(FAULT, MOST), Decision::TooMany(FAULT));
    }
}
