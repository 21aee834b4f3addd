//! Colours of terminal output.

use std::env;

use anstyle::{AnsiColor, Style};

/// The name of a known command.
pub const KNOWN_COMMAND: Style = Style::new().bold();
/// Errors, and names of unknown commands.
pub const ERROR: Style = AnsiColor::Red.on_default();
/// The prompt.
pub const PROMPT: Style = AnsiColor::Green.on_default();
/// Push messages of the host.
pub const NOTICE: Style = AnsiColor::Yellow.on_default();
/// Hints.
pub const HINT: Style = AnsiColor::BrightBlack.on_default();

/// Returns true for a terminal with colours, unless `NO_COLOR` is set.
pub fn is_enabled(is_terminal: bool) -> bool {
    let is_disabled = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    is_terminal && !is_disabled && env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Returns the text in this style; unchanged unless `is_coloured`.
pub fn paint(text: &str, style: Style, is_coloured: bool) -> String {
    match is_coloured && !text.is_empty() {
        true => format!("{style}{text}{style:#}"),
        false => text.to_owned(),
    }
}
