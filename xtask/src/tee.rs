//! A program whose output is read and passed on.

use std::{
    io::{self, BufRead, BufReader, Write},
    process::{Command, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

use crate::{error::TaskError, program};

/// Time of silence after a program's end after which its output counts as read: a child of its own
/// may still have the pipe open.
const SILENCE: Duration = Duration::from_secs(1);

/// Runs a program, which must succeed, and passes each line of its output to `on_line`.
///
/// # Errors
/// The program cannot be started or fails, or its output cannot be passed on.
pub fn succeed(command: &mut Command, mut on_line: impl FnMut(&str)) -> Result<(), TaskError> {
    let failed = |operation, command: &Command| {
        let program = program::path(command);
        move |error| TaskError::Io(operation, program, error)
    };
    let child = command.stdout(Stdio::piped()).spawn();
    let mut child = child.map_err(failed("start", command))?;
    let (to, lines) = mpsc::channel();
    if let Some(output) = child.stdout.take() {
        thread::spawn(move || {
            let mut output = BufReader::new(output);
            let mut line = Vec::new();
            while output.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
                if to.send(std::mem::take(&mut line)).is_err() {
                    return;
                }
            }
        });
    } else {
        drop(to);
    }
    loop {
        match lines.recv_timeout(SILENCE) {
            Ok(line) => {
                let shown = io::stdout().write_all(&line);
                shown.map_err(failed("pass on the output of", command))?;
                on_line(&String::from_utf8_lossy(&line));
            }
            Err(RecvTimeoutError::Timeout) => {
                if child.try_wait().map_err(failed("wait for", command))?.is_some() {
                    break;
                }
            }
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    let status = child.wait().map_err(failed("wait for", command))?;
    program::check(command, status)
}

#[cfg(all(test, unix))]
mod tests {
    use std::{error::Error as _, time::Instant};

    use super::*;

    fn run_script(script: &str) -> (Vec<String>, bool) {
        let mut lines = Vec::new();
        let shell = &mut Command::new("sh");
        let ended = succeed(shell.args(["-c", script]), |line| lines.push(line.trim_end().into()));
        (lines, ended.is_ok())
    }

    #[test]
    fn failed_start_has_an_io_error_as_source() {
        let error = succeed(&mut Command::new("/dev/null/program"), |_| ()).unwrap_err();
        assert!(error.source().is_some_and(|cause| cause.is::<io::Error>()), "{error:?}");
    }

    #[test]
    fn lines_are_passed_on_and_the_status_counts() {
        assert_eq!(run_script("echo a; echo b"), (vec!["a".into(), "b".into()], true));
        assert_eq!(run_script("echo a; exit 3"), (vec!["a".into()], false));
    }

    #[test]
    fn child_left_behind_holds_nothing_up() {
        let start = Instant::now();
        assert_eq!(run_script("sleep 60 & echo a"), (vec!["a".into()], true));
        assert!(start.elapsed() < Duration::from_secs(30));
    }
}
