//! Where output goes: replies to stdout, errors and notices to stderr, each as its reader needs it.

use crate::render;
use crate::reply::Reply;
use crate::text::{self, Escape};
use std::fmt::Display;
use std::io::{self, BufWriter, IsTerminal as _, Write as _};

/// The two outputs of the process.
#[derive(Clone, Copy, Debug)]
pub struct Screen {
    out_is_terminal: bool,
    err_is_terminal: bool,
}

impl Screen {
    /// Looks at what stdout and stderr are connected to.
    pub fn new() -> Self {
        Self {
            out_is_terminal: io::stdout().is_terminal(),
            err_is_terminal: io::stderr().is_terminal(),
        }
    }

    /// Whether a person reads the replies.
    pub fn is_terminal(&self) -> bool {
        self.out_is_terminal
    }

    /// Shows a reply: an error on stderr, all else on stdout.
    pub fn reply(&self, reply: &Reply) -> io::Result<()> {
        if reply.is_error() {
            self.on_stderr(|out| render::reply(out, reply, self.err_is_terminal));
            return Ok(());
        }
        let mut out = BufWriter::with_capacity(64 * 1024, io::stdout().lock());
        render::reply(&mut out, reply, self.out_is_terminal)?;
        out.flush()
    }

    /// Shows what the server says unasked.
    pub fn push(&self, values: &[Reply]) {
        self.on_stderr(|out| render::push(out, values, self.stderr_escape()));
    }

    /// Shows an error of the kind that a reply can be, found before anything was sent.
    pub fn error(&self, error: &dyn Display) {
        let text = error.to_string();
        self.on_stderr(|out| render::error(out, &text, self.stderr_escape()));
    }

    /// Shows what the client itself has to say.
    pub fn say(&self, message: &dyn Display) {
        let line = format!("client: {message}\n");
        self.on_stderr(|out| text::clean(out, line.as_bytes(), self.stderr_escape()));
    }

    fn stderr_escape(&self) -> Escape {
        if self.err_is_terminal { Escape::Controls } else { Escape::Nothing }
    }

    /// A stderr that takes nothing leaves nowhere to complain, and is no reason to stop.
    fn on_stderr(&self, write: impl FnOnce(&mut dyn io::Write) -> io::Result<()>) {
        let mut text = Vec::new();
        let _ = write(&mut text).and_then(|()| io::stderr().lock().write_all(&text));
    }
}
