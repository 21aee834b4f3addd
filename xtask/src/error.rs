//! The error that ends a task.

use std::{io, path::PathBuf};

/// The error that ends a task.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// An operation on a file or program failed.
    #[error("cannot {0} {path}: {2}", path = .1.display())]
    Io(&'static str, PathBuf, #[source] io::Error),
    /// The request is not valid.
    #[error("{0}")]
    Refused(String),
    /// A program failed.
    #[error("{0} failed")]
    Failed(String),
    /// More tests are left out than allowed.
    #[error("the left-out tests differ from tests/left-out.toml: {}", .0.join("; "))]
    LeftOut(Vec<String>),
    /// The measuring tool itself does not work, so there is no result.
    #[error("{0}")]
    Unsound(String),
    /// A program is missing; how to install it.
    #[error("{0} is missing; install it: {1}")]
    Missing(String, &'static str),
}
