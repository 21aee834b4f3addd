//! A port at which connections are refused.

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
};

use socket2::{Domain, Socket, Type};

use super::Port;

/// A reserved port of the loopback addresses without a listener.
pub struct Refusing {
    port: u16,
    /// Bound, but never listening.
    _sockets: [Socket; 2],
}

/// Reserves a port at which connections are refused.
pub fn refusing() -> Refusing {
    let bound = |domain, address: SocketAddr| {
        let socket = Socket::new(domain, Type::STREAM, None).unwrap();
        socket.bind(&address.into()).map(|()| socket)
    };
    // The port may be taken at the other address.
    let held = (0..100).find_map(|_| {
        let four = bound(Domain::IPV4, (Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let port = four.local_addr().unwrap().as_socket().unwrap().port();
        let six = bound(Domain::IPV6, (Ipv6Addr::LOCALHOST, port).into()).ok()?;
        Some(Refusing { port, _sockets: [four, six] })
    });
    held.unwrap()
}

impl fmt::Display for Refusing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.port.fmt(formatter)
    }
}

impl Port for &Refusing {
    fn port(&self) -> u16 {
        self.port
    }
}
