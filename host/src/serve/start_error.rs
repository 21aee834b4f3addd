//! Why a host cannot start.

use std::{fmt, io};

use auth::{certificate::CertificateError, key_file::KeyFileError};
use plugin_engine::files::trust_policy::TrustPolicyError;

use crate::{net::listener::ListenError, runtime::state_dir::StateDirError};

/// Why the host cannot start.
#[derive(Debug)]
pub enum StartError {
    /// An address cannot be served on.
    Listen(ListenError),
    /// There is no state directory to work in.
    StateDir(StateDirError),
    /// The keys cannot be read.
    Keys(KeyFileError),
    /// No plugin can be admitted.
    Plugins(TrustPolicyError),
    /// There is no certificate for TLS.
    Certificate(CertificateError),
    /// The system refused something.
    System(&'static str, io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen(error) => error.fmt(out),
            Self::StateDir(error) => error.fmt(out),
            Self::Keys(error) => error.fmt(out),
            Self::Plugins(error) => error.fmt(out),
            Self::Certificate(error) => error.fmt(out),
            Self::System(operation, error) => write!(out, "the host cannot {operation}: {error}"),
        }
    }
}

impl std::error::Error for StartError {}
