//! A port that stays this test's.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use socket2::{Domain, Socket, Type};

/// A port of the loopback addresses that no other process is given for as long as this lives. Until
/// a host listens there, and again when it has ended, connections are refused. Windows lets nobody
/// listen at a port that is held, so that there it is only one that was free.
pub struct Port {
    number: u16,
    /// Bound, and never listening.
    _sockets: Option<[Socket; 2]>,
}

impl Port {
    /// Holds a port that was free.
    ///
    /// # Panics
    /// Where none is.
    #[must_use]
    pub fn hold() -> Self {
        // It may be taken at the other address.
        let held = (0..100).find_map(|_| {
            let four = bind(Domain::IPV4, (Ipv4Addr::LOCALHOST, 0).into())?;
            let number = four.local_addr().ok()?.as_socket()?.port();
            let six = bind(Domain::IPV6, (Ipv6Addr::LOCALHOST, number).into())?;
            Some(Self { number, _sockets: Some([four, six]).filter(|_| cfg!(unix)) })
        });
        held.expect("a port is free")
    }

    /// Its number.
    #[must_use]
    pub fn number(&self) -> u16 {
        self.number
    }
}

fn bind(domain: Domain, address: SocketAddr) -> Option<Socket> {
    let socket = Socket::new(domain, Type::STREAM, None).ok()?;
    // A host can then listen there all the same.
    #[cfg(unix)]
    socket.set_reuse_address(true).ok()?;
    socket.bind(&address.into()).ok()?;
    Some(socket)
}
