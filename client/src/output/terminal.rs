//! What the operating system knows of the terminal, for the time after the line editor.

#[cfg(unix)]
pub use unix::{Saved, interrupt_self, size};
#[cfg(windows)]
pub use windows::{Saved, interrupt_self, size};

#[cfg(unix)]
mod unix {
    use std::io::{self, Write as _};

    use rustix::{
        process::{Signal, getpid, kill_process},
        termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr},
    };

    /// What ends the line editor's wish to be told of pasted text, and its line.
    const LEAVE_LINE: &[u8] = b"\x1b[?2004l\r\n";

    /// The modes of the terminal before the line editor changes them.
    #[derive(Debug)]
    pub struct Saved(Option<Termios>);

    impl Saved {
        /// Reads the modes as they are.
        pub fn new() -> Self {
            Self(tcgetattr(io::stdin()).ok())
        }

        /// Makes them so again, in place of a line editor that cannot.
        pub fn restore(&self) {
            let Some(modes) = &self.0 else { return };
            // A terminal that is gone needs no care.
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, modes);
            let mut stdout = io::stdout();
            let _ = stdout.write_all(LEAVE_LINE).and_then(|()| stdout.flush());
        }
    }

    /// The terminal's rows and columns; none where there is no terminal, or one that does not know.
    pub fn size() -> Option<(usize, usize)> {
        let size = tcgetwinsize(io::stdout()).or_else(|_| tcgetwinsize(io::stderr())).ok()?;
        let (rows, columns) = (usize::from(size.ws_row), usize::from(size.ws_col));
        (rows > 0 && columns > 0).then_some((rows, columns))
    }

    /// Does what Ctrl-C does outside of the line editor.
    pub fn interrupt_self() {
        let _ = kill_process(getpid(), Signal::INT);
    }
}

#[cfg(windows)]
mod windows {
    /// A console takes back its modes when the process ends.
    #[derive(Debug)]
    pub struct Saved;

    impl Saved {
        /// There is nothing to read.
        pub fn new() -> Self {
            Self
        }

        /// There is nothing to do.
        pub fn restore(&self) {}
    }

    /// The console's rows and columns; none where there is no console.
    pub fn size() -> Option<(usize, usize)> {
        let (columns, rows) = terminal_size::terminal_size()?;
        Some((rows.0.into(), columns.0.into()))
    }

    /// There are no signals.
    pub fn interrupt_self() {}
}
