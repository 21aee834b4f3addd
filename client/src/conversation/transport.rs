//! The transport to a host: a socket, TLS, and the thread that reads messages.

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
        dial::{Dialed, dial},
        frame::FrameError,
        tls::{self, Peer},
    },
    error::Error,
    places::{place::Target, security::Security},
};

/// The size of one read, in bytes.
const READ_SIZE: usize = 64 * 1024;

/// The output of the reading thread.
#[derive(Debug)]
pub enum Incoming {
    /// A reply or a push.
    Message(Message),
    /// The end of the connection; nothing follows.
    Closed(CloseCause),
}

/// The cause of the end of a connection.
#[derive(Debug)]
pub enum CloseCause {
    /// The host closed it.
    Eof,
    /// The network failed.
    Io(io::Error),
    /// The host sent bytes that are no RESP3.
    Protocol(FrameError),
}

/// An open transport; dropping it closes the connection.
#[derive(Debug)]
pub struct Transport {
    stream: TcpStream,
    tls: Option<Arc<Mutex<ClientConnection>>>,
    name: String,
}

impl Transport {
    /// Connects, verifies the host and starts the reading thread, which sends to `incoming`.
    pub fn open(
        target: &Target,
        security: &Security,
        timeout: Duration,
        incoming: Sender<Incoming>,
    ) -> Result<Self, Error> {
        let Dialed { stream, host, name } = dial(target, timeout)?;
        // A command is one small packet whose reply a person waits for.
        stream
            .set_nodelay(true)
            .map_err(|source| Error::Io { operation: "set up a socket", source })?;
        let is_local = stream.peer_addr().is_ok_and(|peer| peer.ip().to_canonical().is_loopback());
        if security.key.is_some() && security.tls.is_none() && !is_local {
            return Err(Error::Usage(
                "a key is sent over TLS only, since others can read this connection: give --tls, \
                 or no key"
                    .to_owned(),
            ));
        }
        let tls = match &security.tls {
            Some(verification) => {
                let peer = Peer { stream: &stream, host: &host, name: &name };
                Some(Arc::new(Mutex::new(tls::handshake(peer, verification, timeout)?)))
            }
            None => None,
        };
        let reader = Reader {
            stream: stream
                .try_clone()
                .map_err(|source| Error::Io { operation: "share a socket", source })?,
            tls: tls.clone(),
            decoder: Decoder::default(),
            incoming,
        };
        thread::Builder::new()
            .name("reader".to_owned())
            .spawn(move || reader.run())
            .map_err(|source| Error::Io { operation: "start the reader thread", source })?;
        Ok(Self { stream, tls, name })
    }

    /// Returns the name of the host in messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Limits the time for which sending may block.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) -> Result<(), Error> {
        self.stream
            .set_write_timeout(timeout)
            .map_err(|source| Error::Io { operation: "set the timeout of a socket", source })
    }

    /// Closes both directions of the connection.
    pub fn close(&self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// Sends a command.
    pub fn send(&mut self, arguments: &[Vec<u8>]) -> io::Result<()> {
        let bytes: BytesMut = codec::encode(arguments)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
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

impl Drop for Transport {
    fn drop(&mut self) {
        // The reading thread has a handle of the socket, which would keep the connection open.
        self.close();
    }
}

/// The state of the reading thread.
struct Reader {
    stream: TcpStream,
    tls: Option<Arc<Mutex<ClientConnection>>>,
    decoder: Decoder,
    incoming: Sender<Incoming>,
}

impl Reader {
    /// Reads until the connection ends or the receiver is gone.
    fn run(mut self) {
        let mut chunk = vec![0; READ_SIZE];
        let cause = loop {
            match self.read_once(&mut chunk) {
                Ok(true) => {}
                Ok(false) => return,
                Err(cause) => break cause,
            }
        };
        let _ = self.incoming.send(Incoming::Closed(cause));
    }

    /// Reads one chunk and delivers its messages; false when the receiver is gone.
    fn read_once(&mut self, chunk: &mut [u8]) -> Result<bool, CloseCause> {
        match self.stream.read(chunk) {
            Ok(0) => return Err(CloseCause::Eof),
            Ok(length) => self.feed(&chunk[..length]).map_err(CloseCause::Io)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(true),
            Err(error) => return Err(CloseCause::Io(error)),
        }
        while let Some(message) = self.decoder.next().map_err(CloseCause::Protocol)? {
            if self.incoming.send(Incoming::Message(message)).is_err() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Passes bytes to the decoder, decrypted. It holds the lock of TLS only for that time.
    fn feed(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        let Some(tls) = &self.tls else {
            self.decoder.feed(bytes);
            return Ok(());
        };
        let mut tls = tls.lock().unwrap_or_else(PoisonError::into_inner);
        let mut plain = [0; 4096];
        while !bytes.is_empty() {
            tls.read_tls(&mut bytes)?;
            tls.process_new_packets()
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            // An error means that there is no more for now.
            while let Ok(length @ 1..) = tls.reader().read(&mut plain) {
                self.decoder.feed(&plain[..length]);
            }
        }
        flush(&mut tls, &self.stream)
    }
}

fn flush(tls: &mut ClientConnection, mut stream: &TcpStream) -> io::Result<()> {
    while tls.wants_write() {
        tls.write_tls(&mut stream)?;
    }
    Ok(())
}
