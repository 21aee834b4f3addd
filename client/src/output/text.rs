//! Text of the host within a line, without the control characters that a terminal would obey.

use std::io::{self, Write};

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use crate::reply::Reply;

/// The bytes of the host that are escaped in the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escape {
    /// None, for a file or a program.
    Nothing,
    /// Control characters except line ends and tab.
    Controls,
    /// All control characters, so that a line stays one line.
    AllControls,
}

/// Writes a value within a line. Lists and maps below the first level get brackets.
pub fn write_inline(
    out: &mut dyn Write,
    value: &Reply,
    escape: Escape,
    depth: usize,
) -> io::Result<()> {
    match value {
        Reply::Text(text) => write_escaped(out, text, escape),
        Reply::Integer(number) => write!(out, "{number}"),
        Reply::Float(number) if number.is_nan() => out.write_all(b"nan"),
        Reply::Float(number) => write!(out, "{number:?}"),
        Reply::Boolean(value) => write!(out, "{value}"),
        Reply::Null => out.write_all(b"(null)"),
        Reply::Error(message) => write_error(out, message, escape),
        Reply::List(items) if items.is_empty() => out.write_all(b"(empty)"),
        Reply::Map(pairs) if pairs.is_empty() => out.write_all(b"(empty)"),
        Reply::List(items) => write_enclosed(out, [b"[", b"]"], depth, |out| {
            for (index, item) in items.iter().enumerate() {
                out.write_all(if index == 0 { b"" } else { b", " })?;
                write_inline(out, item, escape, depth + 1)?;
            }
            Ok(())
        }),
        Reply::Map(pairs) => write_enclosed(out, [b"{", b"}"], depth, |out| {
            for (index, (key, value)) in pairs.iter().enumerate() {
                out.write_all(if index == 0 { b"" } else { b", " })?;
                write_inline(out, key, escape, depth + 1)?;
                out.write_all(b": ")?;
                write_inline(out, value, escape, depth + 1)?;
            }
            Ok(())
        }),
    }
}

fn write_error(out: &mut dyn Write, message: &[u8], escape: Escape) -> io::Result<()> {
    out.write_all(b"error: ")?;
    // The kind ERR is the general one.
    write_escaped(out, message.strip_prefix(b"ERR ").unwrap_or(message), escape)
}

fn write_enclosed(
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

/// Writes bytes of the host and escapes control characters as `\xHH`.
pub fn write_escaped(out: &mut dyn Write, bytes: &[u8], escape: Escape) -> io::Result<()> {
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

/// Returns text of the host as one line, with all control characters escaped.
pub fn escaped_line(bytes: &[u8]) -> String {
    let mut shown = Vec::new();
    // Writing to a vector cannot fail.
    let _ = write_escaped(&mut shown, bytes, Escape::AllControls);
    String::from_utf8_lossy(&shown).into_owned()
}

/// Returns the start of a text that is at most this many columns wide.
pub fn truncate(text: &str, width: usize) -> &str {
    if text.width() <= width {
        return text;
    }
    let mut used = 0;
    for (index, character) in text.char_indices() {
        used += character.width().unwrap_or_default();
        if used > width {
            return &text[..index];
        }
    }
    text
}
