//! The progress bar of a running command.

use std::io::{self, IsTerminal as _, Write as _};

use crate::{
    output::{
        terminal,
        text::{escaped_line, truncate},
    },
    reply::Reply,
};

/// The width of the bar itself, in columns.
const BAR_WIDTH: u64 = 30;
/// The width of a terminal that does not report one.
const DEFAULT_WIDTH: usize = 80;

/// A line on stderr that is drawn repeatedly. Dropping it erases the line.
#[derive(Debug)]
pub struct ProgressBar {
    is_terminal: bool,
    is_drawn: bool,
}

impl ProgressBar {
    /// Returns a bar that is not drawn yet; it is never drawn where stderr is no terminal.
    pub fn new() -> Self {
        Self { is_terminal: io::stderr().is_terminal(), is_drawn: false }
    }

    /// Draws a push about progress; erases the bar and passes any other push to `show`.
    pub fn draw_or(&mut self, values: &[Reply], show: impl FnOnce(&[Reply])) {
        match values {
            [Reply::Text(kind), Reply::Integer(done), Reply::Integer(total), Reply::Text(text)]
                if &kind[..] == b"progress" =>
            {
                self.draw(*done, *total, text);
            }
            other => {
                self.erase();
                show(other);
            }
        }
    }

    /// Erases the line.
    pub fn erase(&mut self) {
        if std::mem::take(&mut self.is_drawn) {
            let _ = io::stderr().lock().write_all(b"\r\x1b[K");
        }
    }

    fn draw(&mut self, done: i64, total: i64, text: &[u8]) {
        if !self.is_terminal {
            return;
        }
        let width = terminal::size().map_or(DEFAULT_WIDTH, |(_, columns)| columns);
        let line = line(done, total, text, width);
        self.is_drawn = true;
        let _ = io::stderr().lock().write_all(format!("\r{line}\x1b[K").as_bytes());
    }
}

impl Drop for ProgressBar {
    fn drop(&mut self) {
        self.erase();
    }
}

/// Returns a line that is shorter than the terminal is wide, so that it never wraps.
fn line(done: i64, total: i64, text: &[u8], width: usize) -> String {
    let text = escaped_line(text);
    let done = u64::try_from(done).unwrap_or_default();
    let mut line = match u64::try_from(total) {
        Ok(total @ 1..) => {
            let done = done.min(total);
            // A product of two counts of bytes can exceed 64 bits.
            let share = |of: u64| (u128::from(done) * u128::from(of) / u128::from(total)) as usize;
            let full = "=".repeat(share(BAR_WIDTH));
            format!("[{full:<30}] {:>3}%  {done}/{total}", share(100))
        }
        _ => format!("{done}"),
    };
    if !text.is_empty() {
        line.push(' ');
        line.push_str(&text);
    }
    truncate(&line, width.saturating_sub(1)).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_total_is_drawn_as_a_bar() {
        let half = format!("[{}{}]  50%  5/10 files", "=".repeat(15), " ".repeat(15));
        assert_eq!(line(5, 10, b"files", 80), half);
        assert!(line(10, 10, b"", 80).ends_with("] 100%  10/10"));
        assert!(line(99, 10, b"", 80).ends_with("] 100%  10/10"));
        assert!(line(i64::MAX, i64::MAX, b"", 80).contains("100%"));
    }

    #[test]
    fn unknown_total_is_shown_as_a_number() {
        assert_eq!(line(7, 0, b"lines", 80), "7 lines");
        assert_eq!(line(-7, -1, b"", 80), "0");
    }

    #[test]
    fn line_never_wraps_and_has_no_controls() {
        assert_eq!(line(7, 0, b"a\nb\x1b[2J", 80), "7 a\\nb\\x1b[2J");
        assert_eq!(line(7, 0, "日本語".as_bytes(), 6), "7 日");
        assert_eq!(line(5, 10, b"files", 20).len(), 19);
    }
}
