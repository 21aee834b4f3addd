//! Writes the state of a plugin as lines of JSON: its snapshot, and then its journal.

use std::{
    io::{self, Write},
    path::Path,
};

use super::{line, store::States, write::file_in};

/// Writes the state of a plugin as lines, see [`mod@line`]. Its files must have been
/// [inspected](super::inspection::Inspection): damage is found when a part is written.
///
/// # Errors
/// A file cannot be read or is damaged, or the lines cannot be written.
pub fn export(folder: &Path, plugin: &str, out: &mut dyn Write) -> io::Result<()> {
    let (file, before) = (file_in(folder, plugin, "state"), file_in(folder, plugin, "state.1"));
    let mut failed = None;
    let mut take = |time: u64, commands: &[u8]| {
        let written = line::write_commands(out, time, commands);
        written.map_err(|error| {
            let text = error.to_string();
            failed = Some(error);
            text
        })
    };
    let saved = States::read(&file, before.exists(), &mut take);
    if let Some(error) = failed {
        return Err(error);
    }
    let invalid = |text: String| io::Error::new(io::ErrorKind::InvalidData, text);
    let saved = saved.map_err(|problem| invalid(format!("{} {problem}", file.display())))?;
    if let Some(state) = saved.as_ref().and_then(|saved| saved.bytes.as_ref()) {
        line::write_state(out, state)?;
    }
    let from = saved.map_or(0, |saved| saved.record);
    let read = journal::read(folder, plugin, from, &mut |record| {
        line::write_commands(out, record.time, record.commands)
    });
    match read {
        Ok(_) => out.flush(),
        Err(journal::ReadError::Refused { error, .. }) => Err(error),
        Err(error) => Err(invalid(error.to_string())),
    }
}
