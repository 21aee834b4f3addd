//! Waking a thread that waits for its client.

#[cfg(windows)]
use std::net::{Ipv4Addr, UdpSocket};
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use rustix::event::{PollFd, PollFlags};

#[cfg(unix)]
type Ear = std::io::PipeReader;
#[cfg(unix)]
type Bell = std::io::PipeWriter;
/// Windows waits for sockets alone: one that is connected to itself, so that nobody else is heard.
#[cfg(windows)]
type Ear = Arc<UdpSocket>;
#[cfg(windows)]
type Bell = Arc<UdpSocket>;

/// How long a word that was sent to this machine itself may take.
#[cfg(windows)]
const LOST: std::time::Duration = std::time::Duration::from_secs(1);

/// Wakes a thread that waits for its [`Wake`].
#[derive(Debug)]
pub struct Alarm {
    rung: Arc<AtomicBool>,
    pipe: Bell,
}

/// What a thread waits for beside its client.
#[derive(Debug)]
pub struct Wake {
    rung: Arc<AtomicBool>,
    pipe: Ear,
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
        let (reader, writer) = io::pipe()?;
        #[cfg(windows)]
        let (reader, writer) = {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
            socket.connect(socket.local_addr()?)?;
            // What was not sent, since the system had no room, is not waited for.
            socket.set_read_timeout(Some(LOST))?;
            let socket = Arc::new(socket);
            (Arc::clone(&socket), socket)
        };
        Ok((Self { rung, pipe: writer }, Wake { rung: heard, pipe: reader }))
    }

    /// Wakes the thread, if it has not been woken already.
    pub fn ring(&self) {
        if !self.rung.swap(true, Ordering::SeqCst) {
            // At most one byte is in the pipe, so this never blocks; a failure means that nobody
            // listens.
            #[cfg(unix)]
            let _ = io::Write::write(&mut &self.pipe, &[1]);
            #[cfg(windows)]
            let _ = self.pipe.send(&[1]);
        }
    }
}

impl Wake {
    /// For waiting until the alarm rings.
    pub(super) fn watched(&self) -> PollFd<'_> {
        PollFd::new(&self.pipe, PollFlags::IN)
    }

    /// Forgets that the alarm has rung; call it before looking for the reason.
    pub fn clear(&self) {
        if self.rung.swap(false, Ordering::SeqCst) {
            // The byte may still be on its way, which is no longer than the other thread takes.
            #[cfg(unix)]
            let _ = io::Read::read(&mut &self.pipe, &mut [0]);
            #[cfg(windows)]
            let _ = self.pipe.recv(&mut [0]);
        }
    }
}
