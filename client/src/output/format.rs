//! The output format of replies.

use std::io::{self, Write};

use crate::{
    output::{
        csv, json, render,
        text::{Escape, write_escaped},
    },
    reply::Reply,
};

/// An output format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Text for people at a terminal, plain bytes elsewhere.
    Text,
    /// Plain bytes everywhere.
    Raw,
    /// One JSON document a line.
    Json,
    /// Rows of comma-separated values.
    Csv,
}

impl Format {
    /// Returns true when errors are written like replies, so that each command has one.
    pub fn has_errors(self) -> bool {
        self == Self::Json
    }

    /// Writes a reply and ends its last line.
    pub fn write(self, out: &mut dyn Write, reply: &Reply, is_terminal: bool) -> io::Result<()> {
        match self {
            Self::Text => render::write_reply(out, reply, is_terminal),
            Self::Raw => render::write_reply(out, reply, false),
            // JSON strings have no control characters.
            Self::Json => json::write_line(out, reply),
            Self::Csv if is_terminal => {
                let mut rows = Vec::new();
                csv::write_rows(&mut rows, reply)?;
                write_escaped(out, &rows, Escape::Controls)
            }
            Self::Csv => csv::write_rows(out, reply),
        }
    }
}
