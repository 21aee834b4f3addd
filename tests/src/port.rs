//! A port that is reserved for one test.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use socket2::{Domain, Socket, Type};

/// A port of the loopback addresses that no other process gets while this lives. Connections are
/// refused until a host listens there, and again when it has ended. Windows allows no listener at a
/// reserved port, so there it is only a port that was free.
pub struct Port {
    number: u16,
    /// Bound, but never listening.
    _sockets: Option<[Socket; 2]>,
}

impl Port {
    /// Reserves a free port.
    ///
    /// # Panics
    /// No port is free.
    #[must_use]
    pub fn hold() -> Self {
        // It may be in use at the other address.
        let held = (0..100).find_map(|_| {
            let four = bind(Domain::IPV4, (Ipv4Addr::LOCALHOST, 0).into())?;
            let number = four.local_addr().ok()?.as_socket()?.port();
            let six = bind(Domain::IPV6, (Ipv6Addr::LOCALHOST, number).into())?;
            Some(Self { number, _sockets: Some([four, six]).filter(|_| cfg!(unix)) })
        });
        held.expect("a port is free")
    }

    /// Returns its number.
    #[must_use]
    pub fn number(&self) -> u16 {
        self.number
    }
}

fn bind(domain: Domain, address: SocketAddr) -> Option<Socket> {
    let socket = Socket::new(domain, Type::STREAM, None).ok()?;
    // Then a host can still listen there.
    #[cfg(unix)]
    socket.set_reuse_address(true).ok()?;
    socket.bind(&address.into()).ok()?;
    Some(socket)
}
