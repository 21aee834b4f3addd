//! Splits a line into arguments, as the host splits its plain lines.

use protocol::RequestError;

/// A line that cannot be split.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuotingError {
    /// A quote is not closed, or is closed within a word.
    #[error("unbalanced quotes: close each quote, at the end of its word")]
    Unbalanced,
    /// The line has another mistake.
    #[error(transparent)]
    Other(RequestError),
}

/// Returns the arguments of a line; a blank line has none.
pub fn split(line: &[u8]) -> Result<Vec<Vec<u8>>, QuotingError> {
    protocol::quoting::split(line).map_err(|error| match error {
        RequestError::UnbalancedQuotes => QuotingError::Unbalanced,
        error => QuotingError::Other(error),
    })
}
