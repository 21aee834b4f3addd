//! Writes a reply as a JSON document.
//!
//! | reply | JSON |
//! | --- | --- |
//! | text | a string; for bytes that are not UTF-8, `{"base64":".."}` with the bytes in base 64 |
//! | integer, boolean, null | a number, with all its digits; `true`, `false`; `null` |
//! | float | a number; for values without a JSON form the strings `"nan"`, `"inf"`, `"-inf"` |
//! | list, map | an array; an object in the host's order; a key that is not text becomes its JSON |
//! | error | `{"error":{"kind":"ERR","message":".."}}` |

use std::io::{self, Write};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::ser::{CompactFormatter, Formatter};

use crate::reply::Reply;

/// Writes the document and ends its line.
pub fn write_line(out: &mut dyn Write, reply: &Reply) -> io::Result<()> {
    write_document(&mut *out, reply)?;
    out.write_all(b"\n")
}

/// Writes the document.
pub fn write_document(out: &mut dyn Write, reply: &Reply) -> io::Result<()> {
    let mut serializer = serde_json::Serializer::with_formatter(out, Printable);
    Ok(Json(reply).serialize(&mut serializer)?)
}

/// Splits an error into kind and message; an error without a kind gets `ERR`.
fn split_error(error: &[u8]) -> ErrorFields {
    let text = String::from_utf8_lossy(error);
    let is_kind = |word: &str| {
        word.len() > 1
            && word.starts_with(|first: char| first.is_ascii_uppercase())
            && word.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
    };
    match text.split_once(' ').filter(|(kind, _)| is_kind(kind)) {
        Some((kind, message)) => ErrorFields { kind: kind.to_owned(), message: message.to_owned() },
        None if is_kind(&text) => ErrorFields { kind: text.into_owned(), message: String::new() },
        None => ErrorFields { kind: "ERR".to_owned(), message: text.into_owned() },
    }
}

struct Json<'a>(&'a Reply);

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Reply::Text(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => serializer.serialize_str(text),
                Err(_) => serialize_single(serializer, "base64", &STANDARD.encode(bytes)),
            },
            Reply::Integer(number) => serializer.serialize_i64(*number),
            Reply::Float(number) if number.is_finite() => serializer.serialize_f64(*number),
            Reply::Float(number) if number.is_nan() => serializer.serialize_str("nan"),
            Reply::Float(number) => serializer.collect_str(number),
            Reply::Boolean(value) => serializer.serialize_bool(*value),
            Reply::Null => serializer.serialize_unit(),
            Reply::List(items) => serializer.collect_seq(items.iter().map(Json)),
            Reply::Map(pairs) => {
                let mut map = serializer.serialize_map(Some(pairs.len()))?;
                for (key, value) in pairs {
                    map.serialize_entry(&key_as_text(key), &Json(value))?;
                }
                map.end()
            }
            Reply::Error(message) => serialize_single(serializer, "error", &split_error(message)),
        }
    }
}

#[derive(serde::Serialize)]
struct ErrorFields {
    kind: String,
    message: String,
}

fn serialize_single<S: Serializer>(
    serializer: S,
    key: &str,
    value: &impl Serialize,
) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(1))?;
    map.serialize_entry(key, value)?;
    map.end()
}

fn key_as_text(key: &Reply) -> String {
    if let Reply::Text(bytes) = key
        && let Ok(text) = std::str::from_utf8(bytes)
    {
        return text.to_owned();
    }
    let mut text = Vec::new();
    // Writing to a vector cannot fail.
    let _ = write_document(&mut text, key);
    String::from_utf8_lossy(&text).into_owned()
}

/// The JSON format, with all control characters escaped for terminals.
struct Printable;

impl Formatter for Printable {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        out: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut written = 0;
        for (index, character) in fragment.char_indices().filter(|(_, c)| c.is_control()) {
            CompactFormatter.write_string_fragment(out, &fragment[written..index])?;
            write!(out, "\\u{:04x}", u32::from(character))?;
            written = index + character.len_utf8();
        }
        CompactFormatter.write_string_fragment(out, &fragment[written..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(reply: &Reply) -> String {
        let mut out = Vec::new();
        write_line(&mut out, reply).unwrap();
        let text = String::from_utf8(out).unwrap();
        let document = text.strip_suffix('\n').unwrap().to_owned();
        assert!(!document.contains(char::is_control), "{document}");
        serde_json::from_str::<serde_json::Value>(&document).unwrap();
        document
    }

    fn text(text: &'static str) -> Reply {
        Reply::Text(text.as_bytes().into())
    }

    #[test]
    fn every_kind_of_reply_has_a_document() {
        for (reply, expected) in [
            (text("hi \"there\"\\\n"), r#""hi \"there\"\\\n""#),
            (text(""), r#""""#),
            (text("é \u{1b}[2J\u{7f}\u{9b}1m"), r#""é \u001b[2J\u007f\u009b1m""#),
            (Reply::Text(b"\xff\x00".as_slice().into()), r#"{"base64":"/wA="}"#),
            (Reply::Integer(i64::MAX), "9223372036854775807"),
            (Reply::Integer(i64::MIN), "-9223372036854775808"),
            (Reply::Float(2.0), "2.0"),
            (Reply::Float(0.1), "0.1"),
            (Reply::Float(f64::NAN), r#""nan""#),
            (Reply::Float(f64::INFINITY), r#""inf""#),
            (Reply::Float(f64::NEG_INFINITY), r#""-inf""#),
            (Reply::Boolean(true), "true"),
            (Reply::Null, "null"),
            (Reply::List(vec![]), "[]"),
            (Reply::Map(vec![]), "{}"),
            (Reply::List(vec![Reply::Integer(1), Reply::List(vec![Reply::Null])]), "[1,[null]]"),
            (
                Reply::Map(vec![
                    (text("b"), Reply::Integer(1)),
                    (text("a"), Reply::Map(vec![(Reply::Integer(7), Reply::Boolean(false))])),
                    (Reply::Text(b"\xff".as_slice().into()), Reply::Null),
                    (Reply::List(vec![text("x")]), Reply::Null),
                ]),
                r#"{"b":1,"a":{"7":false},"{\"base64\":\"/w==\"}":null,"[\"x\"]":null}"#,
            ),
            (
                Reply::Error("ERR no such key".into()),
                r#"{"error":{"kind":"ERR","message":"no such key"}}"#,
            ),
        ] {
            assert_eq!(shown(&reply), expected, "{reply:?}");
        }
    }

    #[test]
    fn errors_have_a_kind_and_a_message() {
        for (error, kind, message) in [
            (&b"NOPERM this key"[..], "NOPERM", "this key"),
            (b"ERR x", "ERR", "x"),
            (b"BUSY", "BUSY", ""),
            (b"no kind at all", "ERR", "no kind at all"),
            (b"ERR \xff", "ERR", "\u{fffd}"),
            (b"", "ERR", ""),
        ] {
            let fields = split_error(error);
            assert_eq!((fields.kind.as_str(), fields.message.as_str()), (kind, message));
        }
    }
}
