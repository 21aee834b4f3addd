//! Days of the calendar, in UTC.

/// The seconds of a day.
pub const DAY: u64 = 86_400;

/// When a day such as `2027-01-31` begins, in seconds since 1970; `None` where it is no such day.
#[must_use]
pub fn parse(text: &str) -> Option<u64> {
    let mut parts = text.splitn(3, '-').map(|part| {
        let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| part.parse::<u64>().ok()).flatten()
    });
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let start = days(year, month, day) * DAY;
    // The 31st of a month of 30 days comes out as another day.
    (show(start) == format!("{year:04}-{month:02}-{day:02}")).then_some(start)
}

/// The day on which a time falls.
#[must_use]
pub fn show(seconds: u64) -> String {
    let (mut year, mut left) = (1970, seconds / DAY);
    while left >= days(year + 1, 1, 1) - days(year, 1, 1) {
        left -= days(year + 1, 1, 1) - days(year, 1, 1);
        year += 1;
    }
    let start = days(year, 1, 1);
    let month = (1..=12).rev().find(|month| days(year, *month, 1) - start <= left).unwrap_or(1);
    let day = left + start - days(year, month, 1) + 1;
    format!("{year:04}-{month:02}-{day:02}")
}

/// Days from the first of 1970, by counting years from March on, so that leap days come last.
fn days(year: u64, month: u64, day: u64) -> u64 {
    /// Days from the first of March of the year 0 to the first of 1970.
    const EPOCH: u64 = 719_468;
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    year * 365 + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - EPOCH
}

#[cfg(test)]
mod tests {
    use super::*;

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
