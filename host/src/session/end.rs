//! How a session ended.

use std::{fmt, io};

/// How a session ended.
#[derive(Debug)]
pub enum End {
    /// The client closed its side.
    ClosedByClient,
    /// The client sent `close`.
    Asked,
    /// The host is ending.
    Shutdown,
    /// The client did not log in in time.
    NoLogin,
    /// The client's key is no longer valid.
    Dismissed,
    /// What the client sent could not be understood.
    BrokenProtocol,
    /// The connection failed, or the client did not read its replies in time.
    Lost(io::Error),
}

impl fmt::Display for End {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClosedByClient => out.write_str("closed by the client"),
            Self::Asked => out.write_str("the client asked for it"),
            Self::Shutdown => out.write_str("the host is ending"),
            Self::NoLogin => out.write_str("no login in time"),
            Self::Dismissed => out.write_str("its key is no longer valid"),
            Self::BrokenProtocol => out.write_str("broken protocol"),
            Self::Lost(error) => write!(out, "lost: {error}"),
        }
    }
}
