//! The errors of the benchmark, or of one of its runs.

use std::{error::Error, io, path::PathBuf};

use plotters::drawing::DrawingAreaErrorKind;

/// The error that ends the benchmark, or one of its runs.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// An operation on a file or program failed.
    #[error("cannot {0} {path}: {2}", path = .1.display())]
    Io(&'static str, PathBuf, #[source] io::Error),
    /// A program failed, or its output cannot be parsed.
    #[error("{0}")]
    Program(String),
    /// As `Program`, with the cause, which the text contains.
    #[error("{0}")]
    Caused(String, #[source] Box<dyn Error + Send + Sync>),
    /// A plot could not be drawn.
    #[error("cannot draw {path}: {1}", path = .0.display())]
    Plot(PathBuf, #[source] DrawingAreaErrorKind<io::Error>),
    /// The user, or the system, has interrupted the benchmark.
    #[error("stopped")]
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::results::Results;

    #[test]
    fn unreadable_results_have_their_cause_as_source() {
        let temp = tempfile::tempdir().unwrap();
        let folder = Results::read(temp.path()).err().unwrap();
        assert!(folder.source().is_some_and(|cause| cause.is::<io::Error>()), "{folder:?}");
        let file = temp.path().join("results.json");
        fs::write(&file, "{").unwrap();
        let bad = Results::read(&file).err().unwrap();
        assert!(bad.source().is_some_and(|cause| cause.is::<serde_json::Error>()), "{bad:?}");
    }
}
