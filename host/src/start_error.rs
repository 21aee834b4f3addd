//! Why a host cannot start.

use std::{fmt, io};

use crate::{listen::ListenError, state_dir::StateDirError};

/// Why the host cannot start.
#[derive(Debug)]
pub enum StartError {
    /// An address cannot be served on.
    Listen(ListenError),
    /// There is no state directory to work in.
    StateDir(StateDirError),
    /// The system refused something.
    System(&'static str, io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen(error) => error.fmt(out),
            Self::StateDir(error) => error.fmt(out),
            Self::System(operation, error) => write!(out, "the host cannot {operation}: {error}"),
        }
    }
}

impl std::error::Error for StartError {}
