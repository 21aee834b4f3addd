//! A client's connection, of whatever protocol.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    time::Duration,
};

use crate::wait::{LIMIT, Stopwatch};

/// How long one read of the socket waits, so that the limit of all of them can be looked at. On
/// Windows a socket is not to be used after a read that ran out of time.
const STEP: Duration = if cfg!(windows) { LIMIT } else { Duration::from_secs(1) };

/// How a read that ran out of time is told from one that the peer's silence has ended.
const STEP_OVER: ErrorKind =
    if cfg!(windows) { ErrorKind::TimedOut } else { ErrorKind::WouldBlock };

/// A connection whose reads and writes do not wait for ever.
pub struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Connection {
    /// Connects.
    ///
    /// # Panics
    /// Where nobody listens.
    #[must_use]
    #[track_caller]
    pub fn to(address: SocketAddr) -> Self {
        match TcpStream::connect_timeout(&address, LIMIT) {
            Ok(stream) => Self::over(stream),
            Err(error) => panic!("cannot connect to {address}: {error}"),
        }
    }

    /// Uses a connection that is there.
    ///
    /// # Panics
    /// Where it is not.
    #[must_use]
    pub fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("the connection is there");
        stream.set_read_timeout(Some(STEP)).expect("a limit can be set");
        stream.set_write_timeout(Some(LIMIT)).expect("a limit can be set");
        Self { stream, received: Vec::new() }
    }

    /// This client's own address: the peer that the host sees.
    ///
    /// # Panics
    /// Where the connection has none.
    #[must_use]
    pub fn local(&self) -> SocketAddr {
        self.stream.local_addr().expect("a connection has an address")
    }

    /// The socket itself. A read of it does not wait for the limit; one of [`reader`](Self::reader)
    /// does.
    #[must_use]
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Reads the bytes as they come.
    #[must_use]
    pub fn reader(&self) -> Reader<'_> {
        Reader(self)
    }

    /// Sends bytes as they are.
    ///
    /// # Panics
    /// Where they cannot be sent.
    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("the host takes what is sent");
    }

    /// Says that nothing more will be sent.
    ///
    /// # Panics
    /// Where the connection is gone.
    pub fn end_sending(&mut self) {
        self.stream.shutdown(Shutdown::Write).expect("the connection is there");
    }

    /// Ends the connection with a reset, as a system does for a program that crashed.
    ///
    /// # Panics
    /// Where the socket has no such option.
    pub fn reset(self) {
        let linger = Some(Duration::ZERO);
        socket2::SockRef::from(&self.stream).set_linger(linger).expect("a socket can linger");
    }

    /// What `find` makes of the front of what was received, as soon as it makes something; it says
    /// how many bytes that took.
    ///
    /// # Panics
    /// Where the host sends nothing more, or ends the connection.
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
                Err(error) => panic!("nothing more from the host ({error}) after {}", self.shown()),
            }
        }
    }

    /// Everything up to the host's end of the connection.
    ///
    /// # Panics
    /// Where the host does not end it in order.
    #[track_caller]
    pub fn rest(&mut self) -> Vec<u8> {
        loop {
            match self.read_more() {
                Ok(0) => return std::mem::take(&mut self.received),
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
    /// Where it does not end.
    #[track_caller]
    pub fn wait_for_end(&mut self) {
        loop {
            match self.read_more() {
                Ok(0) => return,
                Ok(_) => self.received.clear(),
                Err(error) if error.kind() == ErrorKind::TimedOut => {
                    panic!("the connection goes on: {error}")
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
        let mut watch = Stopwatch::start();
        loop {
            match (&self.stream).read(room) {
                Err(error) if error.kind() == STEP_OVER => {
                    if let Some(over) = watch.over(WHAT, LIMIT) {
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

/// Reads what no other method of a connection has received.
pub struct Reader<'a>(&'a Connection);

impl Read for Reader<'_> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        self.0.read_within_limit(room)
    }
}
