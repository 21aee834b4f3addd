//! Durations as the command line has them, in seconds.

use std::time::Duration;

/// Parses a number of seconds above 0.
pub fn parse_timeout(text: &str) -> Result<Duration, String> {
    parse(text)
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| "give a number of seconds above 0, such as 5 or 0.5".to_owned())
}

/// Parses a number of seconds, 0 included.
pub fn parse_interval(text: &str) -> Result<Duration, String> {
    parse(text).ok_or_else(|| "give a number of seconds, such as 5, 0.5 or 0".to_owned())
}

fn parse(text: &str) -> Option<Duration> {
    text.parse::<f64>().ok().and_then(|number| Duration::try_from_secs_f64(number).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_positive_numbers_of_seconds() {
        assert_eq!(parse_timeout("0.25"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_interval("0"), Ok(Duration::ZERO));
        for text in ["0", "-1", "nan", "inf", "soon", "1e300", ""] {
            assert!(parse_timeout(text).is_err(), "{text}");
            assert!(text == "0" || parse_interval(text).is_err(), "{text}");
        }
    }
}
