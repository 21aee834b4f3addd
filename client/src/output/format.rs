//! A reply in the form that its reader wants.

use std::io::{self, Write};

use crate::{
    cli::args::Output,
    output::{
        csv, json, render,
        text::{Escape, clean},
    },
    reply::Reply,
};

/// The form of replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people at a terminal, plain bytes elsewhere.
    Text,
    /// Plain bytes everywhere.
    Raw,
    /// One JSON document a line.
    Json,
    /// Rows of comma-separated values.
    Csv,
}

impl Format {
    /// The form that the options ask for.
    pub fn of(options: &Output) -> Self {
        match options {
            Output { json: true, .. } => Self::Json,
            Output { csv: true, .. } => Self::Csv,
            Output { raw: true, .. } => Self::Raw,
            Output { .. } => Self::Text,
        }
    }

    /// Whether errors belong among the replies, so that each command has its line.
    pub fn has_errors(self) -> bool {
        self == Self::Json
    }

    /// Writes a reply and ends its last line.
    pub fn write(self, out: &mut dyn Write, reply: &Reply, terminal: bool) -> io::Result<()> {
        match self {
            Self::Text => render::reply(out, reply, terminal),
            Self::Raw => render::reply(out, reply, false),
            // Its strings have no control characters.
            Self::Json => json::line(out, reply),
            Self::Csv if terminal => {
                let mut rows = Vec::new();
                csv::rows(&mut rows, reply)?;
                clean(out, &rows, Escape::Controls)
            }
            Self::Csv => csv::rows(out, reply),
        }
    }
}
