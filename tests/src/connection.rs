//! A client's connection, for any protocol.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use crate::wait::{LIMIT, WaitTimer};

/// Time limit of one read of the socket, so that the overall limit can be checked. On Windows a
/// socket must not be used after a read that timed out.
const STEP: Duration = if cfg!(windows) { LIMIT } else { Duration::from_secs(1) };

/// The error kind of a read that timed out.
const STEP_OVER: ErrorKind =
    if cfg!(windows) { ErrorKind::TimedOut } else { ErrorKind::WouldBlock };

/// Time limit of an end behind which bytes still arrive.
const LONGEST: Duration = Duration::from_secs(180);

/// A connection whose reads and writes have a time limit.
pub struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Connection {
    /// Connects.
    ///
    /// # Panics
    /// Nothing listens there.
    #[must_use]
    #[track_caller]
    pub fn connect(address: SocketAddr) -> Self {
        match TcpStream::connect_timeout(&address, LIMIT) {
            Ok(stream) => Self::from_stream(stream),
            Err(error) => panic!("cannot connect to {address}: {error}"),
        }
    }

    /// Wraps an open connection.
    ///
    /// # Panics
    /// The connection is closed.
    #[must_use]
    pub fn from_stream(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("the connection is there");
        stream.set_read_timeout(Some(STEP)).expect("a limit can be set");
        stream.set_write_timeout(Some(LIMIT)).expect("a limit can be set");
        Self { stream, received: Vec::new() }
    }

    /// Returns this client's own address: the peer that the host sees.
    ///
    /// # Panics
    /// The connection has no address.
    #[must_use]
    pub fn local(&self) -> SocketAddr {
        self.stream.local_addr().expect("a connection has an address")
    }

    /// Returns the socket. Its own reads do not apply the time limit; those of
    /// [`reader`](Self::reader) do.
    #[must_use]
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Returns a reader of the bytes as they arrive.
    #[must_use]
    pub fn reader(&self) -> Reader<'_> {
        Reader(self)
    }

    /// Sends bytes unchanged.
    ///
    /// # Panics
    /// The bytes cannot be sent.
    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("the host takes what is sent");
    }

    /// Closes the sending side.
    ///
    /// # Panics
    /// The connection is gone.
    pub fn end_sending(&mut self) {
        self.stream.shutdown(Shutdown::Write).expect("the connection is there");
    }

    /// Resets the connection, as a system does for a program that has crashed.
    ///
    /// # Panics
    /// The socket has no such option.
    pub fn reset(self) {
        let linger = Some(Duration::ZERO);
        socket2::SockRef::from(&self.stream).set_linger(linger).expect("a socket can linger");
    }

    /// Receives until `find` returns a result from the received bytes and the number of bytes that
    /// it used.
    ///
    /// # Panics
    /// The host sends nothing more, or closes the connection.
    #[track_caller]
    pub fn take<T>(&mut self, mut find: impl FnMut(&[u8]) -> Option<(T, usize)>) -> T {
        loop {
            if let Some((found, taken)) = find(&self.received) {
                self.received.drain(..taken);
                return found;
            }
            match self.read_more() {
                Ok(0) => panic!("the host has ended the connection after {}", self.shown()),
                Ok(_) => {}
                Err(error) => panic!("the host sent nothing more ({error}) after {}", self.shown()),
            }
        }
    }

    /// Returns everything up to the end of the connection.
    ///
    /// # Panics
    /// The host does not close the connection in order.
    #[track_caller]
    pub fn rest(&mut self) -> Vec<u8> {
        let started = Instant::now();
        loop {
            match self.read_more() {
                Ok(0) => return std::mem::take(&mut self.received),
                Ok(_) if started.elapsed() > LONGEST => panic!("the host sends without end"),
                Ok(_) => {}
                Err(error) => {
                    panic!("no orderly end of the connection ({error}) after {}", self.shown())
                }
            }
        }
    }

    /// Waits for the connection's end, orderly or not.
    ///
    /// # Panics
    /// The connection does not end.
    #[track_caller]
    pub fn wait_for_end(&mut self) {
        let started = Instant::now();
        loop {
            match self.read_more() {
                Ok(0) => return,
                Ok(_) if started.elapsed() > LONGEST => panic!("the host sends without end"),
                Ok(_) => self.received.clear(),
                Err(error) if error.kind() == ErrorKind::TimedOut => {
                    panic!("the connection is still open: {error}")
                }
                Err(_) => return,
            }
        }
    }

    #[track_caller]
    fn read_more(&mut self) -> io::Result<usize> {
        let mut buffer = [0; 16 << 10];
        let read = self.read_within_limit(&mut buffer)?;
        self.received.extend_from_slice(&buffer[..read]);
        Ok(read)
    }

    #[track_caller]
    fn read_within_limit(&self, room: &mut [u8]) -> io::Result<usize> {
        const WHAT: &str = "the host sends something";
        let mut watch = WaitTimer::start();
        loop {
            match (&self.stream).read(room) {
                Err(error) if error.kind() == STEP_OVER => {
                    if let Some(over) = watch.timeout(WHAT, LIMIT) {
                        return Err(io::Error::new(ErrorKind::TimedOut, over));
                    }
                }
                read => {
                    watch.report(WHAT);
                    return read;
                }
            }
        }
    }

    fn shown(&self) -> String {
        match self.received.as_slice() {
            [] => "nothing".into(),
            bytes => format!("\"{}\"", bytes[..bytes.len().min(500)].escape_ascii()),
        }
    }
}

/// A reader of the bytes that no other method of a connection has received.
pub struct Reader<'a>(&'a Connection);

impl Read for Reader<'_> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        self.0.read_within_limit(room)
    }
}
