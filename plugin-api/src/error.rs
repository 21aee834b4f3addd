//! The error that a worker returns.

use std::{borrow::Cow, fmt};

/// The result of a worker.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error reply: a kind for programs (`ERR`, `WRONGTYPE`) and a message for people.
///
/// Every [`std::error::Error`] converts into this type with `?`. Therefore this type cannot
/// implement that trait itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Error {
    kind: Cow<'static, str>,
    message: String,
}

impl Error {
    /// Creates an error of the kind `ERR`.
    pub fn new(message: impl Into<String>) -> Self {
        Self::with_kind("ERR", message)
    }

    /// Creates an error of another kind: by convention one word in capitals.
    pub fn with_kind(kind: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self { kind: kind.into(), message: message.into() }
    }

    /// Creates the error of a worker that has stopped early. See
    /// [`Request::cancelled`](crate::Request::cancelled).
    pub fn cancelled(message: impl Into<String>) -> Self {
        Self::with_kind("CANCELLED", message)
    }

    /// Returns the kind.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// Returns the message.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}", self.kind, self.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

impl<E: std::error::Error> From<E> for Error {
    fn from(error: E) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            message.push_str(": ");
            message.push_str(&cause.to_string());
            source = cause.source();
        }
        Self::new(message)
    }
}
