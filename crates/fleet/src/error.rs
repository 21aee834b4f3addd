//! The reasons for which a host cannot become a member of a fleet.

use std::{io, path::PathBuf};

/// The reason for which a host cannot become a member of a fleet. A server that cannot be reached
/// is none: the host tries again until it can.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The name cannot be a part of a subject.
    #[error(
        "the fleet's name '{}' is not valid: use 1 to 64 of a-z A-Z 0-9 - _",
        .0.escape_debug()
    )]
    Name(String),
    /// The name of this host cannot be told from others in a list.
    #[error(
        "the host's name '{}' in the fleet is not valid: use 1 to 128 characters without spaces \
         (--fleet-host)",
        .0.escape_debug()
    )]
    HostName(String),
    /// An address of a server is none.
    #[error("cannot use the NATS server '{server}': {source}; write it as nats://HOST:4222")]
    Server {
        /// The address.
        server: String,
        /// The cause.
        source: io::Error,
    },
    /// A file with credentials or certificates cannot be read.
    #[error("cannot read {} ({flag}): {source}", path.display())]
    File {
        /// The flag that names it.
        flag: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A file holds no seed of an nkey.
    #[error("{} holds no seed of a NATS user's nkey: {source}; `nk -gen user` makes one", path.display())]
    Seed {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: nkeys::error::Error,
    },
    /// The fleet's thread cannot be started.
    #[error("cannot start the fleet's thread: {0}")]
    Thread(#[source] io::Error),
    /// The NATS client refuses the settings.
    #[error("cannot connect to the fleet's NATS servers: {0}")]
    Connect(#[source] async_nats::ConnectError),
}
