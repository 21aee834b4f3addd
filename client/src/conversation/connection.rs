//! One connection: commands go out here, messages come in through a thread that always reads.

use std::{
    io::{self, Read as _, Write as _},
    net::{Shutdown, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use crossbeam_channel::Sender;
use redis_protocol::bytes::BytesMut;
use rustls::ClientConnection;

use crate::{
    conversation::{
        codec::{self, Decoder, Message},
        dial::dial,
        tls,
    },
    error::Error,
    places::{access::Access, config::Target},
};

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
    tls: Option<Arc<Mutex<ClientConnection>>>,
    name: String,
}

impl Connection {
    /// Connects and starts to read; everything that comes is sent on.
    pub fn open(
        target: &Target,
        access: &Access,
        timeout: Duration,
        incoming: Sender<Incoming>,
    ) -> Result<Self, Error> {
        let (stream, host, name) = dial(target, timeout)?;
        // A command is one small packet that a person waits for.
        stream
            .set_nodelay(true)
            .map_err(|source| Error::Local { doing: "set up a socket", source })?;
        let near = stream.peer_addr().is_ok_and(|peer| peer.ip().to_canonical().is_loopback());
        if access.key.is_some() && access.tls.is_none() && !near {
            return Err(Error::Usage(
                "a key is sent over TLS only, since others can read this connection: give --tls, or \
                 no key"
                    .to_owned(),
            ));
        }
        let tls = match &access.tls {
            Some(proof) => Some(tls::start(&stream, &host, &name, proof, timeout)?),
            None => None,
        };
        let tls = tls.map(|connection| Arc::new(Mutex::new(connection)));
        let reading = tls.clone();
        let reader = stream
            .try_clone()
            .map_err(|source| Error::Local { doing: "share a socket", source })?;
        thread::Builder::new()
            .name("reader".to_owned())
            .spawn(move || {
                read(reader, reading.as_deref(), |message| incoming.send(message).is_ok())
            })
            .map_err(|source| Error::Local { doing: "start the reader thread", source })?;
        Ok(Self { stream, tls, name })
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

    /// Ends the connection at once, both ways.
    pub fn hang_up(&self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// Sends one command.
    pub fn send(&mut self, arguments: &[Vec<u8>]) -> io::Result<()> {
        let bytes: BytesMut = codec::encode(arguments)
            .map_err(|bad| io::Error::new(io::ErrorKind::InvalidInput, bad.to_string()))?;
        match &self.tls {
            None => self.stream.write_all(&bytes),
            Some(tls) => {
                let mut tls = tls.lock().unwrap_or_else(PoisonError::into_inner);
                tls.writer().write_all(&bytes)?;
                flush(&mut tls, &self.stream)
            }
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // The reader holds the socket too, and would keep it open.
        self.hang_up();
    }
}

/// Reads until the connection is over or nobody listens any more.
fn read(
    mut stream: TcpStream,
    tls: Option<&Mutex<ClientConnection>>,
    deliver: impl Fn(Incoming) -> bool,
) {
    let mut decoder = Decoder::default();
    let mut chunk = vec![0; READ_SIZE];
    loop {
        let closed = match stream.read(&mut chunk) {
            Ok(0) => Closed::End,
            Ok(length) => {
                let fed = match tls {
                    None => {
                        decoder.feed(&chunk[..length]);
                        Ok(())
                    }
                    Some(tls) => feed_decrypted(&mut decoder, tls, &chunk[..length], &stream),
                };
                let drained = match fed {
                    Ok(()) => drain(&mut decoder, &deliver),
                    Err(error) => Err(Closed::Broken(error)),
                };
                match drained {
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

/// What the bytes say, decrypted. The lock is held only while that takes.
fn feed_decrypted(
    decoder: &mut Decoder,
    tls: &Mutex<ClientConnection>,
    mut bytes: &[u8],
    stream: &TcpStream,
) -> io::Result<()> {
    let mut tls = tls.lock().unwrap_or_else(PoisonError::into_inner);
    let mut plain = [0; 4096];
    while !bytes.is_empty() {
        tls.read_tls(&mut bytes)?;
        tls.process_new_packets()
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        // An error says that there is no more for now.
        while let Ok(length @ 1..) = tls.reader().read(&mut plain) {
            decoder.feed(&plain[..length]);
        }
    }
    flush(&mut tls, stream)
}

fn flush(tls: &mut ClientConnection, mut stream: &TcpStream) -> io::Result<()> {
    while tls.wants_write() {
        tls.write_tls(&mut stream)?;
    }
    Ok(())
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
