//! The errors of a host's start.

use std::io;

use auth::{certificate::CertificateError, key_file::KeyFileError};
use plugin_engine::files::trust_policy::TrustPolicyError;

use crate::{
    net::listener::ListenError,
    runtime::{membership::MembershipError, state_dir::StateDirError},
};

/// An error for which the host cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The host cannot listen on an address.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The state directory cannot be used.
    #[error(transparent)]
    StateDir(#[from] StateDirError),
    /// The key file cannot be read.
    #[error(transparent)]
    Keys(#[from] KeyFileError),
    /// The plugin trust policy cannot be set up.
    #[error(transparent)]
    Plugins(#[from] TrustPolicyError),
    /// The settings of a plugin cannot be put in force.
    #[error("wrong settings of a plugin: {0}")]
    PluginSettings(String),
    /// The certificate for TLS cannot be read or made.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The host cannot become a member of a fleet.
    #[error(transparent)]
    Fleet(#[from] MembershipError),
    /// A system call failed: the operation, and the cause.
    #[error("cannot {0}: {1}")]
    System(&'static str, #[source] io::Error),
}

#[cfg(test)]
mod tests {
    use std::{error::Error, fs};

    use super::*;
    use crate::runtime::state_dir::StateDir;

    #[test]
    fn unusable_state_directory_error_keeps_its_cause() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("file");
        fs::write(&file, b"").unwrap();
        let error = StateDir::lock(Some(file.join("state")), 5000).err().unwrap();
        let error = StartError::from(error);
        let mut cause: &(dyn Error + 'static) = &error;
        while let Some(source) = cause.source() {
            cause = source;
        }
        assert!(cause.is::<io::Error>(), "{error:?}");
    }
}
