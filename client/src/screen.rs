//! Where output goes: replies to stdout, errors and notices to stderr, each as its reader needs it.

use crate::colour;
use crate::render;
use crate::reply::Reply;
use crate::text::{self, Escape};
use anstyle::Style;
use std::fmt::Display;
use std::io::{self, BufWriter, IsTerminal as _, Write as _};

/// The two outputs of the process.
#[derive(Clone, Copy, Debug)]
pub struct Screen {
    out_is_terminal: bool,
    err_is_terminal: bool,
    /// Whether stderr may be coloured.
    colours: bool,
}

impl Screen {
    /// Looks at what stdout and stderr are connected to.
    pub fn new() -> Self {
        let err_is_terminal = io::stderr().is_terminal();
        Self {
            out_is_terminal: io::stdout().is_terminal(),
            err_is_terminal,
            colours: colour::wanted(err_is_terminal),
        }
    }

    /// Whether a person reads the replies.
    pub fn is_terminal(&self) -> bool {
        self.out_is_terminal
    }

    /// Shows a reply: an error on stderr, all else on stdout.
    pub fn reply(&self, reply: &Reply) -> io::Result<()> {
        if reply.is_error() {
            self.on_stderr(colour::BAD, |out| render::reply(out, reply, self.err_is_terminal));
            return Ok(());
        }
        let mut out = BufWriter::with_capacity(64 * 1024, io::stdout().lock());
        render::reply(&mut out, reply, self.out_is_terminal)?;
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
        self.on_stderr(colour::NOTICE, |out| render::push(out, values, self.stderr_escape()));
    }

    /// Shows an error of the kind that a reply can be, found before anything was sent.
    pub fn error(&self, error: &dyn Display) {
        let text = error.to_string();
        self.on_stderr(colour::BAD, |out| render::error(out, &text, self.stderr_escape()));
    }

    /// Shows what the client itself has to say.
    pub fn say(&self, message: &dyn Display) {
        let line = format!("client: {message}\n");
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
