//! The errors of the benchmark, or of one of its runs.

use std::{fmt, io, path::PathBuf};

/// The error that ends the benchmark, or one of its runs.
#[derive(Debug)]
pub enum BenchError {
    /// An operation on a file or program failed.
    Io(&'static str, PathBuf, io::Error),
    /// A program failed, or its output cannot be parsed.
    Program(String),
    /// A plot could not be drawn.
    Plot(PathBuf, String),
    /// The user, or the system, has interrupted the benchmark.
    Stopped,
}

/// Returns a function for `map_err`: a failed operation on this path.
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
