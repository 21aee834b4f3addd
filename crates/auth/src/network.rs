//! A network of addresses, or a single one.

use std::{fmt, net::IpAddr, str::FromStr};

use ipnet::{IpNet, Ipv4Net};

/// The bits of the prefix that IPv4-mapped IPv6 addresses share.
const MAPPED: u8 = 96;

/// A network of addresses, such as `10.0.0.0/24`. A single address is a network of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(IpNet);

/// The reason for which a text names no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// It is neither an address nor a network.
    #[error("cannot read '{0}' as an address or a network, such as 10.0.0.7 or 10.0.0.0/24")]
    Unreadable(String),
    /// It is an address within a network, and the whole network may not be meant.
    #[error("cannot use '{text}' as a network: write {network} for all of it, or {address} alone")]
    Within {
        /// The text.
        text: String,
        /// The network.
        network: IpNet,
        /// The address.
        address: IpAddr,
    },
}

impl Network {
    /// Returns whether an address belongs to the network. An IPv4-mapped IPv6 address counts as
    /// IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }

    /// Returns whether the network has every address of its family.
    #[must_use]
    pub fn has_all(&self) -> bool {
        self.0.prefix_len() == 0
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self(address.to_canonical().into()));
        }
        let network: IpNet = text.parse().map_err(|_| NetworkError::Unreadable(text.to_owned()))?;
        if network.trunc() != network {
            let (network, address) = (network.trunc(), network.addr());
            return Err(NetworkError::Within { text: text.to_owned(), network, address });
        }
        Ok(Self(to_canonical(network)))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.prefix_len() == self.0.max_prefix_len() {
            self.0.addr().fmt(out)
        } else {
            self.0.fmt(out)
        }
    }
}

/// Converts a network of IPv4-mapped IPv6 addresses to one of IPv4.
fn to_canonical(network: IpNet) -> IpNet {
    let prefix = network.prefix_len().checked_sub(MAPPED);
    match (network.addr().to_canonical(), prefix) {
        (IpAddr::V4(address), Some(prefix)) if network.addr().is_ipv6() => {
            Ipv4Net::new(address, prefix).map_or(network, IpNet::V4)
        }
        _ => network,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    #[test]
    fn network_contains_its_addresses_only() {
        for (text, inside, outside) in [
            ("10.0.0.7", &["10.0.0.7", "::ffff:10.0.0.7"][..], &["10.0.0.8", "::a00:7"][..]),
            ("10.1.0.0/16", &["10.1.0.0", "10.1.255.255", "::ffff:10.1.2.3"], &["10.2.0.0"]),
            ("::1", &["::1"], &["127.0.0.1", "::2"]),
            ("fd00::/8", &["fd00::1", "fdff::"], &["fe00::", "10.0.0.1"]),
            ("::ffff:10.0.0.7", &["10.0.0.7"], &["10.0.0.8"]),
            ("::ffff:10.0.0.0/104", &["10.9.9.9", "::ffff:10.9.9.9"], &["11.0.0.0"]),
            ("0.0.0.0/0", &["0.0.0.0", "203.0.113.7"], &["::1"]),
        ] {
            let network = network(text);
            let contains = |address: &&str| network.contains(address.parse().unwrap());
            assert!(inside.iter().all(contains), "{text}: {network}");
            assert!(!outside.iter().any(contains), "{text}: {network}");
        }
        assert!(network("::/0").has_all() && !network("::/1").has_all());
        assert_eq!(network("10.0.0.7/32").to_string(), "10.0.0.7");
    }

    #[test]
    fn unclear_networks_are_refused() {
        for text in ["", "localhost", "10.0.0", "10.0.0.0/33", "10.0.0.0/", "/8", "10.0.0.7:80"] {
            assert_eq!(text.parse::<Network>(), Err(NetworkError::Unreadable(text.to_owned())));
        }
        let error = "10.0.0.7/8".parse::<Network>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot use '10.0.0.7/8' as a network: write 10.0.0.0/8 for all of it, or 10.0.0.7 alone"
        );
    }
}
