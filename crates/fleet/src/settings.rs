//! The settings of a host's membership in a fleet.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use protocol::Limits;

/// The settings of a host's membership in a fleet.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The addresses of NATS servers, as `nats://HOST:4222` or `tls://HOST:4222`.
    pub servers: Vec<String>,
    /// The fleet's name: hosts of other fleets on the same servers are not seen.
    pub fleet: String,
    /// This host's name, for people.
    pub host: String,
    /// The addresses that this host serves on.
    pub addresses: Vec<SocketAddr>,
    /// The way in which this host logs in to the servers.
    pub credentials: Credentials,
    /// A file of root certificates for `tls://`, besides those of the system.
    pub roots: Option<PathBuf>,
    /// The longest time that a call of another host may take.
    pub call_timeout: Duration,
    /// The limits of a request of another host.
    pub limits: Limits,
    /// The largest reply to another host, in bytes.
    pub max_reply: usize,
    /// The time after which a call of another host is logged as slow; zero for never.
    pub slow_call: Duration,
    /// True if a file that is put into the plugins folder is offered to the other hosts.
    pub publish: bool,
    /// The time for which one host serves a new version of a plugin before the others take it;
    /// zero: only until it is served.
    pub canary: Duration,
}

/// The way in which a host logs in to the NATS servers.
#[derive(Clone, Debug, Default)]
pub enum Credentials {
    /// By the name and the password in the address, if there are any.
    #[default]
    None,
    /// By a credentials file, which has a user's JWT and seed.
    File(PathBuf),
    /// By a file with the seed of an nkey.
    Nkey(PathBuf),
}
