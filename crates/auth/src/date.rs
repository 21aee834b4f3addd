//! Dates of the calendar, in UTC.

use jiff::{Span, civil::Date};

/// The seconds of a day.
pub const DAY: u64 = 86_400;

/// The first day of 1970, from which times count.
const EPOCH: Date = Date::constant(1970, 1, 1);

/// Parses a date such as `2027-01-31`, and returns its start in seconds since 1970; `None` if there
/// is no such date from 1970 to 9999.
#[must_use]
pub fn parse(text: &str) -> Option<u64> {
    let day = Date::strptime("%Y-%m-%d", text).ok()?;
    let days = EPOCH.until(day).ok()?.get_days();
    u64::try_from(days).ok().map(|days| days * DAY)
}

/// Formats the date of a time in seconds since 1970, as [`parse`] reads it; a later time than the
/// calendar's end has its last date.
#[must_use]
pub fn show(seconds: u64) -> String {
    let days = i64::try_from(seconds / DAY).unwrap_or(i64::MAX);
    let days = Span::new().try_days(days).ok();
    days.and_then(|days| EPOCH.checked_add(days).ok()).unwrap_or(Date::MAX).to_string()
}

/// Formats a time in milliseconds since 1970, to the second.
#[must_use]
pub fn show_time(millis: u64) -> String {
    let time = millis / 1000;
    let (hours, minutes, seconds) = (time % DAY / 3600, time % 3600 / 60, time % 60);
    format!("{} {hours:02}:{minutes:02}:{seconds:02} UTC", show(time))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_hours_minutes_and_seconds() {
        assert_eq!(show_time(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(show_time(1_796_014_799_999), "2026-11-30 04:59:59 UTC");
        assert!(show_time(u64::MAX).starts_with("9999-12-31 "));
    }

    #[test]
    fn days_are_where_the_calendar_has_them() {
        for (text, number) in [
            ("1970-01-01", 0),
            ("1970-03-01", 59),
            ("2000-02-29", 11_016),
            ("2001-09-09", 11_574),
            ("2026-11-22", 20_779),
            ("9999-12-31", 2_932_896),
        ] {
            assert_eq!(parse(text), Some(number * DAY), "{text}");
            assert_eq!(show(number * DAY + DAY - 1), text);
        }
        assert_eq!(parse("2027-1-2"), parse("2027-01-02"));
    }

    #[test]
    fn invalid_date_is_rejected() {
        for text in [
            "",
            "2027",
            "2027-13-01",
            "2027-02-29",
            "2027-04-31",
            "2027-00-01",
            "2027-01-00",
            "1969-12-31",
            "10000-01-01",
            "2027-01-01-01",
            "2027-+1-01",
            "2027-18446744073709551615-01",
            "2027-01-18446744073709551615",
            "soon",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
