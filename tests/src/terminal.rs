//! A terminal with a user: keys are typed, and the screen is read.

use std::{
    fs::File,
    io::{Read, Write},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize},
};

use crate::wait::{LIMIT, WaitTimer};

const ROWS: u16 = 24;
const COLUMNS: u16 = 100;
/// Interval between two reads of the screen while nothing arrives.
const LOOK: Duration = Duration::from_millis(50);

/// A terminal in which a program runs. Dropping it ends the program.
pub struct Terminal {
    child: Child,
    master: File,
    /// The test's own handle of the program's end; `None` once the program has ended.
    slave: Option<File>,
    output: Receiver<Vec<u8>>,
    screen: vt100::Parser,
    /// All bytes that the program has written.
    written: Vec<u8>,
}

impl Terminal {
    /// Starts a program in a terminal of its own, whose keys can interrupt it.
    ///
    /// # Panics
    /// The system has no terminal left, or the program cannot be started.
    #[must_use]
    pub fn start(program: &Command) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&master).expect("a terminal of one's own");
        unlockpt(&master).expect("a terminal that can be opened");
        let path = ptsname(&master, Vec::new()).expect("a terminal with a name");
        let path = path.to_str().expect("a name in ASCII");
        let slave = File::options().read(true).write(true).open(path).expect("its other end");
        let size = Winsize { ws_row: ROWS, ws_col: COLUMNS, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&slave, size).expect("a terminal of this size");
        // Only a session leader can have a terminal whose Ctrl-C reaches it.
        let mut command = Command::new("setsid");
        command.arg("--ctty").arg(program.get_program()).args(program.get_args());
        for (name, value) in program.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let end = || Stdio::from(slave.try_clone().expect("another handle"));
        command.env("TERM", "xterm").stdin(end()).stdout(end()).stderr(end());
        let child = command.spawn().expect("the program can be started");
        let master = File::from(master);
        let mut reader = master.try_clone().expect("another handle");
        let (sender, output) = mpsc::channel();
        thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(length @ 1..) = reader.read(&mut chunk) {
                let _ = sender.send(chunk[..length].to_vec());
            }
        });
        let screen = vt100::Parser::new(ROWS, COLUMNS, 0);
        let slave = Some(slave);
        Self { child, master, slave, output, screen, written: Vec::new() }
    }

    /// Types keys.
    ///
    /// # Panics
    /// The terminal accepts none.
    pub fn press(&mut self, keys: impl AsRef<[u8]>) {
        self.master.write_all(keys.as_ref()).expect("a terminal takes keys");
    }

    /// Returns the screen's text, a line for each row, without trailing blanks.
    #[must_use]
    pub fn screen(&self) -> String {
        self.screen.screen().contents()
    }

    /// Returns the row and the column of the cursor, both from 0.
    #[must_use]
    pub fn cursor(&self) -> (u16, u16) {
        self.screen.screen().cursor_position()
    }

    /// Returns all bytes that the program has written, including control sequences.
    #[must_use]
    pub fn written(&self) -> &[u8] {
        &self.written
    }

    /// Presses a key, again each second, until the screen contains this text: a pager that gets a
    /// Ctrl-C before it waits for keys handles it at the next key, which it drops.
    ///
    /// # Panics
    /// The screen does not, within the limit.
    #[track_caller]
    pub fn presses_until(&mut self, key: &str, text: &str) {
        let (mut watch, mut pressed) = (WaitTimer::start(), None::<Instant>);
        while !self.screen().contains(text) {
            if pressed.is_none_or(|at| at.elapsed() >= Duration::from_secs(1)) {
                self.press(key);
                pressed = Some(Instant::now());
            }
            self.look(&mut watch, &format!("the screen shows {text:?}"));
        }
    }

    /// Waits until the screen contains this text.
    ///
    /// # Panics
    /// The screen does not, within the limit.
    #[track_caller]
    pub fn sees(&mut self, text: &str) {
        self.sees_that(text, |screen| screen.contains(text));
    }

    /// Waits until the last line that is not empty is this one.
    ///
    /// # Panics
    /// It is not, within the limit.
    #[track_caller]
    pub fn sees_last(&mut self, line: &str) {
        self.sees_that(line, |screen| screen.trim_end().lines().last() == Some(line.trim_end()));
    }

    /// Waits until a condition holds for the screen.
    ///
    /// # Panics
    /// It does not, within the limit.
    #[track_caller]
    pub fn sees_that(&mut self, what: &str, condition: impl Fn(&str) -> bool) {
        let mut watch = WaitTimer::start();
        while !condition(&self.screen()) {
            self.look(&mut watch, &format!("the screen shows {what:?}"));
        }
    }

    #[track_caller]
    fn look(&mut self, watch: &mut WaitTimer, what: &str) {
        if let Some(over) = watch.timeout(what, LIMIT) {
            panic!("{over}:\n{}", self.screen());
        }
        if let Ok(bytes) = self.output.recv_timeout(LOOK) {
            self.screen.process(&bytes);
            self.written.extend(bytes);
        }
    }

    /// Waits for the program's end, checks that it restores the terminal's mode, and returns its
    /// result.
    ///
    /// # Panics
    /// The program does not end within the limit, or leaves the terminal in another mode.
    #[track_caller]
    pub fn finish(mut self) -> Finished {
        let mut watch = WaitTimer::start();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child can be asked") {
                break status;
            }
            self.look(&mut watch, "the program has ended");
        };
        let slave = self.slave.take().expect("the terminal's other end");
        let modes = tcgetattr(&slave).expect("a terminal has modes").local_modes;
        // Without a handle of that end, the reader ends behind the last output.
        drop(slave);
        let mut watch = WaitTimer::start();
        loop {
            match self.output.recv_timeout(LOOK) {
                Ok(bytes) => self.screen.process(&bytes),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    if let Some(over) = watch.timeout("the last output has been read", LIMIT) {
                        panic!("{over}:\n{}", self.screen());
                    }
                }
            }
        }
        assert!(modes.contains(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG));
        Finished { status: status.code(), screen: self.screen() }
    }
}

/// The result of a program in a terminal.
pub struct Finished {
    pub status: Option<i32>,
    /// The last screen.
    pub screen: String,
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Fails if the program has just ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
