//! The errors of a measurement.

use std::{fmt, io, path::PathBuf};

/// The error that ends a measurement.
#[derive(Debug)]
pub enum BoundaryError {
    /// An operation on a file or program failed.
    Io(&'static str, PathBuf, io::Error),
    /// An operation of the host's library failed.
    Host(&'static str, String),
    /// valgrind is missing.
    NoValgrind,
    /// A program failed, or its output cannot be parsed.
    Program(String),
    /// The counts in the file cannot be parsed.
    Counts(PathBuf, String),
    /// The counts differ from the file.
    Changed(String),
}

impl fmt::Display for BoundaryError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(operation, path, error) => {
                write!(out, "cannot {operation} {}: {error}", path.display())
            }
            Self::Host(operation, error) => write!(out, "cannot {operation}: {error}"),
            Self::NoValgrind => {
                out.write_str("valgrind is missing; install it: apt-get install valgrind")
            }
            Self::Program(what) => out.write_str(what),
            Self::Counts(path, error) => {
                write!(out, "cannot parse {}: {error}", path.display())
            }
            Self::Changed(what) => out.write_str(what),
        }
    }
}

impl std::error::Error for BoundaryError {}

impl From<serde_json::Error> for BoundaryError {
    fn from(error: serde_json::Error) -> Self {
        Self::Program(error.to_string())
    }
}
