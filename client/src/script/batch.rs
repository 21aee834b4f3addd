//! Commands without a prompt: one from the command line, once or more often, or a line each from a
//! pipe or file.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read as _},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use crossbeam_channel::{Sender, unbounded};

use crate::{
    conversation::{
        event::{Event, Input},
        quoting,
        session::Session,
    },
    error::Error,
    output::screen::Screen,
    units::Repeat,
};

/// How long a host that was told to stop may need to say that it does.
const NOTICE_WAIT: Duration = Duration::from_secs(5);
/// How long a line that is already in the pipe may need to get here.
const LINE_WAIT: Duration = Duration::from_millis(100);

/// The last exchange, as far as the exit code depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Worked,
    Failed,
    /// Nobody reads the replies any more, of which this was one to a failed command or not.
    Unread {
        failed: bool,
    },
}

/// How often, and how long between two times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    pub repeat: Repeat,
    pub interval: Duration,
}

/// Runs one command, as often as asked for; the result is the exit code.
pub fn one(
    mut session: Session,
    screen: Screen,
    command: &[Vec<u8>],
    pace: Pace,
) -> Result<u8, Error> {
    if is_end(command) {
        screen.notice(&format_args!(
            "connected to {} and left at once, which is all that '{}' does; leave it out to be \
             asked for commands",
            session.name(),
            command.first().map(|name| String::from_utf8_lossy(name)).unwrap_or_default()
        ));
        session.close();
        return Ok(0);
    }
    let mut failed = false;
    let mut left = Some(pace.repeat);
    while let Some(repeat) = left {
        match exchange(&mut session, screen, command)? {
            Outcome::Worked => await_stop(&mut session, screen, command)?,
            Outcome::Failed => failed = true,
            Outcome::Unread { failed: this } => {
                failed |= this;
                break;
            }
        }
        left = repeat.next();
        if left.is_some() {
            session
                .pause(pace.interval, &mut |values| screen.push(values))
                .map_err(|end| unfinished(end, command))?;
        }
    }
    Ok(u8::from(failed))
}

/// All of standard input, byte for byte.
pub fn last_argument() -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    io::stdin().lock().read_to_end(&mut bytes).map_err(unread)?;
    Ok(bytes)
}

/// Where commands come from, a line each.
pub struct Source(Box<dyn BufRead + Send>);

impl Source {
    /// Standard input.
    pub fn stdin() -> Self {
        Self(Box::new(BufReader::new(io::stdin())))
    }

    /// A file; `-` is standard input.
    pub fn file(file: &Path) -> Result<Self, Error> {
        if file == Path::new("-") {
            return Ok(Self::stdin());
        }
        let opened = File::open(file).and_then(|opened| match opened.metadata()?.is_dir() {
            true => Err(io::ErrorKind::IsADirectory.into()),
            false => Ok(opened),
        });
        let unreadable = |source| {
            let file = PathBuf::from(file);
            Error::ReadFile { what: "the commands", option: "--file", file, source }
        };
        Ok(Self(Box::new(BufReader::new(opened.map_err(unreadable)?))))
    }
}

/// Runs the commands of the source, in order; the result is the exit code.
pub fn lines(mut session: Session, screen: Screen, source: Source) -> Result<u8, Error> {
    let requests = read_lines(source, session.sender())?;
    let mut failed = false;
    let mut number = 0_usize;
    let mut last = Vec::new();
    loop {
        // The thread ends after it told why, which is still on its way.
        let _ = requests.send(());
        number += 1;
        let line = match session.input(&mut |values| screen.push(values)) {
            Ok(Input::Line(line)) => line,
            Ok(Input::End | Input::Forget) => break,
            Ok(Input::Failed(source)) => return Err(unread(source)),
            Err(Error::Ended { name, notice, .. }) => match session.input_within(LINE_WAIT) {
                Some(Input::Line(line)) => {
                    let unanswered = Some(String::from_utf8_lossy(first_word(&line)).into_owned());
                    return Err(Error::Ended { name, notice, unanswered });
                }
                _ => return Ok(u8::from(failed)),
            },
            Err(other) => return Err(other),
        };
        if line.trim_ascii_start().starts_with(b"#") {
            continue;
        }
        let command = match quoting::split(&line) {
            Ok(command) if command.is_empty() => continue,
            Ok(command) => command,
            Err(bad) => {
                screen.error(&format_args!("line {number}: {bad}"));
                failed = true;
                continue;
            }
        };
        if is_end(&command) {
            session.close();
            return Ok(u8::from(failed));
        }
        match exchange(&mut session, screen, &command)? {
            Outcome::Worked => last = command,
            Outcome::Failed => {
                failed = true;
                last.clear();
            }
            Outcome::Unread { failed: this } => return Ok(u8::from(failed || this)),
        }
    }
    await_stop(&mut session, screen, &last)?;
    Ok(u8::from(failed))
}

/// Whether a line ends the session rather than being the host's to answer.
pub fn is_end(command: &[Vec<u8>]) -> bool {
    let [name] = command else { return false };
    ["close", "quit", "exit"].iter().any(|end| name.eq_ignore_ascii_case(end.as_bytes()))
}

/// An orderly end between two repetitions leaves some of them undone all the same.
fn unfinished(end: Error, command: &[Vec<u8>]) -> Error {
    match end {
        Error::Ended { name, notice, unanswered: None } => {
            let command = command.first().map(|name| String::from_utf8_lossy(name).into_owned());
            Error::Ended { name, notice, unanswered: command }
        }
        other => other,
    }
}

fn unread(source: io::Error) -> Error {
    Error::Local { doing: "read the commands", source }
}

fn first_word(line: &[u8]) -> &[u8] {
    line.trim_ascii().split(u8::is_ascii_whitespace).next().unwrap_or_default()
}

fn exchange(session: &mut Session, screen: Screen, command: &[Vec<u8>]) -> Result<Outcome, Error> {
    let reply = session.ask(command, &mut |values| screen.push(values))?;
    match screen.reply(&reply) {
        Ok(()) if reply.is_error() => Ok(Outcome::Failed),
        Ok(()) => Ok(Outcome::Worked),
        // As in `client s keys | head -1`: that is no failure.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            Ok(Outcome::Unread { failed: reply.is_error() })
        }
        Err(source) => Err(Error::Local { doing: "write to stdout", source }),
    }
}

/// After `ks`, the host still has something to say: that it stops, to everyone.
fn await_stop(session: &mut Session, screen: Screen, command: &[Vec<u8>]) -> Result<(), Error> {
    let stops = command.first().is_some_and(|name| name.eq_ignore_ascii_case(b"ks"));
    if !stops || session.has_notice() {
        return Ok(());
    }
    session.await_notice(NOTICE_WAIT, &mut |values| screen.push(values))
}

/// Starts the thread that reads one line for each request, so that a notice is shown while it
/// waits.
fn read_lines(source: Source, events: Sender<Event>) -> Result<Sender<()>, Error> {
    let (requests, requested) = unbounded::<()>();
    let work = move || {
        let Source(mut source) = source;
        while requested.recv().is_ok() {
            let mut line = Vec::new();
            let input = match source.read_until(b'\n', &mut line) {
                Ok(0) => Input::End,
                Ok(_) => {
                    let end = line.strip_suffix(b"\n").unwrap_or(&line);
                    Input::Line(end.strip_suffix(b"\r").unwrap_or(end).to_vec())
                }
                Err(error) => Input::Failed(error),
            };
            if events.send(Event::Input(input)).is_err() {
                return;
            }
        }
    };
    thread::Builder::new()
        .name("lines".to_owned())
        .spawn(work)
        .map_err(|source| Error::Local { doing: "start the thread that reads commands", source })?;
    Ok(requests)
}
