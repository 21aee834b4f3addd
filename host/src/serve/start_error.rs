//! The errors of a host's start.

use std::{fmt, io};

use auth::{certificate::CertificateError, key_file::KeyFileError};
use plugin_engine::files::trust_policy::TrustPolicyError;

use crate::{net::listener::ListenError, runtime::state_dir::StateDirError};

/// An error for which the host cannot start.
#[derive(Debug)]
pub enum StartError {
    /// The host cannot listen on an address.
    Listen(ListenError),
    /// The state directory cannot be used.
    StateDir(StateDirError),
    /// The key file cannot be read.
    Keys(KeyFileError),
    /// The plugin trust policy cannot be set up.
    Plugins(TrustPolicyError),
    /// The certificate for TLS cannot be read or made.
    Certificate(CertificateError),
    /// A system call failed: the operation, and the cause.
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
            Self::System(operation, error) => write!(out, "cannot {operation}: {error}"),
        }
    }
}

impl std::error::Error for StartError {}
