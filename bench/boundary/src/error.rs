//! What stops a measurement.

use std::{fmt, io, path::PathBuf};

/// What stops a measurement.
#[derive(Debug)]
pub enum BoundaryError {
    /// A file or program could not be dealt with.
    Io(&'static str, PathBuf, io::Error),
    /// The host's library did not do what it was asked to.
    Host(&'static str, String),
    /// valgrind is not there.
    NoValgrind,
    /// A program said something that cannot be understood, or failed.
    Program(String),
    /// The counts in the file cannot be understood.
    Counts(PathBuf, String),
    /// More or fewer instructions than the file says.
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
                out.write_str("there is no valgrind; get it by: apt-get install valgrind")
            }
            Self::Program(what) => out.write_str(what),
            Self::Counts(path, error) => {
                write!(out, "cannot understand {}: {error}", path.display())
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
