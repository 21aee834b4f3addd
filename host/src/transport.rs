//! A client's connection: reads that wait, writes that do not wait for ever.

use std::{
    io::{self, Read, Write},
    net::{Shutdown as Side, TcpStream},
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{platform, sessions::SessionEntry, shutdown::Shutdown, wire::Encoder};

/// How long one write may block before deadlines are looked at.
const WRITE_SLICE: Duration = Duration::from_millis(250);

/// The session's end of its connection.
pub struct Transport {
    entry: Arc<SessionEntry>,
    write_timeout: Duration,
}

impl Transport {
    /// Sets the socket up.
    ///
    /// # Errors
    /// The system's, where the connection is already gone.
    pub fn new(
        entry: Arc<SessionEntry>,
        keepalive: Duration,
        write_timeout: Duration,
    ) -> io::Result<Self> {
        platform::prepare(&entry.stream, keepalive, write_timeout)?;
        entry.stream.set_write_timeout(Some(WRITE_SLICE))?;
        Ok(Self { entry, write_timeout })
    }

    /// Waits for bytes. 0 means that the client, or the host's end, has closed this side.
    ///
    /// # Errors
    /// The system's: the connection is gone.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.stream().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return read,
            }
        }
    }

    /// Writes all that `replies` holds.
    ///
    /// # Errors
    /// The system's; [`io::ErrorKind::TimedOut`] where the client has read nothing for too long, or
    /// the host is ending and does not wait for it any more.
    pub fn write(&mut self, replies: &mut Encoder, shutdown: &Shutdown) -> io::Result<()> {
        let mut blocked_since: Option<Instant> = None;
        while !replies.is_empty() {
            match self.stream().write(replies.pending()) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    replies.advance(written);
                    blocked_since = None;
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                        let now = Instant::now();
                        let since = *blocked_since.get_or_insert(now - WRITE_SLICE);
                        if now - since >= self.write_timeout {
                            return Err(io::ErrorKind::TimedOut.into());
                        }
                    }
                    _ => return Err(error),
                },
            }
            // A client that reads slowly is no better at the host's end than one that does not.
            if !replies.is_empty() && shutdown.is_overrun() {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
        Ok(())
    }

    /// Ends the connection so that the client reads all that was written: a close with unread
    /// input would send a reset, which can overtake the last bytes.
    pub fn finish(&mut self) {
        let mut stream = self.stream();
        if stream.shutdown(Side::Write).is_err() || stream.set_nonblocking(true).is_err() {
            return;
        }
        let mut scrap = [0; 4096];
        for _ in 0..64 {
            match stream.read(&mut scrap) {
                Ok(read) if read > 0 => {}
                _ => break,
            }
        }
    }

    fn stream(&self) -> &TcpStream {
        &self.entry.stream
    }
}
