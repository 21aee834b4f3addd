//! Sockets.

use std::{
    io::{self, Write},
    net::{TcpListener, TcpStream},
    time::Duration,
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::Socket;

/// Makes the port this process's alone, and free again at once after it.
///
/// # Errors
/// The system's.
#[cfg(unix)]
pub fn claim_port(socket: &Socket) -> io::Result<()> {
    // On Unix this allows binding over connections in TIME_WAIT, never over a live listener.
    socket.set_reuse_address(true)
}

/// Makes the port this process's alone: without it another program could bind it too and take
/// clients away.
///
/// # Errors
/// The system's.
#[cfg(windows)]
pub fn claim_port(socket: &Socket) -> io::Result<()> {
    super::exclusive::claim(socket)
}

/// Whether a port cannot be bound since another program has it. Windows calls one that is held
/// exclusively forbidden.
#[must_use]
pub fn is_taken(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrInUse
        || (cfg!(windows) && error.kind() == io::ErrorKind::PermissionDenied)
}

/// Makes a thread that is blocked in `accept` return with an error, if only for the moment.
#[cfg(target_os = "linux")]
pub fn wake_listener(listener: &TcpListener) {
    // A failure means that nobody is blocked there.
    let _ = rustix::net::shutdown(listener, rustix::net::Shutdown::Both);
}

#[cfg(not(target_os = "linux"))]
pub fn wake_listener(listener: &TcpListener) {
    wake_by_connecting(listener);
}

#[cfg(not(target_os = "linux"))]
fn wake_by_connecting(listener: &TcpListener) {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
    let Ok(mut address) = listener.local_addr() else { return };
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    // A failure leaves the acceptor to the next client that connects.
    let _ = TcpStream::connect_timeout(&address, Duration::from_secs(1));
}

/// Waits up to `time` for a client to be there for accepting.
pub fn wait_for_client(listener: &TcpListener, time: Duration) {
    let time = Timespec::try_from(time).ok();
    // Whatever comes of it, the caller looks.
    let _ = poll(&mut [PollFd::new(listener, PollFlags::IN)], time.as_ref());
}

/// Whether the peer takes something at once.
#[must_use]
pub fn is_writable(stream: &TcpStream) -> bool {
    wait_writable(stream, Duration::ZERO)
}

fn wait_writable(stream: &TcpStream, time: Duration) -> bool {
    let mut watched = [PollFd::new(stream, PollFlags::OUT)];
    let time = Timespec::try_from(time).ok();
    poll(&mut watched, time.as_ref()).is_ok_and(|ready| ready > 0)
}

/// Has [`write()`] give up after this time.
///
/// # Errors
/// The system's.
pub fn bound_writes(stream: &TcpStream, time: Duration) -> io::Result<()> {
    if cfg!(windows) { Ok(()) } else { stream.set_write_timeout(Some(time)) }
}

/// Writes what the peer takes, within the time that [`bound_writes`] was told.
///
/// # Errors
/// The system's; a timeout where the peer takes nothing.
#[cfg(not(windows))]
#[inline]
pub fn write(mut stream: &TcpStream, bytes: &[u8], _: Duration) -> io::Result<usize> {
    stream.write(bytes)
}

/// Writes what the peer takes within this time.
///
/// After a send that has run out of its `SO_SNDTIMEO` a Windows socket "should not be used": what
/// was sent is not known. So this waits first.
/// <https://learn.microsoft.com/windows/win32/api/winsock/nf-winsock-setsockopt>
///
/// # Errors
/// The system's; a timeout where the peer takes nothing.
#[cfg(windows)]
pub fn write(mut stream: &TcpStream, bytes: &[u8], time: Duration) -> io::Result<usize> {
    /// Bytes. A send waits until the system has taken all of it.
    const PIECE: usize = 64 << 10;
    if !wait_writable(stream, time) {
        return Err(io::ErrorKind::TimedOut.into());
    }
    stream.write(&bytes[..bytes.len().min(PIECE)])
}

/// What can be told of a peer that has not been read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hangup {
    /// It is there, as far as can be told.
    No,
    /// It has ended its sending side: closed, or only done with asking.
    Half,
    /// The connection is gone.
    Full,
}

/// Waits up to `time` for the peer to vanish, or for it to end its sending side unless
/// `ignore_half` is set. Data that waits to be read does not matter.
#[cfg(unix)]
#[must_use]
pub fn wait_for_hangup(stream: &TcpStream, time: Duration, ignore_half: bool) -> Hangup {
    #[cfg(target_os = "linux")]
    let half = PollFlags::RDHUP;
    #[cfg(not(target_os = "linux"))]
    let half = PollFlags::empty();
    let wanted = if ignore_half { PollFlags::empty() } else { half };
    let mut watched = [PollFd::new(stream, wanted)];
    let time = Timespec::try_from(time).ok();
    // An interrupted or refused poll has seen nothing; callers ask again.
    if poll(&mut watched, time.as_ref()).is_err() {
        return Hangup::No;
    }
    let seen = watched[0].revents();
    if seen.intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL) {
        Hangup::Full
    } else if seen.intersects(half) {
        Hangup::Half
    } else {
        Hangup::No
    }
}

/// As above, for Windows, which tells of either end in the same way.
#[cfg(windows)]
#[must_use]
pub fn wait_for_hangup(stream: &TcpStream, time: Duration, ignore_half: bool) -> Hangup {
    let look = |wait: Duration| {
        let mut watched = [PollFd::new(stream, PollFlags::empty())];
        let time = Timespec::try_from(wait).ok();
        if poll(&mut watched, time.as_ref()).is_err() {
            std::thread::sleep(wait);
            return Hangup::No;
        }
        let seen = watched[0].revents();
        if seen.intersects(PollFlags::ERR | PollFlags::NVAL) {
            return Hangup::Full;
        }
        if !seen.intersects(PollFlags::HUP) {
            return Hangup::No;
        }
        // There is something to see, so that this does not wait: the end, what was sent before it,
        // or a reset.
        if stream.peek(&mut [0]).is_ok() { Hangup::Half } else { Hangup::Full }
    };
    match look(time) {
        Hangup::Half if ignore_half => {
            // It would be told of again and again.
            std::thread::sleep(time);
            if look(Duration::ZERO) == Hangup::Full { Hangup::Full } else { Hangup::No }
        }
        seen => seen,
    }
}

/// Socket options of a client's connection.
///
/// # Errors
/// The system's, where the connection is already gone.
pub fn prepare(stream: &TcpStream, keepalive: Duration, unsent: Duration) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = socket2::SockRef::from(stream);
    // Linux takes no more than these.
    let keepalive = keepalive.min(Duration::from_secs(32_767));
    let unsent = unsent.min(Duration::from_millis(i32::MAX as u64));
    if !keepalive.is_zero() {
        let probe = (keepalive / 4).max(Duration::from_secs(1));
        let settings = socket2::TcpKeepalive::new()
            .with_time(keepalive.max(Duration::from_secs(1)))
            .with_interval(probe);
        let counted = socket.set_tcp_keepalive(&settings.clone().with_retries(3));
        // Windows before 10 version 1703 does not let itself be told how often.
        if cfg!(windows) && counted.is_err() {
            socket.set_tcp_keepalive(&settings)?;
        } else {
            counted?;
        }
    }
    // Keepalive is silent while data is unacknowledged; this bounds that case.
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(unsent))?;
    #[cfg(not(target_os = "linux"))]
    let _ = unsent;
    Ok(())
}
