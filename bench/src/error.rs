//! What stops the benchmark, or one of its runs.

use std::{fmt, io, path::PathBuf};

/// What stops the benchmark, or one of its runs.
#[derive(Debug)]
pub enum BenchError {
    /// A file or program could not be dealt with.
    Io(&'static str, PathBuf, io::Error),
    /// A program said something that cannot be understood, or did not do what it must.
    Program(String),
    /// A plot could not be drawn.
    Plot(PathBuf, String),
    /// The person at the keyboard, or the system, has asked for the end.
    Stopped,
}

/// For `map_err`: a failed operation on this path.
pub fn failed(
    operation: &'static str,
    path: impl Into<PathBuf>,
) -> impl FnOnce(io::Error) -> BenchError {
    let path = path.into();
    move |error| BenchError::Io(operation, path, error)
}

impl fmt::Display for BenchError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(operation, path, error) => {
                write!(out, "cannot {operation} {}: {error}", path.display())
            }
            Self::Program(what) => out.write_str(what),
            Self::Plot(path, error) => write!(out, "cannot draw {}: {error}", path.display()),
            Self::Stopped => out.write_str("stopped"),
        }
    }
}

impl std::error::Error for BenchError {}
