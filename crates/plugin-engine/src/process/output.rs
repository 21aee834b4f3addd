//! Logs the output of a process: its standard error, and the standard output of a library.

use std::{
    io::{self, PipeReader, Read},
    sync::Arc,
    thread,
};

use log::Level;

use crate::live::host_services::PluginServices;

/// The longest line that is logged, in bytes; a longer one is logged in pieces.
const LONGEST: usize = 4 << 10;

/// Logs the lines of a process until it has closed its output.
///
/// # Errors
/// The system cannot start a thread.
pub fn log_lines(output: PipeReader, services: &Arc<PluginServices>) -> io::Result<()> {
    let services = Arc::clone(services);
    thread::Builder::new().name("plugin output".into()).spawn(move || {
        each_line(output, |line| services.log_line(Level::Warn, &String::from_utf8_lossy(line)));
    })?;
    Ok(())
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
