//! The receiving side of a connection, which another thread can end.
//!
//! Unix shuts it: what has come can still be read, and then comes the end. On Windows that would reset
//! a connection with input that was not read, and wake nobody:
//! <https://learn.microsoft.com/windows/win32/api/winsock/nf-winsock-shutdown>. So each read waits
//! for the socket and for a waker.

use std::{
    io::{self, Read},
    net::{Shutdown, TcpStream},
    time::Duration,
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::waker::WakeReceiver;
#[cfg(windows)]
use super::waker::Waker;

/// What a read gives something for. On Windows `IN` is urgent data too, for which it would wait.
#[cfg(unix)]
const INPUT: PollFlags = PollFlags::IN;
#[cfg(windows)]
const INPUT: PollFlags = PollFlags::RDNORM;

/// `WSAPoll` takes an `i32` of milliseconds.
const LONGEST: Duration = Duration::from_secs(24 * 24 * 3600);

/// The receiving side of a connection, which another thread can end.
#[derive(Debug)]
pub struct InterruptibleReader {
    /// `None` where the system had no socket to give.
    #[cfg(windows)]
    wakeup: Option<(Waker, WakeReceiver)>,
}

/// What a wait has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// There is something to read from the client, or the connection is over.
    Input,
    /// The waker was used.
    Woken,
    /// The time is over.
    TimedOut,
}

impl InterruptibleReader {
    /// That of a new connection.
    #[must_use]
    pub fn new() -> Self {
        Self {
            #[cfg(windows)]
            wakeup: Waker::new().ok(),
        }
    }

    /// Ends it: reads give what has come, and then 0, also one that waits just now.
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

    /// Has [`read`](Self::read) give up after this time.
    ///
    /// # Errors
    /// The system's, where the connection is already gone.
    pub fn bound(&self, stream: &TcpStream, time: Option<Duration>) -> io::Result<()> {
        if cfg!(windows) { Ok(()) } else { stream.set_read_timeout(time) }
    }

    /// Reads what has come, or waits for it, for as long as [`bound`](Self::bound) was told.
    ///
    /// # Errors
    /// The system's; a timeout where nothing has come.
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

    /// Reads what has come, or waits for it, for at most this time.
    ///
    /// # Errors
    /// The system's; a timeout where nothing has come.
    #[cfg(windows)]
    pub fn read(
        &self,
        mut stream: &TcpStream,
        buffer: &mut [u8],
        time: Option<Duration>,
    ) -> io::Result<usize> {
        match self.look(stream, None, time)? {
            Seen { input: true, .. } => stream.read(buffer),
            Seen { something: false, .. } => Err(io::ErrorKind::TimedOut.into()),
            // The end, with nothing to read before it.
            Seen { .. } => Ok(0),
        }
    }

    /// Waits up to `time` for something to read, or for the end, and says whether there is.
    #[must_use]
    pub fn wait_readable(&self, stream: &TcpStream, time: Duration) -> bool {
        // An interrupted poll counts as something: the read that follows waits.
        self.look(stream, None, Some(time)).map_or(true, |seen| seen.something)
    }

    /// Waits up to `time`, or for ever, until there is something to read, the end has come, or the
    /// waker was used.
    #[must_use]
    pub fn wait_for_input(
        &self,
        stream: &TcpStream,
        wake_receiver: &WakeReceiver,
        time: Option<Duration>,
    ) -> Waited {
        match self.look(stream, Some(wake_receiver), time) {
            Ok(Seen { something: false, .. }) => Waited::TimedOut,
            // A waker that nobody can use any more must not keep the client waiting.
            Ok(Seen { woken: false, .. }) => Waited::Input,
            // An interrupted poll leaves it to the next round.
            Ok(Seen { woken: true, .. }) | Err(_) => Waited::Woken,
        }
    }

    fn look(
        &self,
        stream: &TcpStream,
        wake_receiver: Option<&WakeReceiver>,
        time: Option<Duration>,
    ) -> io::Result<Seen> {
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
        let something = poll(watched, time.as_ref())? > 0;
        let [input, first, _] = all.map(|one| one.revents());
        let woken = wake_receiver.is_some() && first.intersects(PollFlags::IN);
        Ok(Seen { something, input: !input.is_empty(), woken })
    }
}

impl Default for InterruptibleReader {
    fn default() -> Self {
        Self::new()
    }
}

/// What [`InterruptibleReader::look`] has seen.
struct Seen {
    something: bool,
    /// There is something to read, or the client has ended the connection.
    #[cfg_attr(unix, expect(dead_code, reason = "reads wait by themselves"))]
    input: bool,
    woken: bool,
}
