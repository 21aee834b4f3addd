//! The errors of a measurement.

use std::{error::Error, io, path::PathBuf};

/// The error that ends a measurement.
#[derive(Debug, thiserror::Error)]
pub enum BoundaryError {
    /// An operation on a file or program failed.
    #[error("cannot {0} {path}: {2}", path = .1.display())]
    Io(&'static str, PathBuf, #[source] io::Error),
    /// An operation of the host's library failed.
    #[error("cannot {0}: {1}")]
    Host(&'static str, #[source] Box<dyn Error + Send + Sync>),
    /// valgrind is missing.
    #[error("valgrind is missing; install it: apt-get install valgrind")]
    NoValgrind,
    /// A program failed, or its output cannot be parsed.
    #[error("{0}")]
    Program(String),
    /// The figures cannot be formatted as JSON.
    #[error(transparent)]
    Figures(#[from] serde_json::Error),
    /// The counts in the file cannot be parsed.
    #[error("cannot parse {path}: {1}", path = .0.display())]
    Counts(PathBuf, #[source] Box<dyn Error + Send + Sync>),
    /// The counts differ from the file.
    #[error("{0}")]
    Changed(String),
}
