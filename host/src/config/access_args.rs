//! The flags that control access.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use auth::{network::Network, trust::Trust};

use super::units::seconds;

/// The access rules for clients.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Access")]
pub struct AccessArgs {
    /// The clients that need no key, by their address.
    #[arg(long, env = "DROPIN_TRUST", value_name = "WHOM", value_enum,
          default_value_t = Trust::Loopback)]
    pub trust: Trust,

    /// A proxy in front of the host, by its address or network, such as 10.0.0.0/24. May be
    /// repeated. A connection from there must begin with a header of the PROXY protocol, version 1
    /// or 2, and counts as one of the client that it names. No other connection may have a header.
    #[arg(long, value_name = "ADDR")]
    pub proxy_from: Vec<Network>,

    /// The certificate for TLS (PEM). Default: one that the host makes itself.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,

    /// The certificate's private key (PEM). Other users must not be able to read it.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,

    /// The longest time that a TLS handshake may take, the time in which a client that is not
    /// trusted must log in, and the time in which a proxy must send its header, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub login_timeout: Duration,
}

impl AccessArgs {
    /// Returns whether this is the address of a proxy, whose connections begin with a header.
    pub fn is_proxy(&self, address: IpAddr) -> bool {
        self.proxy_from.iter().any(|network| network.contains(address))
    }
}
