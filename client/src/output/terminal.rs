//! The terminal as the operating system knows it: modes and size.

#[cfg(unix)]
pub use unix::{SavedModes, interrupt_self, size};
#[cfg(windows)]
pub use windows::{SavedModes, interrupt_self, size};

#[cfg(unix)]
mod unix {
    use std::io::{self, Write as _};

    use rustix::{
        process::{Signal, getpid, kill_process},
        termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr},
    };

    /// Ends the line editor's bracketed paste mode and its line.
    const LEAVE_LINE: &[u8] = b"\x1b[?2004l\r\n";

    /// The modes of the terminal before the line editor changes them.
    #[derive(Debug)]
    pub struct SavedModes(Option<Termios>);

    impl SavedModes {
        /// Reads the modes.
        pub fn new() -> Self {
            Self(tcgetattr(io::stdin()).ok())
        }

        /// Restores the modes, in place of a line editor that cannot.
        pub fn restore(&self) {
            let Some(modes) = &self.0 else { return };
            // The terminal may be gone.
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, modes);
            let mut stdout = io::stdout();
            let _ = stdout.write_all(LEAVE_LINE).and_then(|()| stdout.flush());
        }
    }

    /// Returns rows and columns; `None` without a terminal, or for one that reports none.
    pub fn size() -> Option<(usize, usize)> {
        let size = tcgetwinsize(io::stdout()).or_else(|_| tcgetwinsize(io::stderr())).ok()?;
        let (rows, columns) = (usize::from(size.ws_row), usize::from(size.ws_col));
        (rows > 0 && columns > 0).then_some((rows, columns))
    }

    /// Sends this process the signal of Ctrl-C.
    pub fn interrupt_self() {
        let _ = kill_process(getpid(), Signal::INT);
    }
}

#[cfg(windows)]
mod windows {
    /// The modes of the console, which Windows restores at the end of the process.
    #[derive(Debug)]
    pub struct SavedModes;

    impl SavedModes {
        /// Does nothing.
        pub fn new() -> Self {
            Self
        }

        /// Does nothing.
        pub fn restore(&self) {}
    }

    /// Returns rows and columns; `None` without a console.
    pub fn size() -> Option<(usize, usize)> {
        let (columns, rows) = terminal_size::terminal_size()?;
        Some((rows.0.into(), columns.0.into()))
    }

    /// Does nothing, since Windows has no signals.
    pub fn interrupt_self() {}
}
