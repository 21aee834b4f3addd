//! Tables for lists of maps, with a column for each key.

use std::io::{self, Write};

use unicode_width::UnicodeWidthStr as _;

use crate::{
    output::text::{Escape, write_inline},
    reply::Reply,
};

/// The number of blanks between two columns.
const GAP: usize = 2;

/// Returns true for a list of maps.
pub fn is_table(items: &[Reply]) -> bool {
    let is_map = |item: &Reply| matches!(item, Reply::Map(pairs) if !pairs.is_empty());
    !items.is_empty() && items.iter().all(is_map)
}

/// Writes a table; its columns are in the order in which their keys first appear.
pub fn write_table(out: &mut dyn Write, items: &[Reply]) -> io::Result<()> {
    let mut columns: Vec<String> = Vec::new();
    let mut rows: Vec<Vec<String>> = Vec::new();
    for item in items {
        let Reply::Map(pairs) = item else { continue };
        let mut row = vec![String::new(); columns.len()];
        for (key, value) in pairs {
            let key = cell(key)?;
            let column = columns.iter().position(|column| *column == key);
            let column = column.unwrap_or_else(|| {
                columns.push(key);
                row.push(String::new());
                columns.len() - 1
            });
            row[column] = cell(value)?;
        }
        rows.push(row);
    }
    let lines: Vec<&Vec<String>> = std::iter::once(&columns).chain(&rows).collect();
    let mut widths = vec![0; columns.len()];
    for (cell, column) in lines.iter().flat_map(|line| line.iter().zip(0..)) {
        widths[column] = widths[column].max(cell.width());
    }
    for line in lines {
        let mut text = String::new();
        for (cell, width) in line.iter().zip(&widths) {
            text.push_str(cell);
            text.extend(std::iter::repeat_n(' ', width + GAP - cell.width()));
        }
        writeln!(out, "{}", text.trim_end())?;
    }
    Ok(())
}

fn cell(value: &Reply) -> io::Result<String> {
    let mut bytes = Vec::new();
    write_inline(&mut bytes, value, Escape::AllControls, 0)?;
    // Escaped text is UTF-8.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
