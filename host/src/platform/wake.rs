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

/// Waits until there is something to read from the client, or the alarm has rung; returns whether
/// it is the client.
#[must_use]
pub fn wait_for_input(stream: &TcpStream, wake: &Wake) -> bool {
    #[cfg(unix)]
    {
        use rustix::event::{PollFd, PollFlags, poll};
        let mut watched =
            [PollFd::new(stream, PollFlags::IN), PollFd::new(&wake.pipe, PollFlags::IN)];
        // An interrupted poll leaves it to the read to wait, or to the next round.
        match poll(&mut watched, None) {
            // An alarm that nobody can ring any more must not keep the client waiting.
            Ok(_) => !watched[1].revents().contains(PollFlags::IN),
            Err(_) => false,
        }
    }
    #[cfg(not(unix))]
    {
        loop {
            if wake.rung.load(Ordering::SeqCst) {
                return false;
            }
            let limited = stream.set_read_timeout(Some(Duration::from_millis(50))).is_ok();
            let seen = stream.peek(&mut [0]);
            let restored = stream.set_read_timeout(None).is_ok();
            match seen {
                Err(error)
                    if limited
                        && restored
                        && matches!(
                            error.kind(),
                            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                        ) => {}
                _ => return true,
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
