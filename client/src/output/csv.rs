//! Writes a reply as comma-separated values, as RFC 4180 defines them, with LF as the line end.
//!
//! | reply | rows |
//! | --- | --- |
//! | single value | one row of one field; null is an empty field |
//! | list | one row |
//! | list of lists | one row for each list |
//! | map | a header and one row |
//! | list of maps | a header with a column for each key, and one row for each map |
//! | empty list or map | none |
//!
//! A list or map within a field is JSON.

use std::io::{self, Write};

use super::json;
use crate::{
    output::text::{Escape, write_inline},
    reply::Reply,
};

/// Writes the rows.
pub fn write_rows(out: &mut dyn Write, reply: &Reply) -> io::Result<()> {
    let mut writer = csv::WriterBuilder::new().flexible(true).from_writer(out);
    match reply {
        Reply::Map(pairs) => write_table(&mut writer, &[pairs])?,
        Reply::List(items) => {
            let maps: Option<Vec<_>> = items.iter().map(as_map).collect();
            let lists: Option<Vec<_>> = items.iter().map(as_list).collect();
            match (maps, lists) {
                (Some(maps), _) => write_table(&mut writer, &maps)?,
                (None, Some(lists)) => {
                    lists.iter().try_for_each(|row| write_record(&mut writer, row))?
                }
                (None, None) => write_record(&mut writer, items)?,
            }
        }
        value => write_record(&mut writer, std::slice::from_ref(value))?,
    }
    writer.flush()
}

type Pairs = [(Reply, Reply)];

fn as_map(reply: &Reply) -> Option<&Pairs> {
    if let Reply::Map(pairs) = reply { Some(pairs) } else { None }
}

fn as_list(reply: &Reply) -> Option<&[Reply]> {
    if let Reply::List(items) = reply { Some(items) } else { None }
}

fn write_record(writer: &mut csv::Writer<&mut dyn Write>, values: &[Reply]) -> io::Result<()> {
    if values.is_empty() {
        return Ok(());
    }
    let fields = values.iter().map(field).collect::<io::Result<Vec<_>>>()?;
    writer.write_record(fields).map_err(io_error)
}

/// Writes a table; its columns are in the order in which their keys first appear.
fn write_table<P: AsRef<Pairs>>(
    writer: &mut csv::Writer<&mut dyn Write>,
    maps: &[P],
) -> io::Result<()> {
    let mut columns: Vec<&Reply> = Vec::new();
    for (key, _) in maps.iter().flat_map(AsRef::as_ref) {
        if !columns.contains(&key) {
            columns.push(key);
        }
    }
    if columns.is_empty() {
        return Ok(());
    }
    let header = columns.iter().map(|key| field(key)).collect::<io::Result<Vec<_>>>()?;
    writer.write_record(header).map_err(io_error)?;
    for map in maps {
        let cell = |column: &&Reply| {
            let pair = map.as_ref().iter().find(|(key, _)| key == *column);
            pair.map_or(Ok(Vec::new()), |(_, value)| field(value))
        };
        let row = columns.iter().map(cell).collect::<io::Result<Vec<_>>>()?;
        writer.write_record(row).map_err(io_error)?;
    }
    Ok(())
}

/// Returns the cause of a failed write; a closed pipe must stay recognizable.
fn io_error(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}

fn field(value: &Reply) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match value {
        Reply::Null => {}
        Reply::List(_) | Reply::Map(_) => json::write_document(&mut bytes, value)?,
        value => write_inline(&mut bytes, value, Escape::Nothing, 0)?,
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &'static str) -> Reply {
        Reply::Text(text.as_bytes().into())
    }

    fn map(pairs: &[(&'static str, Reply)]) -> Reply {
        Reply::Map(pairs.iter().map(|(key, value)| (text(key), value.clone())).collect())
    }

    #[track_caller]
    fn shown(reply: &Reply, expected: &str) {
        let mut out = Vec::new();
        write_rows(&mut out, reply).unwrap();
        assert_eq!(String::from_utf8_lossy(&out), expected);
    }

    #[test]
    fn single_value_is_a_row() {
        shown(&text("plain"), "plain\n");
        shown(&text("a,b \"c\"\nd"), "\"a,b \"\"c\"\"\nd\"\n");
        shown(&text(""), "\"\"\n");
        shown(&Reply::Null, "\"\"\n");
        shown(&Reply::Integer(-7), "-7\n");
        shown(&Reply::Float(1.5), "1.5\n");
        shown(&Reply::Boolean(true), "true\n");
        shown(&Reply::Error("ERR no".into()), "error: no\n");
        let mut out = Vec::new();
        write_rows(&mut out, &Reply::Text(b"\xff\x00".as_slice().into())).unwrap();
        assert_eq!(out, b"\xff\x00\n");
    }

    #[test]
    fn lists_are_rows() {
        let flat = Reply::List(vec![text("a"), Reply::Null, text("x,y"), Reply::Integer(1)]);
        shown(&flat, "a,,\"x,y\",1\n");
        shown(&Reply::List(vec![flat.clone(), Reply::List(vec![text("z")])]), "a,,\"x,y\",1\nz\n");
        shown(&Reply::List(vec![text("a"), flat]), "a,\"[\"\"a\"\",null,\"\"x,y\"\",1]\"\n");
        shown(&Reply::List(vec![]), "");
    }

    #[test]
    fn maps_have_a_header() {
        shown(
            &map(&[("words", Reply::Integer(3)), ("bytes", Reply::Integer(9))]),
            "words,bytes\n3,9\n",
        );
        let list = Reply::List(vec![
            map(&[("name", text("clock")), ("calls", Reply::Integer(7))]),
            map(&[("name", text("a, b")), ("tags", Reply::List(vec![text("t")]))]),
        ]);
        shown(&list, "name,calls,tags\nclock,7,\n\"a, b\",,\"[\"\"t\"\"]\"\n");
        shown(&Reply::Map(vec![]), "");
        let mixed = Reply::List(vec![map(&[("a", Reply::Null)]), text("x")]);
        shown(&mixed, "\"{\"\"a\"\":null}\",x\n");
    }
}
