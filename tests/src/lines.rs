//! A client that speaks in lines, as `nc` does.

use std::{
    net::SocketAddr,
    ops::{Deref, DerefMut},
};

use crate::{connection::Connection, host::Host};

/// A session in lines.
pub struct Lines(Connection);

impl Lines {
    /// Connects over IPv4.
    #[must_use]
    #[track_caller]
    pub fn connect(host: &Host) -> Self {
        Self::connect_to(host.v4())
    }

    /// Connects.
    #[must_use]
    #[track_caller]
    pub fn connect_to(address: SocketAddr) -> Self {
        Self(Connection::connect(address))
    }

    /// Wraps an open connection.
    #[must_use]
    pub fn from_connection(connection: Connection) -> Self {
        Self(connection)
    }

    /// Sends a line.
    #[track_caller]
    pub fn say(&mut self, line: &str) {
        self.send(format!("{line}\n"));
    }

    /// Returns the next line from the host.
    #[track_caller]
    pub fn line(&mut self) -> String {
        self.take(|bytes| {
            let end = bytes.iter().position(|byte| *byte == b'\n')?;
            Some((String::from_utf8_lossy(&bytes[..end]).into_owned(), end + 1))
        })
    }

    /// Sends a line and reads a reply of one line.
    #[track_caller]
    pub fn ask(&mut self, line: &str) -> String {
        self.say(line);
        self.line()
    }

    /// Sends a line and reads a reply of any number of lines.
    #[track_caller]
    pub fn ask_all(&mut self, line: &str) -> Vec<String> {
        const END: &str = "- that was the reply -";
        self.send(format!("{line}\nping '{END}'\n"));
        let mut lines = Vec::new();
        loop {
            match self.line() {
                last if last == END => return lines,
                line => lines.push(line),
            }
        }
    }

    /// Returns all lines up to the end of the connection.
    #[track_caller]
    pub fn end(&mut self) -> Vec<String> {
        String::from_utf8_lossy(&self.rest()).lines().map(str::to_owned).collect()
    }

    /// Returns the connection itself.
    #[must_use]
    pub fn into_connection(self) -> Connection {
        self.0
    }
}

impl Deref for Lines {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.0
    }
}

impl DerefMut for Lines {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.0
    }
}
