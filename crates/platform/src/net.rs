//! Handles sockets: options, wake-ups, timeouts and hang-ups.

use std::{
    io::{self, Write},
    net::{TcpListener, TcpStream},
    time::Duration,
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::Socket;

/// Returns the machine's name in its network; `localhost` if it has none.
#[cfg(unix)]
pub fn machine_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if name.is_empty() { "localhost".to_owned() } else { name }
}

/// Returns the machine's name in its network; `localhost` if it has none.
#[cfg(windows)]
pub fn machine_name() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_else(|_| "localhost".to_owned())
}

/// Claims the port for this process alone; it is free again at once after the process ends.
///
/// # Errors
/// The system refuses the option.
#[cfg(unix)]
pub fn claim_port(socket: &Socket) -> io::Result<()> {
    // On Unix this allows binding over connections in TIME_WAIT, never over a live listener.
    socket.set_reuse_address(true)
}

/// Claims the port for this process alone: otherwise another program could bind it too, and receive
/// the clients.
///
/// # Errors
/// The system refuses the option.
#[cfg(windows)]
pub fn claim_port(socket: &Socket) -> io::Result<()> {
    super::exclusive::claim(socket)
}

/// Returns true if a port cannot be bound because another program has it. Windows reports a port
/// that is held exclusively as forbidden.
#[must_use]
pub fn is_taken(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrInUse
        || (cfg!(windows) && error.kind() == io::ErrorKind::PermissionDenied)
}

/// Makes a thread that is blocked in `accept` return with an error, once or for good.
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
    // After a failure the acceptor returns when the next client connects.
    let _ = TcpStream::connect_timeout(&address, Duration::from_secs(1));
}

/// Waits up to `time` for a client to accept.
pub fn wait_for_client(listener: &TcpListener, time: Duration) {
    let time = Timespec::try_from(time).ok();
    // The caller tries to accept in any case.
    let _ = poll(&mut [PollFd::new(listener, PollFlags::IN)], time.as_ref());
}

/// Returns true if a write to the peer would not block.
#[must_use]
pub fn is_writable(stream: &TcpStream) -> bool {
    wait_writable(stream, Duration::ZERO)
}

fn wait_writable(stream: &TcpStream, time: Duration) -> bool {
    let mut watched = [PollFd::new(stream, PollFlags::OUT)];
    let time = Timespec::try_from(time).ok();
    poll(&mut watched, time.as_ref()).is_ok_and(|ready| ready > 0)
}

/// Limits the time of each [`write()`].
///
/// # Errors
/// The connection is gone, or the time is zero.
pub fn bound_writes(stream: &TcpStream, time: Duration) -> io::Result<()> {
    if cfg!(windows) { Ok(()) } else { stream.set_write_timeout(Some(time)) }
}

/// Writes as much as the peer accepts, within the limit that [`bound_writes`] has set.
///
/// # Errors
/// The connection is broken, or the peer has accepted nothing in time.
#[cfg(not(windows))]
#[inline]
pub fn write(mut stream: &TcpStream, bytes: &[u8], _: Duration) -> io::Result<usize> {
    stream.write(bytes)
}

/// Writes as much as the peer accepts within this time.
///
/// After a send that has exceeded its `SO_SNDTIMEO` a Windows socket "should not be used": the
/// number of sent bytes is unknown. So this waits first.
/// <https://learn.microsoft.com/windows/win32/api/winsock/nf-winsock-setsockopt>
///
/// # Errors
/// The connection is broken, or the peer has accepted nothing in time
/// ([`io::ErrorKind::TimedOut`]).
#[cfg(windows)]
pub fn write(mut stream: &TcpStream, bytes: &[u8], time: Duration) -> io::Result<usize> {
    /// The most for one send, in bytes: a send blocks until the system has accepted all of it.
    const PIECE: usize = 64 << 10;
    if !wait_writable(stream, time) {
        return Err(io::ErrorKind::TimedOut.into());
    }
    stream.write(&bytes[..bytes.len().min(PIECE)])
}

/// The state of a peer, as far as it can be known without reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hangup {
    /// It is connected, as far as is known.
    No,
    /// It has ended its sending side: it has closed, or sends no more requests.
    Half,
    /// The connection is gone.
    Full,
}

/// Waits up to `time` for the peer to vanish, or to end its sending side unless `ignore_half` is
/// set. Unread data does not matter.
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
    // After an interrupted or refused poll nothing is known; callers ask again.
    if poll(&mut watched, time.as_ref()).is_err() {
        return Hangup::No;
    }
    let events = watched[0].revents();
    if events.intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL) {
        Hangup::Full
    } else if events.intersects(half) {
        Hangup::Half
    } else {
        Hangup::No
    }
}

/// Works as the function for Unix; Windows reports both kinds of end in the same way.
#[cfg(windows)]
#[must_use]
pub fn wait_for_hangup(stream: &TcpStream, time: Duration, ignore_half: bool) -> Hangup {
    let poll_once = |wait: Duration| {
        let mut watched = [PollFd::new(stream, PollFlags::empty())];
        let time = Timespec::try_from(wait).ok();
        if poll(&mut watched, time.as_ref()).is_err() {
            std::thread::sleep(wait);
            return Hangup::No;
        }
        let events = watched[0].revents();
        if events.intersects(PollFlags::ERR | PollFlags::NVAL) {
            return Hangup::Full;
        }
        if !events.intersects(PollFlags::HUP) {
            return Hangup::No;
        }
        // There is an event, so `peek` does not block: the end, data before it, or a reset.
        if stream.peek(&mut [0]).is_ok() { Hangup::Half } else { Hangup::Full }
    };
    match poll_once(time) {
        Hangup::Half if ignore_half => {
            // The poll would report it again and again.
            std::thread::sleep(time);
            if poll_once(Duration::ZERO) == Hangup::Full { Hangup::Full } else { Hangup::No }
        }
        events => events,
    }
}

/// Sets the socket options of a client's connection.
///
/// # Errors
/// The connection is gone, or the system refuses an option.
pub fn prepare(stream: &TcpStream, keepalive: Duration, unsent: Duration) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = socket2::SockRef::from(stream);
    // Linux accepts no more than these.
    let keepalive = keepalive.min(Duration::from_secs(32_767));
    let unsent = unsent.min(Duration::from_millis(i32::MAX as u64));
    if !keepalive.is_zero() {
        let probe = (keepalive / 4).max(Duration::from_secs(1));
        let settings = socket2::TcpKeepalive::new()
            .with_time(keepalive.max(Duration::from_secs(1)))
            .with_interval(probe);
        let counted = socket.set_tcp_keepalive(&settings.clone().with_retries(3));
        // Windows before 10 version 1703 cannot set the number of probes.
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
