//! Waking a thread that waits for its client.

use std::{
    io,
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// Wakes a thread that waits for its [`Wake`].
#[derive(Debug)]
pub struct Alarm {
    rung: Arc<AtomicBool>,
    #[cfg(unix)]
    pipe: std::io::PipeWriter,
}

/// What a thread waits for beside its client.
#[derive(Debug)]
pub struct Wake {
    rung: Arc<AtomicBool>,
    #[cfg(unix)]
    pipe: std::io::PipeReader,
}

impl Alarm {
    /// An alarm and the wake that hears it.
    ///
    /// # Errors
    /// The system's, where it has no descriptors to give.
    pub fn new() -> io::Result<(Self, Wake)> {
        let rung = Arc::new(AtomicBool::new(false));
        let heard = Arc::clone(&rung);
        #[cfg(unix)]
        {
            let (reader, writer) = io::pipe()?;
            Ok((Self { rung, pipe: writer }, Wake { rung: heard, pipe: reader }))
        }
        #[cfg(not(unix))]
        Ok((Self { rung }, Wake { rung: heard }))
    }

    /// Wakes the thread, if it has not been woken already.
    pub fn ring(&self) {
        if !self.rung.swap(true, Ordering::SeqCst) {
            // At most one byte is in the pipe, so this never blocks; a failure means that nobody
            // listens.
            #[cfg(unix)]
            let _ = io::Write::write(&mut &self.pipe, &[1]);
        }
    }
}

impl Wake {
    /// Forgets that the alarm has rung; call it before looking for the reason.
    pub fn clear(&self) {
        if self.rung.swap(false, Ordering::SeqCst) {
            // The byte may still be on its way, which is no longer than the other thread takes.
            #[cfg(unix)]
            let _ = io::Read::read(&mut &self.pipe, &mut [0]);
        }
    }
}

/// What a wait has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// There is something to read from the client, or the connection is over.
    Input,
    /// The alarm has rung.
    Alarm,
    /// The time is over.
    TimedOut,
}

/// Waits up to `time`, or for ever, until there is something to read from the client or the alarm
/// has rung.
#[must_use]
pub fn wait_for_input(stream: &TcpStream, wake: &Wake, time: Option<Duration>) -> Waited {
    #[cfg(unix)]
    {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let mut watched =
            [PollFd::new(stream, PollFlags::IN), PollFd::new(&wake.pipe, PollFlags::IN)];
        let time = time.and_then(|time| Timespec::try_from(time).ok());
        match poll(&mut watched, time.as_ref()) {
            Ok(0) => Waited::TimedOut,
            // An alarm that nobody can ring any more must not keep the client waiting.
            Ok(_) if !watched[1].revents().contains(PollFlags::IN) => Waited::Input,
            // An interrupted poll leaves it to the next round.
            Ok(_) | Err(_) => Waited::Alarm,
        }
    }
    #[cfg(not(unix))]
    {
        const SLICE: Duration = Duration::from_millis(50);
        let (started, before) = (std::time::Instant::now(), stream.read_timeout().ok().flatten());
        loop {
            if wake.rung.load(Ordering::SeqCst) {
                return Waited::Alarm;
            }
            if time.is_some_and(|time| started.elapsed() >= time) {
                return Waited::TimedOut;
            }
            let limited = stream.set_read_timeout(Some(SLICE)).is_ok();
            let seen = stream.peek(&mut [0]);
            let restored = stream.set_read_timeout(before).is_ok();
            match seen {
                Err(error)
                    if limited
                        && restored
                        && matches!(
                            error.kind(),
                            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                        ) => {}
                _ => return Waited::Input,
            }
        }
    }
}

/// Waits up to `time` for something to read from the peer, and says whether there is.
#[must_use]
pub fn wait_readable(stream: &TcpStream, time: Duration) -> bool {
    #[cfg(unix)]
    {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let mut watched = [PollFd::new(stream, PollFlags::IN)];
        let time = Timespec::try_from(time).ok();
        // An interrupted poll counts as something: the read that follows waits.
        poll(&mut watched, time.as_ref()).map_or(true, |ready| ready > 0)
    }
    #[cfg(not(unix))]
    {
        let limited = stream.set_read_timeout(Some(time)).is_ok();
        let seen = stream.peek(&mut [0]);
        let restored = stream.set_read_timeout(None).is_ok();
        !limited || !restored || seen.is_ok()
    }
}
