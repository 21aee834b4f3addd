//! Builds text without allocating, for signal handlers.

/// The capacity of a line, in bytes.
const ROOM: usize = 512;

/// A text of limited length; the rest of a longer one is dropped.
pub(super) struct LineBuffer {
    bytes: [u8; ROOM],
    length: usize,
}

impl LineBuffer {
    pub(super) const fn new() -> Self {
        Self { bytes: [0; ROOM], length: 0 }
    }

    pub(super) fn clear(&mut self) {
        self.length = 0;
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    pub(super) fn push(&mut self, text: &str) {
        self.push_bytes(text.as_bytes());
    }

    pub(super) fn push_bytes(&mut self, text: &[u8]) {
        for (room, byte) in self.bytes.iter_mut().skip(self.length).zip(text) {
            *room = *byte;
            self.length += 1;
        }
    }

    pub(super) fn push_all(&mut self, parts: &[&[u8]]) {
        parts.iter().for_each(|part| self.push_bytes(part));
    }

    pub(super) fn push_number(&mut self, number: u64) {
        self.push_padded(number, 1);
    }

    pub(super) fn push_signed(&mut self, number: i32) {
        if number < 0 {
            self.push("-");
        }
        self.push_number(number.unsigned_abs().into());
    }

    /// Appends a number in at least this many digits, of which there are 20 at most.
    fn push_padded(&mut self, number: u64, least: usize) {
        let (mut digits, mut left, mut count) = ([b'0'; 20], number, 0);
        for digit in digits.iter_mut().rev() {
            if left == 0 && count >= least {
                break;
            }
            *digit = b'0' + (left % 10) as u8;
            left /= 10;
            count += 1;
        }
        self.push_bytes(digits.get(digits.len() - count..).unwrap_or_default());
    }

    /// Appends a time in the log's format: `2026-11-24T17:17:40.169Z`.
    pub(super) fn push_time(&mut self, seconds: u64, millis: u64) {
        let (year, month, day) = date(seconds / 86_400);
        let second = seconds % 86_400;
        let parts = [
            (year, 4, "-"),
            (month, 2, "-"),
            (day, 2, "T"),
            (second / 3_600, 2, ":"),
            (second / 60 % 60, 2, ":"),
            (second % 60, 2, "."),
            (millis, 3, "Z"),
        ];
        for (number, digits, after) in parts {
            self.push_padded(number, digits);
            self.push(after);
        }
    }
}

/// Returns year, month and day for a number of days since 1970-01-01. See `civil_from_days` in
/// <https://howardhinnant.github.io/date_algorithms.html>: its years begin with March.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut LineBuffer)) -> String {
        let mut line = LineBuffer::new();
        write(&mut line);
        String::from_utf8(line.bytes().to_vec()).unwrap()
    }

    #[test]
    fn numbers_are_written_in_digits() {
        for number in [0, 7, 10, 1_234, u64::MAX] {
            assert_eq!(text(|line| line.push_number(number)), number.to_string());
        }
        for number in [0, -1, 7, i32::MIN] {
            assert_eq!(text(|line| line.push_signed(number)), number.to_string());
        }
    }

    #[test]
    fn times_are_written_as_in_the_log() {
        for (seconds, millis, expected) in [
            (0, 0, "1970-01-01T00:00:00.000Z"),
            (951_827_696, 7, "2000-02-29T12:34:56.007Z"),
            (1_735_689_599, 999, "2024-12-31T23:59:59.999Z"),
            (1_795_540_660, 169, "2026-11-24T17:17:40.169Z"),
        ] {
            assert_eq!(text(|line| line.push_time(seconds, millis)), expected);
        }
    }

    #[test]
    fn text_beyond_the_room_is_dropped() {
        assert_eq!(text(|line| line.push(&"x".repeat(2 * ROOM))), "x".repeat(ROOM));
    }
}
