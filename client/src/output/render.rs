//! Writes replies as text for people, and as plain bytes for pipes.

use std::io::{self, Write};

use crate::{
    output::{
        table,
        text::{Escape, write_escaped, write_inline},
    },
    reply::Reply,
};

/// Writes a reply and ends its last line.
pub fn write_reply(out: &mut dyn Write, reply: &Reply, is_terminal: bool) -> io::Result<()> {
    let escape = if is_terminal { Escape::Controls } else { Escape::Nothing };
    match reply {
        Reply::Text(text) => {
            write_escaped(out, text, escape)?;
            if text.ends_with(b"\n") { Ok(()) } else { out.write_all(b"\n") }
        }
        Reply::List(items) if is_terminal && table::is_table(items) => {
            table::write_table(out, items)
        }
        Reply::List(items) if !items.is_empty() => {
            items.iter().try_for_each(|item| write_line(out, item, escape))
        }
        Reply::Map(pairs) if !pairs.is_empty() => pairs.iter().try_for_each(|(key, value)| {
            write_inline(out, key, escape, 1)?;
            out.write_all(b": ")?;
            write_line(out, value, escape)
        }),
        other => write_line(out, other, escape),
    }
}

/// Writes an error of the client in the form of an error reply.
pub fn write_error(out: &mut dyn Write, message: &str, escape: Escape) -> io::Result<()> {
    out.write_all(b"error: ")?;
    write_escaped(out, message.as_bytes(), escape)?;
    out.write_all(b"\n")
}

/// Writes a push message in the form `notice: text`.
pub fn write_push(out: &mut dyn Write, values: &[Reply], escape: Escape) -> io::Result<()> {
    for (index, value) in values.iter().enumerate() {
        out.write_all(match index {
            0 => b"",
            1 => b": ",
            _ => b", ",
        })?;
        write_inline(out, value, escape, 1)?;
    }
    out.write_all(b"\n")
}

fn write_line(out: &mut dyn Write, value: &Reply, escape: Escape) -> io::Result<()> {
    write_inline(out, value, escape, 0)?;
    out.write_all(b"\n")
}

#[cfg(test)]
mod tests;
