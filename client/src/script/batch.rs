//! Runs one command of the command line, or the commands of a source, without a prompt.

use std::{io, time::Duration};

use crate::{
    conversation::{
        event::Input,
        quoting,
        session::{Session, is_close_command},
    },
    error::Error,
    output::{progress::ProgressBar, screen::Screen},
    script::{
        repeat::Pace,
        source::{CommandSource, unreadable},
    },
};

/// The time for a stopping host to send its notice.
const NOTICE_TIMEOUT: Duration = Duration::from_secs(5);
/// The time for a line in the pipe to arrive.
const LINE_TIMEOUT: Duration = Duration::from_millis(500);

/// The result of one command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Succeeded,
    Failed,
    /// The reader of stdout is gone.
    Unread {
        is_failure: bool,
    },
}

/// Runs a command, repeated at this pace, and returns the exit code.
pub fn run_command(
    mut session: Session,
    screen: Screen,
    command: &[Vec<u8>],
    pace: Pace,
) -> Result<u8, Error> {
    if is_close_command(command) {
        screen.show_notice(&format_args!(
            "connected to {} and left at once, which is all that '{}' does; leave it out to be \
             asked for commands",
            session.name(),
            name_of(command)
        ));
        session.close();
        return Ok(0);
    }
    let mut has_failed = false;
    let mut left = Some(pace.repeat);
    while let Some(repeat) = left {
        match exchange(&mut session, screen, command)? {
            Outcome::Succeeded => wait_for_stop(&mut session, screen, command)?,
            Outcome::Failed => has_failed = true,
            Outcome::Unread { is_failure } => {
                has_failed |= is_failure;
                break;
            }
        }
        left = repeat.after_one();
        if left.is_some() {
            session
                .pause(pace.interval, &mut |values| screen.show_push(values))
                .map_err(|error| with_unanswered(error, name_of(command)))?;
        }
    }
    Ok(u8::from(has_failed))
}

/// Runs the commands of a source in order and returns the exit code.
pub fn run_lines(mut session: Session, screen: Screen, source: CommandSource) -> Result<u8, Error> {
    let requests = source.read_lines(session.sender())?;
    let mut has_failed = false;
    let mut last = Vec::new();
    for number in 1_usize.. {
        // The reading thread ends after it has sent the cause.
        let _ = requests.send(());
        let line = match session.wait_for_input(&mut |values| screen.show_push(values)) {
            Ok(Input::Line(line)) => line,
            Ok(Input::End | Input::Discarded) => break,
            Ok(Input::Failed(source)) => return Err(unreadable(source)),
            Err(error @ Error::ClosedWithNotice { .. }) => {
                return match session.input_within(LINE_TIMEOUT) {
                    Some(Input::Line(line)) => Err(with_unanswered(error, first_word(&line))),
                    _ => Ok(u8::from(has_failed)),
                };
            }
            Err(other) => return Err(other),
        };
        if line.trim_ascii_start().starts_with(b"#") {
            continue;
        }
        let command = match quoting::split(&line) {
            Ok(command) if command.is_empty() => continue,
            Ok(command) => command,
            Err(error) => {
                screen.show_error(&format_args!("line {number}: {error}"));
                has_failed = true;
                continue;
            }
        };
        if is_close_command(&command) {
            session.close();
            return Ok(u8::from(has_failed));
        }
        match exchange(&mut session, screen, &command)? {
            Outcome::Succeeded => last = command,
            Outcome::Failed => {
                has_failed = true;
                last.clear();
            }
            Outcome::Unread { is_failure } => return Ok(u8::from(has_failed || is_failure)),
        }
    }
    wait_for_stop(&mut session, screen, &last)?;
    Ok(u8::from(has_failed))
}

/// Adds the name of a command that was not sent to the error of an orderly end.
fn with_unanswered(error: Error, command: String) -> Error {
    match error {
        Error::ClosedWithNotice { name, notice, unanswered: None } => {
            Error::ClosedWithNotice { name, notice, unanswered: Some(command) }
        }
        other => other,
    }
}

fn name_of(command: &[Vec<u8>]) -> String {
    command.first().map(|name| String::from_utf8_lossy(name).into_owned()).unwrap_or_default()
}

fn first_word(line: &[u8]) -> String {
    let word = line.trim_ascii().split(u8::is_ascii_whitespace).next().unwrap_or_default();
    String::from_utf8_lossy(word).into_owned()
}

fn exchange(session: &mut Session, screen: Screen, command: &[Vec<u8>]) -> Result<Outcome, Error> {
    let mut bar = ProgressBar::new();
    let reply = session.call(command, &mut |values| {
        bar.draw_or(values, |values| screen.show_push(values));
    })?;
    bar.erase();
    match screen.show_reply(&reply) {
        Ok(()) if reply.is_error() => Ok(Outcome::Failed),
        Ok(()) => Ok(Outcome::Succeeded),
        // A reader that stops early, as in `client s keys | head -1`, is no failure.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            Ok(Outcome::Unread { is_failure: reply.is_error() })
        }
        Err(source) => Err(Error::Io { operation: "write to stdout", source }),
    }
}

/// Waits for the notice that follows the reply to `ks`.
fn wait_for_stop(session: &mut Session, screen: Screen, command: &[Vec<u8>]) -> Result<(), Error> {
    let stops = command.first().is_some_and(|name| name.eq_ignore_ascii_case(b"ks"));
    if !stops || session.has_notice() {
        return Ok(());
    }
    session.wait_for_notice(NOTICE_TIMEOUT, &mut |values| screen.show_push(values))
}
