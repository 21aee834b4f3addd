//! What stops a measurement.

use std::{error::Error, io, path::PathBuf};

/// What stops a measurement.
#[derive(Debug, thiserror::Error)]
pub enum BoundaryError {
    /// A file or program could not be dealt with.
    #[error("cannot {0} {path}: {2}", path = .1.display())]
    Io(&'static str, PathBuf, #[source] io::Error),
    /// The host's library did not do what it was asked to.
    #[error("cannot {0}: {1}")]
    Host(&'static str, #[source] Box<dyn Error + Send + Sync>),
    /// valgrind is not there.
    #[error("there is no valgrind; get it by: apt-get install valgrind")]
    NoValgrind,
    /// A program said something that cannot be understood, or failed.
    #[error("{0}")]
    Program(String),
    /// The figures cannot be formatted as JSON.
    #[error(transparent)]
    Figures(#[from] serde_json::Error),
    /// The counts in the file cannot be understood.
    #[error("cannot understand {path}: {1}", path = .0.display())]
    Counts(PathBuf, #[source] Box<dyn Error + Send + Sync>),
    /// More or fewer instructions than the file says.
    #[error("{0}")]
    Changed(String),
}
