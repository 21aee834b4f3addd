//! Logs the output of a process: its standard error, and the standard output of a library.

use std::{
    io::{self, PipeReader, Read},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use crossbeam_channel::{Receiver, bounded};
use log::Level;
use platform::{EndableReader, ReaderEnd};

use crate::live::host_services::PluginServices;

/// The longest line that is logged, in bytes; a longer one is logged in pieces.
const LONGEST: usize = 4 << 10;

/// The output of a process, which a thread logs until this drops.
pub struct LoggedOutput {
    last: Arc<Mutex<Vec<u8>>>,
    done: Receiver<()>,
    /// A child of the process may keep the pipe open.
    reader: ReaderEnd,
}

impl LoggedOutput {
    /// Returns the last line of a process that has ended; empty if there is none.
    #[must_use]
    pub fn last_line(self) -> String {
        /// The time for what is left in the pipe.
        const REST: Duration = Duration::from_secs(1);
        self.reader.end();
        let _ = self.done.recv_timeout(REST);
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&last).into_owned()
    }
}

/// Logs the lines of a process until it has closed its output, or until the result drops.
///
/// # Errors
/// The system cannot start a thread, or has no descriptors left.
pub fn log_lines(output: PipeReader, services: &Arc<PluginServices>) -> io::Result<LoggedOutput> {
    let (services, last) = (Arc::clone(services), Arc::<Mutex<Vec<u8>>>::default());
    let (alive, done) = bounded::<()>(0);
    let kept = Arc::clone(&last);
    let (output, reader) = EndableReader::new(output)?;
    thread::Builder::new().name("plugin output".into()).spawn(move || {
        let _alive = alive;
        each_line(output, |line| {
            services.log_line(Level::Warn, line);
            let mut last = kept.lock().unwrap_or_else(PoisonError::into_inner);
            last.clear();
            last.extend_from_slice(line);
        });
    })?;
    Ok(LoggedOutput { last, done, reader })
}

/// Passes lines on, without their ends; empty ones are left out.
fn each_line(mut output: impl Read, mut pass_on: impl FnMut(&[u8])) {
    let mut buffer = vec![0; LONGEST];
    let mut filled = 0;
    loop {
        match output.read(&mut buffer[filled..]) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Ok(0) | Err(_) => break,
            Ok(read) => filled += read,
        }
        let mut from = 0;
        while let Some(length) = buffer[from..filled].iter().position(|byte| *byte == b'\n') {
            pass_on_line(&buffer[from..from + length], &mut pass_on);
            from += length + 1;
        }
        buffer.copy_within(from..filled, 0);
        filled -= from;
        if filled == LONGEST {
            pass_on(&buffer);
            filled = 0;
        }
    }
    pass_on_line(&buffer[..filled], &mut pass_on);
}

fn pass_on_line(line: &[u8], pass_on: &mut impl FnMut(&[u8])) {
    let line = line.trim_ascii_end();
    if !line.is_empty() {
        pass_on(line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(output: &[u8]) -> Vec<Vec<u8>> {
        let mut lines = Vec::new();
        each_line(output, |line| lines.push(line.to_vec()));
        lines
    }

    #[cfg(unix)]
    #[test]
    fn last_line_is_known_while_pipe_is_open() {
        use std::io::Write;
        let services = Arc::new(PluginServices {
            name: "mute".into(),
            data_dir: "data".into(),
            started: std::time::Instant::now(),
            lines: telemetry::log_throttle::LineBudget::default(),
        });
        let (pipe, mut writer) = io::pipe().unwrap();
        let output = log_lines(pipe, &services).unwrap();
        let done = output.done.clone();
        writer.write_all(b"first\nlast").unwrap();
        assert_eq!(output.last_line(), "last");
        let ended = done.recv_timeout(Duration::from_secs(60));
        assert_eq!(ended, Err(crossbeam_channel::RecvTimeoutError::Disconnected));
    }

    #[test]
    fn lines_are_passed_on_without_ends() {
        assert_eq!(lines(b"one\r\n\ntwo\n  three"), [&b"one"[..], b"two", b"  three"]);
        assert!(lines(b"").is_empty());
    }

    #[test]
    fn endless_line_is_passed_on_in_pieces() {
        let pieces = lines(&vec![b'x'; 3 * LONGEST + 1]);
        assert_eq!(pieces.iter().map(Vec::len).collect::<Vec<_>>(), [LONGEST, LONGEST, LONGEST, 1]);
    }
}
