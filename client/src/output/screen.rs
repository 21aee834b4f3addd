//! Where output goes: replies to stdout, errors and notices to stderr, each as its reader needs it.

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
    out_is_terminal: bool,
    err_is_terminal: bool,
    /// Whether stderr may be coloured.
    colours: bool,
    format: Format,
    quiet: bool,
}

impl Screen {
    /// Looks at what stdout and stderr are connected to. A `quiet` one shows no notices.
    pub fn new(format: Format, quiet: bool) -> Self {
        let err_is_terminal = io::stderr().is_terminal();
        Self {
            out_is_terminal: io::stdout().is_terminal(),
            err_is_terminal,
            colours: colour::wanted(err_is_terminal),
            format,
            quiet,
        }
    }

    /// The form of replies.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Whether a person reads the replies.
    pub fn is_terminal(&self) -> bool {
        self.out_is_terminal
    }

    /// Shows a reply on stdout; an error on stderr, unless the format has a place for it.
    pub fn reply(&self, reply: &Reply) -> io::Result<()> {
        if reply.is_error() && !self.format.has_errors() {
            self.on_stderr(colour::BAD, |out| render::reply(out, reply, self.err_is_terminal));
            return Ok(());
        }
        let mut out = BufWriter::with_capacity(64 * 1024, io::stdout().lock());
        self.format.write(&mut out, reply, self.out_is_terminal)?;
        out.flush()
    }

    /// Shows a line of the client's own on stdout, a terminal, in place of the one before.
    pub fn overwrite(&self, line: &str) -> io::Result<()> {
        // Without wrapping, a line that is too long for the terminal is still one line.
        let text = format!("\r\x1b[?7l{line}\x1b[K\x1b[?7h");
        let mut out = io::stdout().lock();
        out.write_all(if line.is_empty() { b"\r\x1b[K" } else { text.as_bytes() })?;
        out.flush()
    }

    /// Shows bytes that the client itself made, on stdout.
    pub fn document(&self, bytes: &[u8]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(bytes)?;
        out.flush()
    }

    /// Shows text that is fit for it.
    pub fn text(&self, text: &[u8]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(text)?;
        out.flush()
    }

    /// Shows which of several lines runs now.
    pub fn echo(&self, line: &str) {
        let line = format!("> {line}\n");
        let escape = self.stderr_escape();
        self.on_stderr(colour::HINT, |out| text::clean(out, line.as_bytes(), escape));
    }

    /// What the server says unasked, as a terminal may have it.
    pub fn push_text(&self, values: &[Reply]) -> String {
        let mut text = Vec::new();
        // Writing to a vector cannot fail.
        let _ = render::push(&mut text, values, Escape::Controls);
        self.paint(&mut text, colour::NOTICE);
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Shows what the server says unasked.
    pub fn push(&self, values: &[Reply]) {
        // Before it hangs up, a server may say why in an error that answers nothing.
        if !self.quiet || matches!(values, [error] if error.is_error()) {
            self.on_stderr(colour::NOTICE, |out| render::push(out, values, self.stderr_escape()));
        }
    }

    /// Shows an error of the kind that a reply can be, found before anything was sent.
    pub fn error(&self, error: &dyn Display) {
        let text = error.to_string();
        if self.format.has_errors() {
            // Where nobody reads the replies, nobody misses this one.
            let _ = self.reply(&Reply::Error(text.into()));
            return;
        }
        self.on_stderr(colour::BAD, |out| render::error(out, &text, self.stderr_escape()));
    }

    /// Shows what the client itself has to say, unless it is to be quiet.
    pub fn notice(&self, message: &dyn Display) {
        if !self.quiet {
            self.say(message);
        }
    }

    /// What the client itself has to say, as a line that a terminal may have: parts of it can be the
    /// server's.
    pub fn say_text(&self, message: &dyn Display) -> String {
        let mut text = format!("{}: ", program::own()).into_bytes();
        // Writing to a vector cannot fail.
        let _ = text::clean(&mut text, message.to_string().as_bytes(), Escape::AllControls);
        text.push(b'\n');
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Shows what the client itself has to say.
    pub fn say(&self, message: &dyn Display) {
        let line = format!("{}: {message}\n", program::own());
        let escape = self.stderr_escape();
        self.on_stderr(Style::new(), |out| text::clean(out, line.as_bytes(), escape));
    }

    /// Colours a text but for the end of its last line.
    fn paint(&self, text: &mut Vec<u8>, style: Style) {
        if self.colours && style != Style::new() {
            let end = text.trim_ascii_end().len();
            text.splice(end..end, format!("{style:#}").into_bytes());
            text.splice(..0, style.to_string().into_bytes());
        }
    }

    fn stderr_escape(&self) -> Escape {
        if self.err_is_terminal { Escape::Controls } else { Escape::Nothing }
    }

    /// A stderr that takes nothing leaves nowhere to complain, and is no reason to stop.
    fn on_stderr(&self, style: Style, write: impl FnOnce(&mut dyn io::Write) -> io::Result<()>) {
        let mut text = Vec::new();
        let written = write(&mut text);
        self.paint(&mut text, style);
        let _ = written.and_then(|()| io::stderr().lock().write_all(&text));
    }
}
