//! Colours, where somebody sees and wants them.

use std::env;

use anstyle::{AnsiColor, Style};

/// The name of a command that there is.
pub const KNOWN: Style = Style::new().bold();
/// What is not there, or went wrong.
pub const BAD: Style = AnsiColor::Red.on_default();
/// The prompt.
pub const PROMPT: Style = AnsiColor::Green.on_default();
/// What the server says unasked.
pub const NOTICE: Style = AnsiColor::Yellow.on_default();
/// What is only a hint.
pub const HINT: Style = AnsiColor::BrightBlack.on_default();

/// Whether output may be coloured: to a terminal that can, unless `NO_COLOR` is set.
pub fn wanted(terminal: bool) -> bool {
    let unwanted = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    terminal && !unwanted && env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// The text in this style, or as it is.
pub fn paint(text: &str, style: Style, coloured: bool) -> String {
    match coloured && !text.is_empty() {
        true => format!("{style}{text}{style:#}"),
        false => text.to_owned(),
    }
}
