//! The ways in which the host gives its sessions threads.

use crate::plan::Contestant;

/// A value of the host's flag `--threads`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threads {
    /// A thread for each client, which is the host's default.
    PerClient,
    /// A thread for each processor, which serves many clients.
    Shared,
}

impl Threads {
    /// Both, in the order of the report.
    pub const ALL: [Self; 2] = [Self::PerClient, Self::Shared];

    /// Returns its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::PerClient => "per-client",
            Self::Shared => "shared",
        }
    }

    /// Returns the host's plugin with these threads.
    pub fn contestant(self) -> Contestant {
        match self {
            Self::PerClient => Contestant::HostPlugin,
            Self::Shared => Contestant::HostShared,
        }
    }
}
