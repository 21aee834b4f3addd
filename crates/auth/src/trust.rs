//! Trust in clients by their address.

use std::net::IpAddr;

/// The clients that need no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Trust {
    /// No client.
    None,
    /// Clients on this machine.
    Loopback,
    /// Clients on this machine and on the local network: private and link-local addresses.
    Lan,
    /// All clients.
    All,
}

/// The distance of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Distance {
    /// On this machine.
    Loopback,
    /// On a private or link-local address.
    Lan,
    /// Anywhere.
    Beyond,
}

impl Trust {
    /// Returns whether a peer at this address needs no key.
    #[must_use]
    pub fn covers(self, peer: IpAddr) -> bool {
        match self {
            Self::None => false,
            Self::Loopback => distance(peer) == Distance::Loopback,
            Self::Lan => distance(peer) <= Distance::Lan,
            Self::All => true,
        }
    }
}

/// Returns the distance of an address. An IPv4-mapped IPv6 address counts as IPv4.
#[must_use]
pub fn distance(peer: IpAddr) -> Distance {
    let (loopback, lan) = match peer.to_canonical() {
        IpAddr::V4(v4) => (v4.is_loopback(), v4.is_private() || v4.is_link_local()),
        IpAddr::V6(v6) => (v6.is_loopback(), v6.is_unique_local() || v6.is_unicast_link_local()),
    };
    match (loopback, lan) {
        (true, _) => Distance::Loopback,
        (false, true) => Distance::Lan,
        (false, false) => Distance::Beyond,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_level_covers_its_addresses_and_no_others() {
        let loopback = ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"];
        let lan = [
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.1.1",
            "fe80::1",
            "fd00::1",
            "::ffff:192.168.1.1",
        ];
        let beyond = [
            "8.8.8.8",
            "172.32.0.1",
            "172.15.0.1",
            "192.169.0.1",
            "11.0.0.1",
            "100.64.0.1",
            "0.0.0.0",
            "::",
            "2001:db8::1",
            "::ffff:8.8.8.8",
            "::127.0.0.1",
        ];
        for (addresses, trusted_by) in [
            (&loopback[..], &[Trust::Loopback, Trust::Lan, Trust::All][..]),
            (&lan, &[Trust::Lan, Trust::All]),
            (&beyond, &[Trust::All]),
        ] {
            for address in addresses {
                let peer: IpAddr = address.parse().unwrap();
                for trust in [Trust::None, Trust::Loopback, Trust::Lan, Trust::All] {
                    let covered = trusted_by.contains(&trust);
                    assert_eq!(trust.covers(peer), covered, "{address} by {trust:?}");
                }
            }
        }
    }
}
