//! One connection: commands go out here, messages come in through a thread that always reads.

use crate::codec::{self, Decoder, Message};
use crate::config::Target;
use crate::dial::dial;
use crate::error::Error;
use crossbeam_channel::Sender;
use redis_protocol::bytes::BytesMut;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::Duration;

const READ_SIZE: usize = 64 * 1024;

/// What the reader saw.
#[derive(Debug)]
pub enum Incoming {
    /// A reply or a push.
    Message(Message),
    /// The last that comes: why the connection is over.
    Closed(Closed),
}

/// Why a connection is over.
#[derive(Debug)]
pub enum Closed {
    /// The server closed it, properly.
    End,
    /// The network did.
    Broken(io::Error),
    /// The server sends what no client can read.
    Nonsense(String),
}

/// An open connection that can send.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    name: String,
}

impl Connection {
    /// Connects and starts to read; everything that comes is sent on as what `wrap` makes of it.
    pub fn open<E: Send + 'static>(
        target: &Target,
        timeout: Duration,
        events: Sender<E>,
        wrap: fn(Incoming) -> E,
    ) -> Result<Self, Error> {
        let (stream, name) = dial(target, timeout)?;
        // A command is one small packet that a person waits for.
        stream
            .set_nodelay(true)
            .map_err(|source| Error::Local { doing: "set up a socket", source })?;
        let reader = stream
            .try_clone()
            .map_err(|source| Error::Local { doing: "share a socket", source })?;
        thread::Builder::new()
            .name("reader".to_owned())
            .spawn(move || read(reader, |incoming| events.send(wrap(incoming)).is_ok()))
            .map_err(|source| Error::Local { doing: "start the reader thread", source })?;
        Ok(Self { stream, name })
    }

    /// What to call the peer: the name it was asked for by, and the port.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Gives up sending when the server takes nothing for that long.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) -> Result<(), Error> {
        self.stream
            .set_write_timeout(timeout)
            .map_err(|source| Error::Local { doing: "set the timeout of a socket", source })
    }

    /// Sends one command.
    pub fn send(&mut self, arguments: &[Vec<u8>]) -> io::Result<()> {
        let bytes: BytesMut = codec::encode(arguments)
            .map_err(|bad| io::Error::new(io::ErrorKind::InvalidInput, bad.to_string()))?;
        self.stream.write_all(&bytes)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // The reader holds the socket too, and would keep it open.
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

/// Reads until the connection is over or nobody listens any more.
fn read(mut stream: TcpStream, deliver: impl Fn(Incoming) -> bool) {
    let mut decoder = Decoder::default();
    let mut chunk = vec![0; READ_SIZE];
    loop {
        let closed = match stream.read(&mut chunk) {
            Ok(0) => Closed::End,
            Ok(length) => {
                decoder.feed(&chunk[..length]);
                match drain(&mut decoder, &deliver) {
                    Ok(true) => continue,
                    Ok(false) => return,
                    Err(closed) => closed,
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => Closed::Broken(error),
        };
        deliver(Incoming::Closed(closed));
        return;
    }
}

/// Delivers the complete messages; false when nobody listens any more.
fn drain(decoder: &mut Decoder, deliver: &impl Fn(Incoming) -> bool) -> Result<bool, Closed> {
    while let Some(message) = decoder.next().map_err(|bad| Closed::Nonsense(bad.to_string()))? {
        if !deliver(Incoming::Message(message)) {
            return Ok(false);
        }
    }
    Ok(true)
}
