//! The listeners: sockets bound on all addresses or on named ones.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    thread,
    time::{Duration, Instant},
};

use socket2::{Domain, Protocol, Socket, Type};

/// The number of connections that may wait to be accepted. The system may cap it lower.
const BACKLOG: i32 = 4096;

/// The number of further free ports to try while a port is free for IPv6 but not for IPv4.
const TRIES: usize = 16;

/// The sockets that the host listens on.
pub struct Listeners {
    /// The bound sockets.
    pub sockets: Vec<TcpListener>,
    /// True if the sockets belong to the service manager, which keeps them after this host.
    pub inherited: bool,
}

impl Listeners {
    /// Returns the address of each socket, with the port that the system chose.
    pub fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        self.sockets.iter().map(TcpListener::local_addr).collect()
    }
}

/// The error of an address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot serve on {address}: {}", explain(source, address.port(), flag))]
pub struct ListenError {
    address: SocketAddr,
    flag: &'static str,
    source: io::Error,
}

/// Binds `port` on `addresses`, or on all addresses of both families if `addresses` is empty.
/// Port 0 is any free one, the same on every address. Without addresses, a missing IPv6 is no
/// error.
pub fn listen(addresses: &[IpAddr], port: u16) -> Result<Vec<TcpListener>, ListenError> {
    let all = [IpAddr::V6(Ipv6Addr::UNSPECIFIED), IpAddr::V4(Ipv4Addr::UNSPECIFIED)];
    let (addresses, optional_v6) =
        if addresses.is_empty() { (&all[..], true) } else { (addresses, false) };
    let mut tries = TRIES;
    wait_for_port(port, || {
        loop {
            match listen_once(addresses, port, optional_v6) {
                Err(clash) if port == 0 && platform::is_taken(&clash.source) && tries > 0 => {
                    tries -= 1;
                }
                done => return done,
            }
        }
    })
}

/// Binds a port. On Windows it retries for 2 s: an exclusive port of an earlier host is free only
/// when every client of that host has closed its side, too.
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
                    && platform::is_taken(&clash.source)
                    && Instant::now() < deadline =>
            {
                thread::sleep(PAUSE);
            }
            done => return done,
        }
    }
}

/// Binds one address that a flag names; `[::]` serves both families.
pub(crate) fn listen_at(
    address: SocketAddr,
    flag: &'static str,
) -> Result<TcpListener, ListenError> {
    wait_for_port(address.port(), || {
        bind(address, false).map_err(|source| ListenError { address, flag, source })
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
        // Each family has its own listener, so that IPv4 peers have IPv4 addresses.
        match bind(address, true) {
            Ok(listener) => {
                port = listener.local_addr().map_or(port, |bound| bound.port());
                listeners.push(listener);
            }
            Err(error) if optional_v6 && ip.is_ipv6() && !platform::is_taken(&error) => {
                log::warn!("serving on IPv4 only: cannot use IPv6: {error}");
            }
            Err(source) => return Err(ListenError { address, flag: "--port", source }),
        }
    }
    Ok(listeners)
}

/// Listens on an address that no other process can bind.
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

/// Returns the reason for which a port cannot be listened on, and the remedy.
fn explain(error: &io::Error, port: u16, flag: &str) -> String {
    match error.kind() {
        _ if platform::is_taken(error) => format!(
            "port {port} is in use; end the program that has it, or choose another with {flag}"
        ),
        io::ErrorKind::AddrNotAvailable => "this machine has no such address".into(),
        _ => error.to_string(),
    }
}
