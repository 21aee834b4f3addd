//! A client that speaks RESP. It shares no code with the host, so that it shares no mistake either.

use std::{
    net::SocketAddr,
    ops::{Deref, DerefMut},
};

use crate::{connection::Connection, frame::Frame, host::Host};

/// A session in RESP.
pub struct Resp(Connection);

impl Resp {
    /// Connects over IPv4. The session speaks RESP2 until it changes the protocol.
    #[must_use]
    #[track_caller]
    pub fn connect(host: &Host) -> Self {
        Self::connect_to(host.v4())
    }

    /// Connects over IPv4 and sends `HELLO 3`.
    #[must_use]
    #[track_caller]
    pub fn connect3(host: &Host) -> Self {
        let mut client = Self::connect(host);
        assert_eq!(client.ask(&["HELLO", "3"]).get("proto"), Some(&Frame::Integer(3)));
        client
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

    /// Sends a command.
    #[track_caller]
    pub fn say<T: AsRef<[u8]>>(&mut self, words: &[T]) {
        self.send(encode(words));
    }

    /// Returns the next value from the host.
    #[track_caller]
    pub fn frame(&mut self) -> Frame {
        self.take(Frame::read)
    }

    /// Sends a command and reads its reply.
    #[track_caller]
    pub fn ask<T: AsRef<[u8]>>(&mut self, words: &[T]) -> Frame {
        self.say(words);
        self.frame()
    }

    /// Sends bytes unchanged and reads one reply.
    #[track_caller]
    pub fn ask_raw(&mut self, bytes: impl AsRef<[u8]>) -> Frame {
        self.send(bytes);
        self.frame()
    }

    /// Returns all values up to the end of the connection.
    #[track_caller]
    pub fn end(&mut self) -> Vec<Frame> {
        let bytes = self.rest();
        let (mut frames, mut at) = (Vec::new(), 0);
        while at < bytes.len() {
            let (frame, taken) = Frame::read(&bytes[at..]).expect("the last value is whole");
            frames.push(frame);
            at += taken;
        }
        frames
    }

    /// Returns the connection itself.
    #[must_use]
    pub fn into_connection(self) -> Connection {
        self.0
    }
}

/// Encodes a command as an array of bulk strings.
#[must_use]
pub fn encode<T: AsRef<[u8]>>(words: &[T]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        let word = word.as_ref();
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

impl Deref for Resp {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.0
    }
}

impl DerefMut for Resp {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.0
    }
}
