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
type ReadEnd = std::io::PipeReader;
#[cfg(unix)]
type WriteEnd = std::io::PipeWriter;
/// Windows waits for sockets alone: one that is connected to itself, so that nobody else is heard.
#[cfg(windows)]
type ReadEnd = Arc<UdpSocket>;
#[cfg(windows)]
type WriteEnd = Arc<UdpSocket>;

/// Wakes a thread that waits for its [`WakeReceiver`].
#[derive(Debug)]
pub struct Waker {
    woken: Arc<AtomicBool>,
    pipe: WriteEnd,
}

/// What a thread waits for beside its client.
#[derive(Debug)]
pub struct WakeReceiver {
    woken: Arc<AtomicBool>,
    pipe: ReadEnd,
}

impl Waker {
    /// A waker and its receiver.
    ///
    /// # Errors
    /// The system's, where it has no descriptors to give.
    pub fn new() -> io::Result<(Self, WakeReceiver)> {
        let woken = Arc::new(AtomicBool::new(false));
        let noticed = Arc::clone(&woken);
        #[cfg(unix)]
        let (reader, writer) = io::pipe()?;
        #[cfg(windows)]
        let (reader, writer) = {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
            socket.connect(socket.local_addr()?)?;
            socket.set_nonblocking(true)?;
            drain(&socket);
            let socket = Arc::new(socket);
            (Arc::clone(&socket), socket)
        };
        Ok((Self { woken, pipe: writer }, WakeReceiver { woken: noticed, pipe: reader }))
    }

    /// Wakes the thread, if it has not been woken already.
    pub fn wake(&self) {
        if !self.woken.swap(true, Ordering::SeqCst) {
            // At most one byte is in the pipe, so this never blocks; a failure means that nobody
            // listens.
            #[cfg(unix)]
            let _ = io::Write::write(&mut &self.pipe, &[1]);
            #[cfg(windows)]
            if self.pipe.send(&[1]).is_err() {
                // The next one tries again.
                self.woken.store(false, Ordering::SeqCst);
            }
        }
    }
}

impl WakeReceiver {
    /// For waiting until the waker wakes it.
    pub(super) fn watched(&self) -> PollFd<'_> {
        PollFd::new(&self.pipe, PollFlags::IN)
    }

    /// Forgets that the waker was used; call it before looking for the reason.
    pub fn clear(&self) {
        // In this order: a byte that comes late wakes once more for nothing, and none is missed.
        #[cfg(windows)]
        {
            drain(&self.pipe);
            self.woken.store(false, Ordering::SeqCst);
        }
        #[cfg(unix)]
        if self.woken.swap(false, Ordering::SeqCst) {
            // The byte may still be on its way, which is no longer than the other thread takes.
            let _ = io::Read::read(&mut &self.pipe, &mut [0]);
        }
    }
}

/// Takes what has come, also from before the socket was connected to itself.
#[cfg(windows)]
fn drain(socket: &UdpSocket) {
    /// Nobody can send more than this for nothing.
    const MOST: usize = 1024;
    let empty = |error: &io::Error| error.kind() == io::ErrorKind::WouldBlock;
    // Any other error is of one datagram, such as that it is too long.
    let _ = (0..MOST).find(|_| socket.recv(&mut [0; 16]).as_ref().is_err_and(empty));
}
