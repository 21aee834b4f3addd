//! Parsing of RESP replies.

use std::fmt;

/// One RESP2 or RESP3 value.
#[derive(Clone, PartialEq)]
pub enum Frame {
    Status(String),
    Error(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    Null,
    Text(Vec<u8>),
    List(Vec<Frame>),
    Map(Vec<(Frame, Frame)>),
    Push(Vec<Frame>),
}

impl Frame {
    /// Returns `+OK`.
    #[must_use]
    pub fn ok() -> Self {
        Self::Status("OK".into())
    }

    /// Returns a bulk string.
    #[must_use]
    pub fn text(text: impl AsRef<[u8]>) -> Self {
        Self::Text(text.as_ref().into())
    }

    /// Returns an error with kind and message.
    #[must_use]
    pub fn error(text: &str) -> Self {
        Self::Error(text.into())
    }

    /// Returns an array of bulk strings.
    #[must_use]
    pub fn texts(items: &[&str]) -> Self {
        Self::List(items.iter().map(Self::text).collect())
    }

    /// Returns the text of a bulk string.
    ///
    /// # Panics
    /// The value is no bulk string.
    #[must_use]
    #[track_caller]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Text(bytes) => std::str::from_utf8(bytes).expect("it is text"),
            Self::Status(text) | Self::Error(text) => text,
            other => panic!("not a text: {other:?}"),
        }
    }

    /// Returns the integer.
    ///
    /// # Panics
    /// The value is no integer.
    #[must_use]
    #[track_caller]
    pub fn as_integer(&self) -> i64 {
        match self {
            Self::Integer(value) => *value,
            other => panic!("not an integer: {other:?}"),
        }
    }

    /// Returns the items of an array.
    ///
    /// # Panics
    /// The value is no array.
    #[must_use]
    #[track_caller]
    pub fn items(&self) -> &[Self] {
        match self {
            Self::List(items) => items,
            other => panic!("not a list: {other:?}"),
        }
    }

    /// Returns the value under a key of a map, or of a RESP2 array that represents one.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        let key = Self::text(key);
        match self {
            Self::Map(pairs) => pairs.iter().find(|pair| pair.0 == key).map(|pair| &pair.1),
            Self::List(items) => {
                items.chunks_exact(2).find(|pair| pair[0] == key).map(|pair| &pair[1])
            }
            _ => None,
        }
    }

    /// Parses one value at the start of the bytes, and returns its length too. `None` where it is
    /// incomplete.
    ///
    /// # Panics
    /// The bytes are no RESP.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<(Self, usize)> {
        let end = bytes.windows(2).position(|pair| pair == b"\r\n")?;
        let line = std::str::from_utf8(&bytes[1..end]).expect("a header is text");
        let number = || line.parse::<i64>().expect("a number in a header");
        let mut at = end + 2;
        let frame = match bytes[0] {
            b'+' => Self::Status(line.into()),
            b'-' => Self::Error(line.into()),
            b':' => Self::Integer(number()),
            b',' => Self::Float(line.parse().expect("a float")),
            b'#' => Self::Boolean(line == "t"),
            b'_' => Self::Null,
            b'$' | b'*' if line == "-1" => Self::Null,
            b'$' => {
                let length = usize::try_from(number()).expect("a length");
                let text = bytes.get(at..at + length + 2)?.strip_suffix(b"\r\n");
                at += length + 2;
                Self::Text(text.expect("a CRLF behind a bulk string").into())
            }
            mark @ (b'*' | b'>' | b'%') => {
                let count = usize::try_from(number()).expect("a count");
                let mut item = || {
                    let (item, taken) = Self::read(bytes.get(at..)?)?;
                    at += taken;
                    Some(item)
                };
                match mark {
                    b'%' => Self::Map(
                        (0..count).map(|_| Some((item()?, item()?))).collect::<Option<_>>()?,
                    ),
                    b'*' => Self::List((0..count).map(|_| item()).collect::<Option<_>>()?),
                    _ => Self::Push((0..count).map(|_| item()).collect::<Option<_>>()?),
                }
            }
            other => panic!("no RESP value starts with {:?}", char::from(other)),
        };
        Some((frame, at))
    }
}

impl From<i64> for Frame {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl From<&str> for Frame {
    fn from(value: &str) -> Self {
        Self::text(value)
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(text) => write!(out, "+{text}"),
            Self::Error(text) => write!(out, "-{text}"),
            Self::Integer(value) => write!(out, "{value}"),
            Self::Float(value) => write!(out, "{value:?}"),
            Self::Boolean(value) => write!(out, "{value}"),
            Self::Null => out.write_str("null"),
            Self::Text(bytes) => write!(out, "\"{}\"", bytes.escape_ascii()),
            Self::List(items) => out.debug_list().entries(items).finish(),
            Self::Map(pairs) => out.debug_map().entries(pairs.iter().map(|(k, v)| (k, v))).finish(),
            Self::Push(items) => {
                out.write_str("push ")?;
                out.debug_list().entries(items).finish()
            }
        }
    }
}
