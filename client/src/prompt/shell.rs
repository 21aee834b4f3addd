//! Replies for other programs: a pager where they are long, or what the person pipes them into.

use std::{
    env,
    io::{self, Write as _},
    process::{Command, ExitStatus, Stdio},
};

use unicode_width::UnicodeWidthStr as _;

use crate::{conversation::signals::Signals, output::terminal};

/// What a shell reports for a program that it does not find.
const NOT_FOUND: i32 = 127;

/// Runs a command line of the shell, with this as its input.
pub fn pipe(line: &str, text: &[u8], signals: &Signals) -> io::Result<()> {
    feed(&mut shell(line), text, signals).map(drop)
}

/// Shows a text that is longer than the terminal in `$PAGER`, else in `less`; false where it is
/// short enough, or where there is no pager.
pub fn page(text: &[u8], signals: &Signals) -> bool {
    let Some((rows, columns)) = terminal::size() else { return false };
    // The prompt needs a row, too.
    if height(text, columns) < rows {
        return false;
    }
    let mut pager = match env::var("PAGER") {
        Ok(line) if line.trim().is_empty() => return false,
        Ok(line) => shell(&line),
        Err(_) => Command::new("less"),
    };
    if env::var_os("LESS").is_none() {
        // As git does it: no more than one screen is printed as it is, and it stays there.
        pager.env("LESS", "FRX");
    }
    match feed(&mut pager, text, signals) {
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

/// Runs a program to its end. Ctrl-C is meant for it, and not for the client.
fn feed(command: &mut Command, text: &[u8], signals: &Signals) -> io::Result<ExitStatus> {
    signals.set_deaf(true);
    let status = command.stdin(Stdio::piped()).spawn().and_then(|mut child| {
        if let Some(mut stdin) = child.stdin.take() {
            // A program that has read enough does not want the rest.
            let _ = stdin.write_all(text);
        }
        child.wait()
    });
    signals.set_deaf(false);
    status
}

/// How many rows a text takes.
fn height(text: &[u8], columns: usize) -> usize {
    let text = String::from_utf8_lossy(text);
    text.lines().map(|line| line.width().div_ceil(columns.max(1)).max(1)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_take_several_rows() {
        assert_eq!(height(b"", 10), 0);
        assert_eq!(height(b"a\n\nb\n", 10), 3);
        assert_eq!(height(b"0123456789\n0123456789a", 10), 3);
        assert_eq!(height("日本語".as_bytes(), 4), 2);
    }
}
