//! Wakes a thread that waits for its client.

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
/// Windows polls sockets alone: this one is connected to itself, so that it receives from nobody
/// else.
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

/// The receiving end of a [`Waker`], which a thread polls together with its client.
#[derive(Debug)]
pub struct WakeReceiver {
    woken: Arc<AtomicBool>,
    pipe: ReadEnd,
}

impl Waker {
    /// Makes a waker and its receiver.
    ///
    /// # Errors
    /// The system has no descriptors left.
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
            // At most one byte is in the pipe, so this never blocks; a failure means that the
            // receiver is gone.
            #[cfg(unix)]
            let _ = io::Write::write(&mut &self.pipe, &[1]);
            #[cfg(windows)]
            if self.pipe.send(&[1]).is_err() {
                // The next call tries again.
                self.woken.store(false, Ordering::SeqCst);
            }
        }
    }
}

impl WakeReceiver {
    /// Returns the descriptor to poll.
    pub(super) fn watched(&self) -> PollFd<'_> {
        PollFd::new(&self.pipe, PollFlags::IN)
    }

    /// Returns the descriptor for a poller.
    #[cfg(unix)]
    pub(super) fn source(&self) -> &ReadEnd {
        &self.pipe
    }

    /// Returns the descriptor for a poller.
    #[cfg(windows)]
    pub(super) fn source(&self) -> &UdpSocket {
        &self.pipe
    }

    /// Resets the waker; call it before checking for the cause.
    pub fn clear(&self) {
        // In this order: a late byte wakes once more for nothing, and no wake-up is lost.
        #[cfg(windows)]
        {
            drain(&self.pipe);
            self.woken.store(false, Ordering::SeqCst);
        }
        #[cfg(unix)]
        if self.woken.swap(false, Ordering::SeqCst) {
            // The byte may still be in transit; this waits until the other thread has written it.
            let _ = io::Read::read(&mut &self.pipe, &mut [0]);
        }
    }
}

/// Reads everything that has arrived, also from before the socket was connected to itself.
#[cfg(windows)]
fn drain(socket: &UdpSocket) {
    /// The maximum number of datagrams: a bound, so that a sender cannot keep this busy.
    const MOST: usize = 1024;
    let empty = |error: &io::Error| error.kind() == io::ErrorKind::WouldBlock;
    // Any other error concerns one datagram, for example, one that is too long.
    let _ = (0..MOST).find(|_| socket.recv(&mut [0; 16]).as_ref().is_err_and(empty));
}
