//! Reading from a client's connection, and waiting for its input.

use std::{
    io,
    time::{Duration, Instant},
};

use platform::{Waited, WakeReceiver};

use super::{ClientStream, is_timeout};
use crate::{net::tls::Tls, runtime::client_handle::ClientHandle};

impl ClientStream {
    /// Notes that a wait for input begins or goes on, in another place. With `may_be_silent` it may
    /// last for ever.
    pub fn begin_rest(&mut self, may_be_silent: bool) {
        // Before its login, a client has the time that the login has.
        if may_be_silent || self.next_deadline().is_some() {
            self.idle_at = None;
        } else if let (None, Some(limit)) = (self.idle_at, self.idle_timeout) {
            self.idle_at = Instant::now().checked_add(limit);
        }
        if let Some(tls) = &mut self.tls {
            tls.rest();
        }
    }

    /// Returns the end of a wait for input in another place; `None` without a limit.
    pub fn rest_deadline(&self) -> Option<Instant> {
        self.next_deadline().into_iter().chain(self.idle_at).min()
    }

    /// Has each read of a polled connection wait for this time. Fails if the connection is gone.
    pub fn set_patience(&mut self, time: Duration) -> io::Result<()> {
        self.patience = time;
        let time = Some(time).filter(|time| !time.is_zero());
        self.handle.reader.bound(&self.handle.stream, time)
    }

    /// Sets whether reads take only what TLS has read from the socket already.
    pub fn take_rest(&mut self, takes_rest: bool) {
        self.takes_rest = takes_rest;
    }

    /// Returns true if a polled connection has had input, or its end, since the last call.
    pub fn has_read(&self) -> bool {
        self.has_read.replace(false)
    }

    /// Waits for input, and returns the number of bytes. 0 means that the client, or the host at
    /// shutdown, has closed this direction.
    ///
    /// Fails with [`io::ErrorKind::WouldBlock`] if the connection is polled and has no input, with
    /// [`io::ErrorKind::TimedOut`] after the login deadline or the idle timeout, with
    /// [`io::ErrorKind::InvalidData`] if the client violates TLS, or if the connection is gone.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.is_polled {
            return self.read_polled(buffer);
        }
        let Some(mut tls) = self.tls.take() else { return self.receive(buffer) };
        let read = self.read_tls(&mut tls, buffer);
        self.tls = Some(tls);
        read
    }

    fn read_polled(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = match self.tls.take() {
            None => self.receive_now(buffer),
            Some(mut tls) => {
                let read = self.read_tls(&mut tls, buffer);
                self.tls = Some(tls);
                read
            }
        };
        if read.is_ok() {
            self.idle_at = None;
        }
        read
    }

    fn read_tls(&mut self, tls: &mut Tls, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = tls.read(buffer);
            // The handshake's messages, or the alert after an error.
            let sent = self.flush(tls, None);
            // Before every return, since the first request may arrive with the handshake's end.
            if self.handshake.is_some() && !tls.is_handshaking() {
                let before = self.next_deadline();
                self.handshake = None;
                self.restore_timeout(before)?;
            }
            if let Some(count) = read? {
                return Ok(count);
            }
            sent?;
            if self.takes_rest {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let receive = |room: &mut [u8]| {
                if self.is_polled { self.receive_now(room) } else { self.receive(room) }
            };
            if tls.fill(receive)? == 0 {
                return Ok(0);
            }
        }
    }

    fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let ClientHandle { stream, reader, .. } = &*self.handle;
        loop {
            let (due, mut time) = (self.next_deadline(), self.idle_timeout);
            if let Some(due) = due {
                let left = due.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                time = Some(left);
                reader.bound(stream, time)?;
            }
            match reader.read(stream, buffer, time) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_timeout(&error) && due.is_some() => {}
                Err(error) if is_timeout(&error) => return Err(io::ErrorKind::TimedOut.into()),
                read => return read,
            }
        }
    }

    fn receive_now(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let is_over = |end: Option<Instant>| end.is_some_and(|end| Instant::now() >= end);
        if is_over(self.next_deadline()) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let ClientHandle { stream, reader, .. } = &*self.handle;
        loop {
            let read = if self.patience.is_zero() {
                reader.try_read(stream, buffer)
            } else {
                reader.read_soon(stream, buffer, self.patience)
            };
            self.has_read.set(read.is_ok());
            match read {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error)
                    if error.kind() == io::ErrorKind::WouldBlock && is_over(self.idle_at) =>
                {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                read => return read,
            }
        }
    }

    /// Waits up to `time` for input, and returns whether there is any.
    pub fn wait_readable(&mut self, time: Duration) -> bool {
        self.has_input() || self.handle.reader.wait_readable(&self.handle.stream, time)
    }

    /// Waits for input or for the waker. With `last_input`, the time of the client's last input,
    /// the wait ends after the idle timeout.
    pub fn wait_for_input(
        &mut self,
        wake_receiver: &WakeReceiver,
        last_input: Option<Instant>,
    ) -> Waited {
        if self.has_input() {
            return Waited::Input;
        }
        let silent =
            |last_input: Instant| Some(self.idle_timeout?.saturating_sub(last_input.elapsed()));
        let left = last_input.and_then(silent);
        self.handle.reader.wait_for_input(&self.handle.stream, wake_receiver, left)
    }

    /// Returns whether TLS holds input that it has already read from the socket.
    pub fn has_input(&mut self) -> bool {
        self.tls.as_mut().is_some_and(|tls| tls.has_input())
    }
}
