//! Makes the state of a plugin from lines of JSON.
//!
//! Commands alone become a snapshot of commands. A snapshot in bytes stays one, and commands behind
//! it become a journal, whose records and segments have numbers above those before. The state before,
//! if it is to be replaced, is kept aside first. A crash at any moment leaves the state before, the
//! new one, or files that a host refuses, since records are missing.

use std::{
    fs,
    io::{self, BufRead},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use journal::{Found, Journal, SyncPolicy};
use platform::durable::{self, Disk, RealDisk};
use plugin_api::commands::Commands;
use serde_json::{Value, json};

use super::{
    aside::Aside,
    inspection::{Inspection, files_of},
    line::{self, Line},
    store::States,
    write::{Content, file_in},
};
use crate::{live::deadline::Deadline, write::now};

/// The length from which commands of one time are written as a piece, in bytes.
const PIECE: usize = 64 << 10;

/// Longer than any disk takes.
const UNHURRIED: Duration = Duration::from_secs(3_600);

/// The result of an import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// The number of commands.
    pub commands: u64,
    /// The length of the snapshot in bytes, if it is one that only the plugin can read.
    pub state: Option<u64>,
    /// The folder in which the files before are kept.
    pub aside: Option<PathBuf>,
}

/// The reason for which nothing was imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// There is no line.
    #[error("cannot import: the input has no line; nothing was imported, and nothing was changed")]
    NoLine,
    /// A line is wrong.
    #[error("line {0} cannot be imported: {1}; nothing was changed")]
    Line(u64, String),
    /// The plugin has a state.
    #[error("plugin {0} has a state; add --replace to keep it aside and put this one in its place")]
    HasState(String),
    /// The lines cannot be read.
    #[error("cannot read the lines: {0}; nothing was changed")]
    Input(#[source] io::Error),
    /// The disk is full or fails.
    #[error("cannot write the state in {}: {text}", folder.display())]
    Write {
        /// The folder of the states.
        folder: PathBuf,
        /// The cause.
        text: String,
    },
}

/// Makes the state of a plugin from lines, see [`mod@line`]. No host may use the folder. With
/// `replaces`, a state that is there is kept aside.
///
/// # Errors
/// There is no line, one is wrong or cannot be read, the plugin has a state that is not to be
/// replaced, or the disk is full or fails.
pub fn import(
    folder: &Path,
    plugin: &str,
    input: &mut dyn BufRead,
    replaces: bool,
) -> Result<Imported, ImportError> {
    let failed = |error: io::Error| write_error(folder, error.to_string());
    let old = files_of(folder, plugin).map_err(failed)?;
    if !old.is_empty() && !replaces {
        return Err(ImportError::HasState(plugin.to_owned()));
    }
    let mut lines = Lines { input, number: 0 };
    let first = lines.next()?.ok_or(ImportError::NoLine)?;
    // A journal before does not fit to the new snapshot, nor one behind to that before.
    let record = Inspection::of(folder, plugin).map_err(failed)?.beyond();
    let segments = journal::folder::list(folder, plugin).map_err(failed)?;
    let last = segments.last().map_or(0, |(number, _)| *number);
    let staging = file_in(folder, plugin, "import");
    durable::make_folder(&RealDisk, folder).map_err(failed)?;
    remove_folder(&staging).map_err(failed)?;
    let made = lines.make(first, &staging, plugin, (record, last)).and_then(|mut made| {
        made.aside = replace(folder, plugin, &staging, &old).map_err(failed)?;
        Ok(made)
    });
    let removed = remove_folder(&staging).map_err(failed);
    made.and_then(|made| removed.map(|()| made))
}

/// Puts the files in `staging` in place of the old ones, which are kept aside.
fn replace(
    folder: &Path,
    plugin: &str,
    staging: &Path,
    old: &[PathBuf],
) -> io::Result<Option<PathBuf>> {
    let state = file_in(folder, plugin, "state");
    let aside = if old.is_empty() { None } else { Some(Aside::make(folder, plugin, "replaced")?) };
    if let Some(aside) = &aside {
        old.iter().try_for_each(|file| aside.keep(file))?;
        aside.flush()?;
    }
    // Behind the snapshot before, records are missing in front of these.
    for (_, file) in journal::folder::list(staging, plugin)? {
        RealDisk.rename(&file, &folder.join(file.file_name().unwrap_or_default()))?;
    }
    RealDisk.flush_folder(folder)?;
    // From here on it is the new state, which needs none of the old files.
    RealDisk.rename(&file_in(staging, plugin, "state"), &state)?;
    RealDisk.flush_folder(folder)?;
    old.iter().filter(|file| **file != state).try_for_each(|file| durable::remove(file))?;
    RealDisk.flush_folder(folder)?;
    Ok(aside.map(|aside| aside.path().to_owned()))
}

/// The lines of an exported state.
struct Lines<'a> {
    input: &'a mut dyn BufRead,
    number: u64,
}

impl Lines<'_> {
    /// Returns the next line that is not empty; `None` at the end.
    fn next(&mut self) -> Result<Option<Line>, ImportError> {
        let mut text = String::new();
        loop {
            text.clear();
            if self.input.read_line(&mut text).map_err(ImportError::Input)? == 0 {
                return Ok(None);
            }
            self.number += 1;
            let text = text.trim();
            if !text.is_empty() {
                let parsed = line::parse(text).map(Some);
                return parsed.map_err(|problem| self.wrong(explain(text, &problem)));
            }
        }
    }

    fn wrong(&self, problem: impl Into<String>) -> ImportError {
        ImportError::Line(self.number, problem.into())
    }

    /// Makes a state in an empty folder from the first line and those behind it.
    /// Its first record and the last segment before have these numbers.
    fn make(
        mut self,
        first: Line,
        folder: &Path,
        plugin: &str,
        (record, last): (u64, u32),
    ) -> Result<Imported, ImportError> {
        let states = States::new(folder.to_owned());
        match first {
            Line::State(state) => {
                let deadline = Deadline { time: UNHURRIED, give_up: &|| false };
                let length = state.len() as u64;
                let kept = states.keep(plugin, (state, record), &deadline);
                kept.map_err(|text| write_error(folder, text))?;
                let commands = self.make_journal(&states, plugin, (record, last))?;
                Ok(Imported { commands, state: Some(length), aside: None })
            }
            first => {
                let commands = self.make_snapshot(&states, plugin, record, Some(first))?;
                Ok(Imported { commands, state: None, aside: None })
            }
        }
    }

    fn make_snapshot(
        &mut self,
        states: &States,
        plugin: &str,
        record: u64,
        first: Option<Line>,
    ) -> Result<u64, ImportError> {
        let (mut count, mut next, mut failed) = (0, first, None);
        let kept = states.keep_commands(plugin, &mut |content| {
            let mut piece = Piece::default();
            while let Some(line) = next.take() {
                let read = match line {
                    Line::Command(time, words) => {
                        piece.push(content, time, &words)?;
                        count += 1;
                        self.next()
                    }
                    Line::State(_) => Err(self.wrong("a state must be the first line")),
                };
                next = read.map_err(|error| {
                    failed = Some(error);
                    io::Error::other("a line is wrong")
                })?;
            }
            piece.write(content)?;
            Ok(record)
        });
        match (failed, kept) {
            (Some(error), _) => Err(error),
            (None, Err(text)) => Err(write_error(states.folder(), text)),
            (None, Ok(_)) => Ok(count),
        }
    }

    fn make_journal(
        &mut self,
        states: &States,
        plugin: &str,
        (record, last): (u64, u32),
    ) -> Result<u64, ImportError> {
        let failed = |text: String| write_error(states.folder(), text);
        let mut count = 0;
        let mut next = self.next()?;
        if next.is_none() {
            return Ok(0);
        }
        let options = states.journal_options(plugin, SyncPolicy::Never);
        let options = journal::Options { disk: Arc::new(RealDisk), ..options };
        let found = Found { next: record, last, ..Found::default() };
        let opened = Journal::open(options, &found, now());
        let journal = opened.map_err(|error| failed(error.to_string()))?;
        while let Some(line) = next {
            let Line::Command(time, words) = line else {
                return Err(self.wrong("a state must be the first line"));
            };
            let mut commands = Commands::default();
            commands.push(words.iter().map(Vec::as_slice));
            if let Some(number) = journal.append(0, time, &commands.into_bytes()) {
                count += 1;
                // So that memory does not have them all.
                if count % 1024 == 0 {
                    journal.wait(number).map_err(|problem| failed(problem.to_string()))?;
                }
            }
            next = self.next()?;
        }
        journal.flush().map_err(|problem| failed(problem.to_string()))?;
        Ok(count)
    }
}

/// Commands of one time, which become a piece of a snapshot.
#[derive(Default)]
struct Piece {
    time: u64,
    commands: Commands,
}

impl Piece {
    fn push(
        &mut self,
        content: &mut Content<'_, '_>,
        time: u64,
        words: &[Vec<u8>],
    ) -> io::Result<()> {
        if time != self.time || self.commands.len() >= PIECE {
            self.write(content)?;
        }
        self.time = time;
        self.commands.push(words.iter().map(Vec::as_slice));
        Ok(())
    }

    fn write(&mut self, content: &mut Content<'_, '_>) -> io::Result<()> {
        let commands = std::mem::take(&mut self.commands).into_bytes();
        if commands.is_empty() { Ok(()) } else { content.put_commands(self.time, &commands) }
    }
}

/// Explains in plain words why a line was not parsed. `problem` is the parser's text.
fn explain(text: &str, problem: &str) -> String {
    let line = serde_json::from_str(text).unwrap_or(Value::Null);
    let words = line.get("command").and_then(Value::as_array).into_iter().flatten();
    let words = words.enumerate().map(|(index, word)| (format!("word {}", index + 1), word));
    let mut all = words.chain(line.get("state").map(|state| ("the state".to_owned(), state)));
    let wrong = all.find(|(_, word)| line::parse(&json!({ "state": word }).to_string()).is_err());
    match wrong {
        Some((name, word)) if word.get("base64").is_some_and(Value::is_string) => {
            format!("the base64 of {name} is wrong")
        }
        Some((name, _)) => format!("{name} must be a string or {{\"base64\":\"...\"}}"),
        // The number of the line in the input is shown already.
        None => problem.replace(" at line 1 column ", " at column "),
    }
}

fn write_error(folder: &Path, text: String) -> ImportError {
    ImportError::Write { folder: folder.to_owned(), text }
}

fn remove_folder(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

#[cfg(test)]
#[path = "import_tests.rs"]
mod tests;
