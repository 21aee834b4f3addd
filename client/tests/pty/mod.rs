//! A pseudo-terminal with the client.
#![allow(dead_code, reason = "no test uses all of it")]

use std::{
    fs::File,
    io::{Read as _, Write as _},
    process::{Child, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::Duration,
};

use rustix::{
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize},
};

use crate::fake::{Deadline, Port, client, receive_within};

/// A client at a terminal; the test types.
pub struct Terminal {
    pub child: Child,
    master: File,
    slave: File,
    output: Receiver<Vec<u8>>,
    /// The output that the test has not expected yet.
    pub shown: String,
}

impl Terminal {
    /// Starts the client with these arguments.
    pub fn start(port: impl Port, arguments: &[&str]) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let path = ptsname(&master, Vec::new()).unwrap();
        let slave = File::options().read(true).write(true).open(path.to_str().unwrap()).unwrap();
        let size = Winsize { ws_row: 24, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&slave, size).unwrap();
        let side = || Stdio::from(slave.try_clone().unwrap());
        let mut command = client(port);
        command.args(arguments).env("TERM", "xterm").stdin(side()).stdout(side()).stderr(side());
        let child = command.spawn().unwrap();
        let master = File::from(master);
        let mut reader = master.try_clone().unwrap();
        let (sender, output) = mpsc::channel();
        thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(length @ 1..) = reader.read(&mut chunk) {
                let _ = sender.send(chunk[..length].to_vec());
            }
        });
        Self { child, master, slave, output, shown: String::new() }
    }

    /// Waits for this text behind the last expected one and returns the output between them.
    #[track_caller]
    pub fn expect(&mut self, text: &str) -> String {
        let deadline = Deadline::start();
        loop {
            if let Some(position) = self.shown.find(text) {
                let between = self.shown[..position].to_owned();
                self.shown.drain(..position + text.len());
                return between;
            }
            match receive_within(&deadline, &self.output) {
                Ok(bytes) => self.shown.push_str(&String::from_utf8_lossy(&bytes)),
                Err(_) => panic!("{text:?} is not in {:?}", self.shown),
            }
        }
    }

    /// Types a text.
    pub fn type_text(&mut self, text: &str) {
        self.master.write_all(text.as_bytes()).unwrap();
    }

    /// Waits for the end of the client and checks exit code and terminal modes.
    #[track_caller]
    pub fn ends_with(mut self, code: i32) {
        let deadline = Deadline::start();
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None if deadline.left().is_zero() => panic!("it goes on: {:?}", self.shown),
                // Its output ends with it, or there is more of it.
                None => drop(self.output.recv_timeout(Duration::from_millis(20))),
            }
        };
        assert_eq!(status.code(), Some(code));
        let modes = tcgetattr(&self.slave).unwrap().local_modes;
        assert!(modes.contains(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG));
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Both fail for a client that has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
