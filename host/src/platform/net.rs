//! Sockets.

use std::{
    io,
    net::{TcpListener, TcpStream},
    time::Duration,
};

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

#[cfg(not(unix))]
pub fn claim_port(_: &Socket) -> io::Result<()> {
    Ok(())
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
    #[cfg(unix)]
    {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let time = Timespec::try_from(time).ok();
        // Whatever comes of it, the caller looks.
        let _ = poll(&mut [PollFd::new(listener, PollFlags::IN)], time.as_ref());
    }
    #[cfg(not(unix))]
    {
        let _ = listener;
        std::thread::sleep(time);
    }
}

/// Whether the peer takes something at once.
#[must_use]
pub fn is_writable(stream: &TcpStream) -> bool {
    #[cfg(unix)]
    {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let mut watched = [PollFd::new(stream, PollFlags::OUT)];
        poll(&mut watched, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
    }
    #[cfg(not(unix))]
    {
        let _ = stream;
        true
    }
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
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
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

/// As above, where the system cannot wait for a hang-up: a short look at what there is to read.
#[cfg(not(unix))]
#[must_use]
pub fn wait_for_hangup(stream: &TcpStream, time: Duration, ignore_half: bool) -> Hangup {
    let look = || {
        if stream.set_nonblocking(true).is_err() {
            return Hangup::Full;
        }
        let seen = match stream.peek(&mut [0]) {
            Ok(0) if ignore_half => Hangup::No,
            Ok(0) => Hangup::Half,
            Ok(_) => Hangup::No,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Hangup::No,
            Err(_) => Hangup::Full,
        };
        if stream.set_nonblocking(false).is_err() { Hangup::Full } else { seen }
    };
    match look() {
        Hangup::No => {
            std::thread::sleep(time);
            look()
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
        let settings =
            socket2::TcpKeepalive::new().with_time(keepalive.max(Duration::from_secs(1)));
        #[cfg(any(target_os = "linux", target_os = "macos", windows))]
        let settings = settings.with_interval(probe).with_retries(3);
        socket.set_tcp_keepalive(&settings)?;
    }
    // Keepalive is silent while data is unacknowledged; this bounds that case.
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(unsent))?;
    #[cfg(not(target_os = "linux"))]
    let _ = unsent;
    Ok(())
}
