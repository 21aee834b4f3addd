//! Bound listeners, on all addresses or on named ones.

use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    thread,
    time::{Duration, Instant},
};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that may wait to be accepted. The system may cap it lower.
const BACKLOG: i32 = 4096;

/// How often another free port is tried where one is free for IPv6 but not for IPv4.
const TRIES: usize = 16;

/// What the host listens on.
pub struct Listeners {
    /// Bound sockets.
    pub sockets: Vec<TcpListener>,
    /// They belong to the service manager, which goes on listening after this host.
    pub inherited: bool,
}

/// An address that cannot be served on.
#[derive(Debug)]
pub struct ListenError {
    address: SocketAddr,
    flag: &'static str,
    error: io::Error,
}

/// Binds `port` on `addresses`, or on all addresses of both families where there are none given.
/// Port 0 is any free one, the same on every address.
///
/// # Errors
/// Where an address cannot be bound. On all addresses, a missing IPv6 is not an error.
pub fn listen(addresses: &[IpAddr], port: u16) -> Result<Vec<TcpListener>, ListenError> {
    let all = [IpAddr::V6(Ipv6Addr::UNSPECIFIED), IpAddr::V4(Ipv4Addr::UNSPECIFIED)];
    let (addresses, optional_v6) =
        if addresses.is_empty() { (&all[..], true) } else { (addresses, false) };
    let mut tries = TRIES;
    wait_for_port(port, || {
        loop {
            match listen_once(addresses, port, optional_v6) {
                Err(clash) if port == 0 && platform::is_taken(&clash.error) && tries > 0 => {
                    tries -= 1;
                }
                done => return done,
            }
        }
    })
}

/// Tries for a moment, on Windows: there a port that was this program's alone is free again only
/// when every client of the host before has closed its side, too.
/// <https://learn.microsoft.com/windows/win32/winsock/using-so-reuseaddr-and-so-exclusiveaddruse>
fn wait_for_port<T>(
    port: u16,
    mut bind: impl FnMut() -> Result<T, ListenError>,
) -> Result<T, ListenError> {
    const PAUSE: Duration = Duration::from_millis(50);
    let deadline = Instant::now() + Duration::from_secs(2);
    loop {
        match bind() {
            Err(clash)
                if cfg!(windows)
                    && port != 0
                    && platform::is_taken(&clash.error)
                    && Instant::now() < deadline =>
            {
                thread::sleep(PAUSE);
            }
            done => return done,
        }
    }
}

/// Binds one address that a flag gives; `[::]` is of both families.
///
/// # Errors
/// Where it cannot be bound.
pub(crate) fn listen_at(
    address: SocketAddr,
    flag: &'static str,
) -> Result<TcpListener, ListenError> {
    wait_for_port(address.port(), || {
        bind(address, false).map_err(|error| ListenError { address, flag, error })
    })
}

fn listen_once(
    addresses: &[IpAddr],
    port: u16,
    optional_v6: bool,
) -> Result<Vec<TcpListener>, ListenError> {
    let mut listeners: Vec<TcpListener> = Vec::new();
    let mut port = port;
    for ip in addresses {
        let address = SocketAddr::new(*ip, port);
        // Each family has its own listener, so that a peer is shown as what it is.
        match bind(address, true) {
            Ok(listener) => {
                port = listener.local_addr().map_or(port, |bound| bound.port());
                listeners.push(listener);
            }
            Err(error) if optional_v6 && ip.is_ipv6() && !platform::is_taken(&error) => {
                log::warn!("serving on IPv4 alone: this system has no IPv6 ({error})");
            }
            Err(error) => return Err(ListenError { address, flag: "--port", error }),
        }
    }
    Ok(listeners)
}

/// Listens at an address that is this process's alone.
fn bind(address: SocketAddr, only_v6: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() && only_v6 {
        socket.set_only_v6(true)?;
    }
    platform::claim_port(&socket)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

impl fmt::Display for ListenError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, flag, error } = self;
        let port = address.port();
        match error.kind() {
            _ if platform::is_taken(error) => write!(
                out,
                "cannot serve on {address}: port {port} is in use; end the program that has it, \
                 or choose another with {flag}"
            ),
            io::ErrorKind::AddrNotAvailable => {
                write!(out, "cannot serve on {address}: this machine has no such address")
            }
            _ => write!(out, "cannot serve on {address}: {error}"),
        }
    }
}

impl std::error::Error for ListenError {}
