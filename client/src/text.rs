//! A value within a line, and which of the server's bytes may reach the output.

use crate::reply::Reply;
use std::io::{self, Write};

/// What may reach the output as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escape {
    /// Everything: a file or a program reads it.
    Nothing,
    /// All but control characters, which a terminal would obey; line ends and tab stay.
    Controls,
    /// All but control characters, newline and tab among them: one line stays one line.
    AllControls,
}

/// Writes a value within a line. A list within a list within a line needs brackets to be told
/// apart.
pub fn inline(out: &mut dyn Write, value: &Reply, escape: Escape, depth: usize) -> io::Result<()> {
    match value {
        Reply::Text(text) => clean(out, text, escape),
        Reply::Integer(number) => write!(out, "{number}"),
        Reply::Float(number) if number.is_nan() => out.write_all(b"nan"),
        Reply::Float(number) => write!(out, "{number:?}"),
        Reply::Boolean(value) => write!(out, "{value}"),
        Reply::Null => out.write_all(b"(null)"),
        Reply::Error(message) => error_text(out, message, escape),
        Reply::List(items) if items.is_empty() => out.write_all(b"(empty)"),
        Reply::Map(pairs) if pairs.is_empty() => out.write_all(b"(empty)"),
        Reply::List(items) => enclosed(out, [b"[", b"]"], depth, |out| {
            for (index, item) in items.iter().enumerate() {
                out.write_all(if index == 0 { b"" } else { b", " })?;
                inline(out, item, escape, depth + 1)?;
            }
            Ok(())
        }),
        Reply::Map(pairs) => enclosed(out, [b"{", b"}"], depth, |out| {
            for (index, (key, value)) in pairs.iter().enumerate() {
                out.write_all(if index == 0 { b"" } else { b", " })?;
                inline(out, key, escape, depth + 1)?;
                out.write_all(b": ")?;
                inline(out, value, escape, depth + 1)?;
            }
            Ok(())
        }),
    }
}

fn error_text(out: &mut dyn Write, message: &[u8], escape: Escape) -> io::Result<()> {
    out.write_all(b"error: ")?;
    // ERR is the kind that says nothing.
    clean(out, message.strip_prefix(b"ERR ").unwrap_or(message), escape)
}

fn enclosed(
    out: &mut dyn Write,
    [opening, closing]: [&[u8]; 2],
    depth: usize,
    content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    if depth == 0 {
        return content(out);
    }
    out.write_all(opening)?;
    content(out)?;
    out.write_all(closing)
}

/// Writes bytes of the server, those that a terminal would obey as `\xHH`.
pub fn clean(out: &mut dyn Write, bytes: &[u8], escape: Escape) -> io::Result<()> {
    if escape == Escape::Nothing {
        return out.write_all(bytes);
    }
    for chunk in bytes.utf8_chunks() {
        let text = chunk.valid();
        let mut written = 0;
        for (index, character) in text.char_indices().filter(|(_, c)| c.is_control()) {
            let is_line_end = character == '\n' || text[index..].starts_with("\r\n");
            if escape == Escape::Controls && (is_line_end || character == '\t') {
                continue;
            }
            out.write_all(&text.as_bytes()[written..index])?;
            match character {
                '\n' => out.write_all(b"\\n")?,
                '\r' => out.write_all(b"\\r")?,
                '\t' => out.write_all(b"\\t")?,
                other => write!(out, "\\x{:02x}", u32::from(other))?,
            }
            written = index + character.len_utf8();
        }
        out.write_all(&text.as_bytes()[written..])?;
        for byte in chunk.invalid() {
            write!(out, "\\x{byte:02x}")?;
        }
    }
    Ok(())
}
