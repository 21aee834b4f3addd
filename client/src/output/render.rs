//! A reply as text for people, and as plain bytes for pipes.

use std::io::{self, Write};

use crate::{
    output::{
        table,
        text::{Escape, clean, inline},
    },
    reply::Reply,
};

/// Writes a reply and ends its last line.
pub fn reply(out: &mut dyn Write, reply: &Reply, terminal: bool) -> io::Result<()> {
    let escape = if terminal { Escape::Controls } else { Escape::Nothing };
    match reply {
        Reply::Text(text) => {
            clean(out, text, escape)?;
            if text.ends_with(b"\n") { Ok(()) } else { out.write_all(b"\n") }
        }
        Reply::List(items) if terminal && table::fits(items) => table::write(out, items),
        Reply::List(items) if !items.is_empty() => {
            items.iter().try_for_each(|item| line(out, item, escape))
        }
        Reply::Map(pairs) if !pairs.is_empty() => pairs.iter().try_for_each(|(key, value)| {
            inline(out, key, escape, 1)?;
            out.write_all(b": ")?;
            line(out, value, escape)
        }),
        other => line(out, other, escape),
    }
}

/// Writes an error that the client found itself as one that the server replies.
pub fn error(out: &mut dyn Write, message: &str, escape: Escape) -> io::Result<()> {
    out.write_all(b"error: ")?;
    clean(out, message.as_bytes(), escape)?;
    out.write_all(b"\n")
}

/// Writes what the server says unasked: `notice: text`.
pub fn push(out: &mut dyn Write, values: &[Reply], escape: Escape) -> io::Result<()> {
    for (index, value) in values.iter().enumerate() {
        out.write_all(match index {
            0 => b"",
            1 => b": ",
            _ => b", ",
        })?;
        inline(out, value, escape, 1)?;
    }
    out.write_all(b"\n")
}

fn line(out: &mut dyn Write, value: &Reply, escape: Escape) -> io::Result<()> {
    inline(out, value, escape, 0)?;
    out.write_all(b"\n")
}

#[cfg(test)]
mod tests;
