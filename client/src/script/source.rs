//! The source of a script's commands: standard input or a file, one command per line.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read as _},
    path::{Path, PathBuf},
};

use crossbeam_channel::{Sender, unbounded};

use crate::{
    conversation::{
        background::spawn,
        event::{Input, LocalEvent},
    },
    error::Error,
};

/// A source of commands.
pub struct CommandSource(Box<dyn BufRead + Send>);

impl CommandSource {
    /// Returns standard input.
    pub fn stdin() -> Self {
        Self(Box::new(BufReader::new(io::stdin())))
    }

    /// Opens a file; `-` is standard input.
    pub fn open(file: &Path) -> Result<Self, Error> {
        if file == Path::new("-") {
            return Ok(Self::stdin());
        }
        let opened = File::open(file).and_then(|opened| match opened.metadata()?.is_dir() {
            true => Err(io::ErrorKind::IsADirectory.into()),
            false => Ok(opened),
        });
        let unreadable = |source| {
            let file = PathBuf::from(file);
            Error::ReadFile { content: "the commands", option: "--file", file, source }
        };
        Ok(Self(Box::new(BufReader::new(opened.map_err(unreadable)?))))
    }

    /// Starts a thread that reads one line for each request.
    ///
    /// The main thread can show a notice while that thread waits for a line.
    pub fn read_lines(self, events: Sender<LocalEvent>) -> Result<Sender<()>, Error> {
        let (requests, requested) = unbounded::<()>();
        let Self(mut source) = self;
        spawn("lines", move || {
            while requested.recv().is_ok() {
                if events.send(LocalEvent::Input(read_line(&mut source))).is_err() {
                    return;
                }
            }
        })?;
        Ok(requests)
    }
}

/// Reads all of standard input.
pub fn read_stdin() -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    io::stdin().lock().read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}

/// Returns the error for commands that cannot be read.
pub fn unreadable(source: io::Error) -> Error {
    Error::Io { operation: "read the commands", source }
}

fn read_line(source: &mut dyn BufRead) -> Input {
    let mut line = Vec::new();
    match source.read_until(b'\n', &mut line) {
        Ok(0) => Input::End,
        Ok(_) => {
            let end = line.strip_suffix(b"\n").unwrap_or(&line);
            Input::Line(end.strip_suffix(b"\r").unwrap_or(end).to_vec())
        }
        Err(error) => Input::Failed(error),
    }
}
