//! Reads from a connection, and lets another thread end the reading.
//!
//! On Unix the receiving side is shut down: pending input can still be read, then EOF follows. On
//! Windows that would reset a connection with unread input, and not wake the reader:
//! <https://learn.microsoft.com/windows/win32/api/winsock/nf-winsock-shutdown>. So each read waits
//! for the socket and for a waker.

use std::{
    io::{self, Read},
    net::{Shutdown, TcpStream},
    time::Duration,
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
#[cfg(unix)]
use rustix::net::{RecvFlags, recv};

use super::waker::WakeReceiver;
#[cfg(windows)]
use super::waker::Waker;

/// The events after which a read returns something. On Windows `IN` includes urgent data, for which
/// a read would block.
#[cfg(unix)]
const INPUT: PollFlags = PollFlags::IN;
#[cfg(windows)]
const INPUT: PollFlags = PollFlags::RDNORM;

/// The longest wait: `WSAPoll` takes an `i32` of milliseconds.
const LONGEST: Duration = Duration::from_secs(24 * 24 * 3600);

/// Reads from a connection; another thread can end that.
#[derive(Debug)]
pub struct InterruptibleReader {
    /// `None` if the system could not provide a socket.
    #[cfg(windows)]
    wakeup: Option<(Waker, WakeReceiver)>,
}

/// The result of a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// The client has sent something, or the connection has ended.
    Input,
    /// The waker was used.
    Woken,
    /// The time is over.
    TimedOut,
}

impl InterruptibleReader {
    /// Makes the reader of a new connection.
    #[must_use]
    pub fn new() -> Self {
        Self {
            #[cfg(windows)]
            wakeup: Waker::new().ok(),
        }
    }

    /// Ends reading: reads, also one that waits now, return the pending input and then 0.
    pub fn end(&self, stream: &TcpStream) {
        // A failure means that the connection is gone.
        #[cfg(unix)]
        let _ = stream.shutdown(Shutdown::Read);
        #[cfg(windows)]
        match &self.wakeup {
            Some((waker, _)) => waker.wake(),
            None => drop(stream.shutdown(Shutdown::Both)),
        }
    }

    /// Limits the time of each [`read`](Self::read); `None` removes the limit.
    ///
    /// # Errors
    /// The connection is gone, or the time is zero.
    pub fn bound(&self, stream: &TcpStream, time: Option<Duration>) -> io::Result<()> {
        if cfg!(windows) { Ok(()) } else { stream.set_read_timeout(time) }
    }

    /// Reads input, or waits for it up to the limit that [`bound`](Self::bound) has set.
    ///
    /// # Errors
    /// The connection is broken, or nothing has arrived in time.
    #[cfg(unix)]
    #[inline]
    pub fn read(
        &self,
        mut stream: &TcpStream,
        buffer: &mut [u8],
        _: Option<Duration>,
    ) -> io::Result<usize> {
        stream.read(buffer)
    }

    /// Reads input, or waits for it for at most this time.
    ///
    /// # Errors
    /// The connection is broken, or nothing has arrived in time ([`io::ErrorKind::TimedOut`]).
    #[cfg(windows)]
    pub fn read(
        &self,
        mut stream: &TcpStream,
        buffer: &mut [u8],
        time: Option<Duration>,
    ) -> io::Result<usize> {
        match self.poll_events(stream, None, time)? {
            Ready { input: true, .. } => stream.read(buffer),
            Ready { has_any: false, .. } => Err(io::ErrorKind::TimedOut.into()),
            // The reader was ended, and no input is left.
            Ready { .. } => Ok(0),
        }
    }

    /// Reads the input that is there.
    ///
    /// # Errors
    /// The connection is broken, or nothing is there ([`io::ErrorKind::WouldBlock`]).
    #[cfg(unix)]
    #[inline]
    pub fn try_read(&self, stream: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(recv(stream, buffer, RecvFlags::DONTWAIT)?.0)
    }

    /// Reads the input that is there.
    ///
    /// # Errors
    /// The connection is broken, or nothing is there ([`io::ErrorKind::WouldBlock`]).
    #[cfg(windows)]
    pub fn try_read(&self, stream: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
        self.read_soon(stream, buffer, Duration::ZERO)
    }

    /// Copies the input that is there, which stays to be read. On Windows it must have been waited
    /// for.
    ///
    /// # Errors
    /// The connection is broken, or nothing is there ([`io::ErrorKind::WouldBlock`]).
    pub fn peek(&self, stream: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
        #[cfg(unix)]
        return Ok(recv(stream, buffer, RecvFlags::DONTWAIT | RecvFlags::PEEK)?.0);
        #[cfg(windows)]
        stream.peek(buffer)
    }

    /// Reads input, or waits for it for about this time, which [`bound`](Self::bound) has set.
    ///
    /// # Errors
    /// The connection is broken, or nothing has arrived ([`io::ErrorKind::WouldBlock`]).
    #[cfg(unix)]
    pub fn read_soon(
        &self,
        mut stream: &TcpStream,
        buffer: &mut [u8],
        _: Duration,
    ) -> io::Result<usize> {
        stream.read(buffer)
    }

    /// Reads input, or waits for it for about this time, which `bound` has set.
    ///
    /// # Errors
    /// The connection is broken, or nothing has arrived ([`io::ErrorKind::WouldBlock`]).
    #[cfg(windows)]
    pub fn read_soon(
        &self,
        stream: &TcpStream,
        buffer: &mut [u8],
        time: Duration,
    ) -> io::Result<usize> {
        let nothing = |error: io::Error| match error.kind() {
            io::ErrorKind::TimedOut => io::ErrorKind::WouldBlock.into(),
            _ => error,
        };
        self.read(stream, buffer, Some(time)).map_err(nothing)
    }

    /// Returns what is woken at the end of reading.
    #[cfg(windows)]
    pub(super) fn wake_receiver(&self) -> Option<&WakeReceiver> {
        self.wakeup.as_ref().map(|(_, receiver)| receiver)
    }

    /// Waits up to `time` for input or the end. Returns true if a read would not block.
    #[must_use]
    pub fn wait_readable(&self, stream: &TcpStream, time: Duration) -> bool {
        // An interrupted poll counts as readable: the read that follows waits.
        self.poll_events(stream, None, Some(time)).map_or(true, |ready| ready.has_any)
    }

    /// Waits for input, for the end of the connection or for the waker; without a `time`, for ever.
    #[must_use]
    pub fn wait_for_input(
        &self,
        stream: &TcpStream,
        wake_receiver: &WakeReceiver,
        time: Option<Duration>,
    ) -> Waited {
        match self.poll_events(stream, Some(wake_receiver), time) {
            Ok(Ready { has_any: false, .. }) => Waited::TimedOut,
            // A waker whose other end is gone must not keep the client waiting.
            Ok(Ready { woken: false, .. }) => Waited::Input,
            // After an interrupted poll the caller checks the waker and waits again.
            Ok(Ready { woken: true, .. }) | Err(_) => Waited::Woken,
        }
    }

    fn poll_events(
        &self,
        stream: &TcpStream,
        wake_receiver: Option<&WakeReceiver>,
        time: Option<Duration>,
    ) -> io::Result<Ready> {
        #[cfg(unix)]
        let end: Option<&WakeReceiver> = None;
        #[cfg(windows)]
        let end = self.wakeup.as_ref().map(|(_, receiver)| receiver);
        let unused = PollFd::new(stream, PollFlags::empty());
        let (first, second) =
            if wake_receiver.is_some() { (wake_receiver, end) } else { (end, None) };
        let count = 1 + usize::from(first.is_some()) + usize::from(second.is_some());
        let mut all = [
            PollFd::new(stream, INPUT),
            first.map_or_else(|| unused.clone(), WakeReceiver::watched),
            second.map_or_else(|| unused.clone(), WakeReceiver::watched),
        ];
        let watched = all.get_mut(..count).unwrap_or_default();
        let time = if cfg!(windows) { time.map(|time| time.min(LONGEST)) } else { time };
        let time = time.and_then(|time| Timespec::try_from(time).ok());
        let has_any = poll(watched, time.as_ref())? > 0;
        let [input, first, _] = all.map(|one| one.revents());
        let woken = wake_receiver.is_some() && first.intersects(PollFlags::IN);
        Ok(Ready { has_any, input: !input.is_empty(), woken })
    }
}

impl Default for InterruptibleReader {
    fn default() -> Self {
        Self::new()
    }
}

/// The events that a poll has reported.
struct Ready {
    has_any: bool,
    /// There is something to read, or the client has ended the connection.
    #[cfg_attr(unix, expect(dead_code, reason = "reads wait by themselves"))]
    input: bool,
    woken: bool,
}
