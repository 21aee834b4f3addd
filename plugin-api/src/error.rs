//! What a worker returns when it cannot answer.

use std::{borrow::Cow, fmt};

/// A worker's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error reply: a kind for programs (`ERR`, `WRONGTYPE`) and a message for people.
///
/// Every [`std::error::Error`] turns into one with `?`; for that to be possible this type cannot
/// itself implement the trait.
#[derive(Clone, PartialEq, Eq)]
pub struct Error {
    kind: Cow<'static, str>,
    message: String,
}

impl Error {
    /// An error of the kind `ERR`.
    pub fn new(message: impl Into<String>) -> Self {
        Self::with_kind("ERR", message)
    }

    /// An error of another kind: by custom one word in capitals.
    pub fn with_kind(kind: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self { kind: kind.into(), message: message.into() }
    }

    /// What a worker returns that has stopped early, see
    /// [`Request::cancelled`](crate::Request::cancelled).
    pub fn cancelled(message: impl Into<String>) -> Self {
        Self::with_kind("CANCELLED", message)
    }

    /// The kind.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The message.
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
