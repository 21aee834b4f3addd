//! The errors of limits.

use std::{error::Error, io, path::PathBuf};

/// A limit that this system cannot enforce.
#[derive(Debug, thiserror::Error)]
#[error("cannot enforce {limit}: {reason}; {advice}")]
pub struct Unsupported {
    /// The limit as the settings file has it, such as `cpu = 0.5`.
    pub limit: String,
    /// The property of this system that prevents it.
    #[source]
    pub reason: Reason,
    /// The advice to the user.
    pub advice: &'static str,
}

/// The property of a system that prevents a limit.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    /// No control group belongs to this process.
    #[error("no cgroup v2 is delegated to this process")]
    NoCgroup,
    /// The control group of this process cannot be changed by it.
    #[error("{path} is not writable, so that cgroup v2 is not delegated to this process")]
    NotDelegated {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The control group of this process lacks the controller.
    #[error("the cgroup {path} has no controller '{controller}'")]
    NoController {
        /// The group's folder.
        path: PathBuf,
        /// The controller's name.
        controller: &'static str,
    },
    /// Linux gives controllers only to the groups of a group without processes of its own.
    #[error("the cgroup {path} has other processes than the host in it")]
    Shared {
        /// The group's folder.
        path: PathBuf,
    },
    /// A trial of the sandbox failed.
    #[error("{0}")]
    Trial(#[from] ApplyError),
    /// The operating system has no such limit.
    #[error("{0}")]
    System(&'static str),
}

/// A limit that could not be applied to this process.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation}: {source}")]
pub struct ApplyError {
    pub(crate) operation: String,
    pub(crate) source: Box<dyn Error + Send + Sync>,
}

impl ApplyError {
    pub(crate) fn new(
        operation: impl Into<String>,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self { operation: operation.into(), source: source.into() }
    }
}

/// A failed operation on a control group.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// This process cannot make control groups.
    #[error("cannot make a control group: {0}")]
    Unavailable(#[from] Reason),
    /// A file or folder of a group cannot be read or changed.
    #[error("cannot {verb} {path}: {source}")]
    File {
        /// The operation, such as `write`.
        verb: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}
