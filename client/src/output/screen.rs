//! The outputs of the process: replies on stdout, errors and notices on stderr.

use std::{
    fmt::Display,
    io::{self, BufWriter, IsTerminal as _, Write as _},
};

use anstyle::Style;

use crate::{
    output::{
        colour,
        format::Format,
        render,
        text::{self, Escape},
    },
    program,
    reply::Reply,
};

/// The two outputs of the process.
#[derive(Clone, Copy, Debug)]
pub struct Screen {
    stdout_is_terminal: bool,
    stderr_is_terminal: bool,
    stderr_has_colours: bool,
    format: Format,
    is_quiet: bool,
}

impl Screen {
    /// Returns the outputs; with `is_quiet` they show no notices.
    pub fn new(format: Format, is_quiet: bool) -> Self {
        let stderr_is_terminal = io::stderr().is_terminal();
        Self {
            stdout_is_terminal: io::stdout().is_terminal(),
            stderr_is_terminal,
            stderr_has_colours: colour::is_enabled(stderr_is_terminal),
            format,
            is_quiet,
        }
    }

    /// Returns the format of replies.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Returns true when stdout is a terminal.
    pub fn is_terminal(&self) -> bool {
        self.stdout_is_terminal
    }

    /// Shows a reply on stdout; an error on stderr, unless the format includes errors.
    pub fn show_reply(&self, reply: &Reply) -> io::Result<()> {
        if reply.is_error() && !self.format.has_errors() {
            self.write_stderr(colour::ERROR, |out| {
                render::write_reply(out, reply, self.stderr_is_terminal)
            });
            return Ok(());
        }
        let mut out = BufWriter::with_capacity(64 * 1024, io::stdout().lock());
        self.format.write(&mut out, reply, self.stdout_is_terminal)?;
        out.flush()
    }

    /// Replaces the current line of stdout, which is a terminal; an empty text erases it.
    pub fn replace_line(&self, line: &str) -> io::Result<()> {
        // Without wrapping, a line that is wider than the terminal is still one line.
        let text = format!("\r\x1b[?7l{line}\x1b[K\x1b[?7h");
        self.write_stdout(if line.is_empty() { b"\r\x1b[K" } else { text.as_bytes() })
    }

    /// Writes bytes to stdout that need no escaping.
    pub fn write_stdout(&self, bytes: &[u8]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(bytes)?;
        out.flush()
    }

    /// Shows the line that runs now, of several lines that were entered together.
    pub fn show_running_line(&self, line: &str) {
        let line = format!("> {line}\n");
        let escape = self.stderr_escape();
        self.write_stderr(colour::HINT, |out| text::write_escaped(out, line.as_bytes(), escape));
    }

    /// Returns a push message as text for a terminal.
    pub fn format_push(&self, values: &[Reply]) -> String {
        let mut text = Vec::new();
        // Writing to a vector cannot fail.
        let _ = render::write_push(&mut text, values, Escape::Controls);
        self.paint(&mut text, colour::NOTICE);
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Shows a push message, or an error that no command caused.
    pub fn show_push(&self, values: &[Reply]) {
        // Before a host closes a connection, such an error explains why.
        if !self.is_quiet || matches!(values, [error] if error.is_error()) {
            self.write_stderr(colour::NOTICE, |out| {
                render::write_push(out, values, self.stderr_escape())
            });
        }
    }

    /// Shows an error of a command that was not sent.
    pub fn show_error(&self, error: &dyn Display) {
        let text = error.to_string();
        if self.format.has_errors() {
            // The reader may be gone, as for any reply.
            let _ = self.show_reply(&Reply::Error(text.into()));
            return;
        }
        self.write_stderr(colour::ERROR, |out| {
            render::write_error(out, &text, self.stderr_escape())
        });
    }

    /// Shows a message of the client, unless the client is quiet.
    pub fn show_notice(&self, message: &dyn Display) {
        if !self.is_quiet {
            self.show_message(message);
        }
    }

    /// Returns a message of the client as a line for a terminal. Parts of it can be the host's.
    pub fn format_message(&self, message: &dyn Display) -> String {
        let text = text::escaped_line(message.to_string().as_bytes());
        format!("{}: {text}\n", program::own())
    }

    /// Shows a message of the client.
    pub fn show_message(&self, message: &dyn Display) {
        let line = format!("{}: {message}\n", program::own());
        let escape = self.stderr_escape();
        self.write_stderr(Style::new(), |out| text::write_escaped(out, line.as_bytes(), escape));
    }

    /// Colours a text except the end of its last line.
    fn paint(&self, text: &mut Vec<u8>, style: Style) {
        if self.stderr_has_colours && style != Style::new() {
            let end = text.trim_ascii_end().len();
            text.splice(end..end, format!("{style:#}").into_bytes());
            text.splice(..0, style.to_string().into_bytes());
        }
    }

    fn stderr_escape(&self) -> Escape {
        if self.stderr_is_terminal { Escape::Controls } else { Escape::Nothing }
    }

    /// Writes to stderr. There is no way to report a failure.
    fn write_stderr(&self, style: Style, write: impl FnOnce(&mut dyn io::Write) -> io::Result<()>) {
        let mut text = Vec::new();
        let written = write(&mut text);
        self.paint(&mut text, style);
        let _ = written.and_then(|()| io::stderr().lock().write_all(&text));
    }
}
