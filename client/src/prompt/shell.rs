//! Passes replies to other programs: the pager, or a command line of the shell.

use std::{
    env,
    io::{self, Write as _},
    process::{Command, ExitStatus, Stdio},
};

use unicode_width::UnicodeWidthStr as _;

use crate::{conversation::signals::Signals, output::terminal};

/// The exit code of a shell that does not find the program.
const NOT_FOUND: i32 = 127;

/// Runs a command line of the shell with this text as its input.
pub fn run_pipe(line: &str, text: &[u8], signals: &Signals) -> io::Result<()> {
    run_with_input(&mut shell(line), text, signals).map(drop)
}

/// Shows a text in `$PAGER`, else in `less`; false when it fits the terminal, or without a pager.
pub fn show_in_pager(text: &[u8], signals: &Signals) -> bool {
    let Some((rows, columns)) = terminal::size() else { return false };
    // The prompt needs one row.
    if rows_needed(text, columns) < rows {
        return false;
    }
    let mut pager = match env::var("PAGER") {
        Ok(line) if line.trim().is_empty() => return false,
        Ok(line) => shell(&line),
        Err(_) => Command::new("less"),
    };
    if env::var_os("LESS").is_none() {
        // The same as git: less prints a text that fits one screen, and leaves it there.
        pager.env("LESS", "FRX");
    }
    match run_with_input(&mut pager, text, signals) {
        Ok(status) => status.code() != Some(NOT_FOUND),
        Err(_) => false,
    }
}

fn shell(line: &str) -> Command {
    let (program, flag) = if cfg!(windows) { ("cmd", "/C") } else { ("sh", "-c") };
    let mut command = Command::new(program);
    command.arg(flag).arg(line);
    command
}

/// Runs a program to its end; meanwhile the client ignores Ctrl-C.
fn run_with_input(command: &mut Command, text: &[u8], signals: &Signals) -> io::Result<ExitStatus> {
    signals.set_interrupt_ignored(true);
    let status = command.stdin(Stdio::piped()).spawn().and_then(|mut child| {
        if let Some(mut stdin) = child.stdin.take() {
            // The program may end before it has read everything.
            let _ = stdin.write_all(text);
        }
        child.wait()
    });
    signals.set_interrupt_ignored(false);
    status
}

/// Returns the number of rows that a text takes.
fn rows_needed(text: &[u8], columns: usize) -> usize {
    let text = String::from_utf8_lossy(text);
    text.lines().map(|line| line.width().div_ceil(columns.max(1)).max(1)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_take_several_rows() {
        assert_eq!(rows_needed(b"", 10), 0);
        assert_eq!(rows_needed(b"a\n\nb\n", 10), 3);
        assert_eq!(rows_needed(b"0123456789\n0123456789a", 10), 3);
        assert_eq!(rows_needed("日本語".as_bytes(), 4), 2);
    }
}
