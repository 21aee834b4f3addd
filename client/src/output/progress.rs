//! How far a running command is, as a bar on the terminal.

use std::io::{self, IsTerminal as _, Write as _};

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use crate::{
    output::{
        terminal,
        text::{Escape, clean},
    },
    reply::Reply,
};

/// The width of the bar itself, in columns.
const BAR: u64 = 30;
/// Where the terminal's width is not known.
const USUAL_WIDTH: usize = 80;

/// One line on stderr that is drawn again and again. It is erased when this drops.
#[derive(Debug)]
pub struct Bar {
    terminal: bool,
    drawn: bool,
}

impl Bar {
    /// A bar that is not drawn yet. Where stderr is no terminal it never is.
    pub fn new() -> Self {
        Self { terminal: io::stderr().is_terminal(), drawn: false }
    }

    /// Draws a push that tells of progress; gives any other to `show`.
    pub fn take_or(&mut self, values: &[Reply], show: impl FnOnce(&[Reply])) {
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

    /// Makes room for something else.
    pub fn erase(&mut self) {
        if std::mem::take(&mut self.drawn) {
            let _ = io::stderr().lock().write_all(b"\r\x1b[K");
        }
    }

    fn draw(&mut self, done: i64, total: i64, text: &[u8]) {
        if !self.terminal {
            return;
        }
        let width = terminal::size().map_or(USUAL_WIDTH, |(_, columns)| columns);
        let line = line(done, total, text, width);
        self.drawn = true;
        let _ = io::stderr().lock().write_all(format!("\r{line}\x1b[K").as_bytes());
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.erase();
    }
}

/// The line, shorter than the terminal is wide, so that it never becomes two.
fn line(done: i64, total: i64, text: &[u8], width: usize) -> String {
    let mut shown = Vec::new();
    // Writing to a vector cannot fail.
    let _ = clean(&mut shown, text, Escape::AllControls);
    let text = String::from_utf8_lossy(&shown);
    let done = u64::try_from(done).unwrap_or_default();
    let mut line = match u64::try_from(total) {
        Ok(total @ 1..) => {
            let done = done.min(total);
            // Wider than 64 bits, since a host may count bytes.
            let share = |of: u64| (u128::from(done) * u128::from(of) / u128::from(total)) as usize;
            let full = "=".repeat(share(BAR));
            format!("[{full:<30}] {:>3}%  {done}/{total}", share(100))
        }
        _ => format!("{done}"),
    };
    if !text.is_empty() {
        line.push(' ');
        line.push_str(&text);
    }
    cut(&line, width.saturating_sub(1)).to_owned()
}

/// The start of a text that is at most this many columns wide.
pub fn cut(text: &str, width: usize) -> &str {
    if text.width() <= width {
        return text;
    }
    let mut used = 0;
    for (index, character) in text.char_indices() {
        used += character.width().unwrap_or_default();
        if used > width {
            return &text[..index];
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_total_makes_a_bar() {
        let half = format!("[{}{}]  50%  5/10 files", "=".repeat(15), " ".repeat(15));
        assert_eq!(line(5, 10, b"files", 80), half);
        assert!(line(10, 10, b"", 80).ends_with("] 100%  10/10"));
        assert!(line(99, 10, b"", 80).ends_with("] 100%  10/10"));
        assert!(line(i64::MAX, i64::MAX, b"", 80).contains("100%"));
    }

    #[test]
    fn without_a_total_the_number_is_all() {
        assert_eq!(line(7, 0, b"lines", 80), "7 lines");
        assert_eq!(line(-7, -1, b"", 80), "0");
    }

    #[test]
    fn it_stays_one_line_and_commands_nothing() {
        assert_eq!(line(7, 0, b"a\nb\x1b[2J", 80), "7 a\\nb\\x1b[2J");
        assert_eq!(line(7, 0, "日本語".as_bytes(), 6), "7 日");
        assert_eq!(line(5, 10, b"files", 20).len(), 19);
    }
}
