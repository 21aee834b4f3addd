//! The host's log on standard error, exactly one line for each record.

use std::{
    fmt::{self, Write as _},
    io::{self, Write},
    panic,
};

use env_logger::{Builder, fmt::Formatter};
use log::{Level, LevelFilter, Record};
use serde::Serialize;

use crate::config::LogFormat;

/// Starts logging. Does nothing if the process already has a logger.
pub fn start(level: LevelFilter, format: LogFormat) {
    let journal = platform::logs_to_journal();
    let write = match (format, journal) {
        (LogFormat::Json, _) => write_json,
        (LogFormat::Text, true) => write_prioritised,
        (LogFormat::Text, false) => write_text,
    };
    // The level is the `log` crate's own, so that it can change while the host runs.
    let started = Builder::new().filter_level(LevelFilter::Trace).format(write).try_init();
    // A test that runs the host in its own process may have set one.
    if started.is_ok() {
        set_level(level);
        if format == LogFormat::Json || journal {
            panic::set_hook(Box::new(|info| log::error!("{info}")));
        }
    }
}

/// Sets the log level.
pub fn set_level(level: LevelFilter) {
    log::set_max_level(level);
}

/// Returns the log level.
pub fn level() -> LevelFilter {
    log::max_level()
}

/// Reports an error of the start: as a log line if programs read the log, else as a message.
pub fn cannot_start(format: LogFormat, error: &dyn fmt::Display) {
    if format == LogFormat::Json || platform::logs_to_journal() {
        log::error!("{error}");
    } else {
        eprintln!("{}: {error}", program::own());
    }
}

fn write_text(out: &mut Formatter, record: &Record<'_>) -> io::Result<()> {
    let (style, time) = (out.default_level_style(record.level()), out.timestamp_millis());
    let (level, target) = (record.level(), target(record));
    writeln!(out, "{time} {style}{level:<5}{style:#} {target}: {}", Escaped(record.args()))
}

/// Writes a record with its priority, for systemd's journal; see sd-daemon(3).
fn write_prioritised(out: &mut Formatter, record: &Record<'_>) -> io::Result<()> {
    let priority = match record.level() {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    };
    writeln!(out, "<{priority}>{}: {}", target(record), Escaped(record.args()))
}

fn write_json(out: &mut Formatter, record: &Record<'_>) -> io::Result<()> {
    /// A record as a JSON object.
    #[derive(Serialize)]
    struct JsonLine<'a> {
        time: String,
        level: &'a str,
        target: &'a str,
        message: String,
    }
    let line = JsonLine {
        time: out.timestamp_millis().to_string(),
        level: level_name(record.level()),
        target: target(record),
        message: record.args().to_string(),
    };
    serde_json::to_writer(&mut *out, &line)?;
    out.write_all(b"\n")
}

/// Returns the record's target; `host` for all modules of the host's crates. The name of a plugin
/// has no colon.
fn target<'a>(record: &Record<'a>) -> &'a str {
    let target = record.target();
    let is_own = target.starts_with("dropin_") && target.contains("::");
    if is_own || target == "dropin_host" { "host" } else { target }
}

fn level_name(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warn => "warn",
        Level::Info => "info",
        Level::Debug => "debug",
        Level::Trace => "trace",
    }
}

/// A message with its control characters escaped, so that no client and no plugin can forge a line
/// or send sequences to the reader's terminal.
struct Escaped<'a>(&'a fmt::Arguments<'a>);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaping(out), "{}", self.0)
    }
}

struct Escaping<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl fmt::Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some(place) = rest.find(|one: char| one.is_control() && one != '\t') {
            let (clean, from) = rest.split_at(place);
            self.0.write_str(clean)?;
            let mut characters = from.chars();
            if let Some(control) = characters.next() {
                write!(self.0, "{}", control.escape_default())?;
            }
            rest = characters.as_str();
        }
        self.0.write_str(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_message_is_always_one_line() {
        let escaped = |text: &str| Escaped(&format_args!("{text}")).to_string();
        assert_eq!(escaped("plain, Grüße\tand tabs"), "plain, Grüße\tand tabs");
        assert_eq!(escaped("two\nlines\r\u{1b}[2J"), "two\\nlines\\r\\u{1b}[2J");
        assert_eq!(escaped("\n\n"), "\\n\\n");
        assert_eq!(escaped(""), "");
    }

    #[test]
    fn own_crates_log_as_host() {
        let target = |target| self::target(&Record::builder().target(target).build());
        assert_eq!(target("dropin_host"), "host");
        assert_eq!(target("dropin_plugin_engine::manager::load"), "host");
        assert_eq!(target("dropin_plugin"), "dropin_plugin", "a plugin of this name");
        assert_eq!(target("text"), "text");
    }
}
