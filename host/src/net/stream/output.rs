//! Writing to a client's connection.

use std::{
    io::{self, Write},
    net::TcpStream,
    sync::Arc,
    time::Instant,
};

use plugin_engine::state::durable::Durable;
use protocol::Encoder;

use super::{ClientStream, WRITE_SLICE, is_timeout};
use crate::{net::tls::Tls, runtime::shutdown::Shutdown};

impl ClientStream {
    /// Writes everything that is pending in `replies`.
    ///
    /// Fails with [`io::ErrorKind::TimedOut`] after the write timeout or the login deadline, if the
    /// session is evicted, or if the host no longer waits for clients; else if the connection is
    /// gone.
    pub fn write(&mut self, replies: &mut Encoder, shutdown: &Shutdown) -> io::Result<()> {
        if self.held.is_any() {
            if self.lease.is_some() && self.held.is_slow() {
                self.give_up_lease();
            }
            self.held.settle(replies, self.handle.commands());
        }
        self.send(replies, shutdown)
    }

    /// Notes that a reply may be held back, which begins behind the first `start` pending bytes.
    pub fn hold_from(&mut self, start: usize) {
        self.held.begin(start, self.handle.commands());
    }

    /// Counts a reply that answers no command.
    pub fn count_other_reply(&mut self) {
        self.held.count_other();
    }

    /// Holds the replies back until a record is safe.
    pub fn hold(&mut self, durable: &Arc<Durable>, record: u64) {
        self.held.add(durable, record);
    }

    /// Works as [`write`](Self::write), for bytes that wait for no record.
    ///
    /// # Errors
    /// As `write`.
    pub fn send(&mut self, replies: &mut Encoder, shutdown: &Shutdown) -> io::Result<()> {
        if let Some(mut tls) = self.tls.take() {
            let written = self.write_tls(&mut tls, replies, shutdown);
            self.tls = Some(tls);
            return written;
        }
        let stream = &self.handle.stream;
        let mut blocked_since: Option<Instant> = None;
        while !replies.is_empty() {
            match platform::write(stream, replies.pending(), WRITE_SLICE) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    replies.advance(written);
                    blocked_since = None;
                }
                Err(error) => self.check_timeout(error, &mut blocked_since)?,
            }
            // At shutdown a slow reader gets no more time than a client that reads nothing.
            if !replies.is_empty() && (shutdown.is_overrun() || self.handle.is_evicted()) {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
        Ok(())
    }

    fn write_tls(
        &self,
        tls: &mut Tls,
        replies: &mut Encoder,
        shutdown: &Shutdown,
    ) -> io::Result<()> {
        while !replies.is_empty() {
            let taken = tls.write(replies.pending())?;
            replies.advance(taken);
            self.flush(tls, Some(shutdown))?;
        }
        Ok(())
    }

    /// Sends the pending TLS records.
    pub(super) fn flush(&self, tls: &mut Tls, shutdown: Option<&Shutdown>) -> io::Result<()> {
        let mut blocked_since: Option<Instant> = None;
        while tls.wants_write() {
            match tls.send(Outgoing(&self.handle.stream)) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(_) => blocked_since = None,
                Err(error) => self.check_timeout(error, &mut blocked_since)?,
            }
            let over = |shutdown: &Shutdown| shutdown.is_overrun() || self.handle.is_evicted();
            if tls.wants_write() && shutdown.is_some_and(over) {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
        Ok(())
    }

    /// Returns `Ok` if a write that failed may be tried again: it only blocked, and no timeout has
    /// passed.
    pub(super) fn check_timeout(
        &self,
        error: io::Error,
        blocked_since: &mut Option<Instant>,
    ) -> io::Result<()> {
        if error.kind() == io::ErrorKind::Interrupted {
            return Ok(());
        }
        if !is_timeout(&error) {
            return Err(error);
        }
        let now = Instant::now();
        let since = *blocked_since.get_or_insert(now - WRITE_SLICE);
        let late = self.next_deadline().is_some_and(|due| now >= due);
        if late || now - since >= self.write_timeout {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(())
    }
}

/// A writer on the socket that uses the platform's write.
struct Outgoing<'a>(&'a TcpStream);

impl Write for Outgoing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        platform::write(self.0, bytes, WRITE_SLICE)
    }

    /// Writes several records with one system call.
    #[cfg(not(windows))]
    fn write_vectored(&mut self, pieces: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.0.write_vectored(pieces)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
