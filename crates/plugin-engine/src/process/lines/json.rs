//! A JSON value as text.

use serde_json::value::RawValue;

/// A valid JSON value as the text that it was written in, on one line.
///
/// As text it takes no more memory than the line that it came in, keeps the order of a map's keys,
/// and numbers of any size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Json(Box<str>);

impl Json {
    /// Parses a value, which may have white space around it and between its parts.
    ///
    /// # Errors
    /// The bytes are not one JSON value in UTF-8.
    pub fn parse(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let raw: &RawValue = serde_json::from_slice(bytes)?;
        Ok(Self::copy(raw))
    }

    /// Copies a value that is already parsed.
    pub(super) fn copy(raw: &RawValue) -> Self {
        // A line end is white space here: in a string it would be escaped.
        match raw.get() {
            text if text.contains('\n') => Self(text.replace('\n', " ").into()),
            text => Self(text.into()),
        }
    }

    /// Returns its text, which has no line end.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns true if it is `null`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        &*self.0 == "null"
    }
}
