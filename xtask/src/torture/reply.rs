//! Replies of the host in RESP2, and commands in it.

use std::io::{self, BufRead};

/// A reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// An error: its text.
    Error(String),
    /// An integer.
    Integer(i64),
    /// A text.
    Text(Vec<u8>),
    /// No value.
    Nothing,
    /// Several replies.
    Array(Vec<Reply>),
}

impl Reply {
    /// Reads one reply.
    ///
    /// # Errors
    /// The connection ended, or the bytes are no reply.
    pub fn read(input: &mut impl BufRead) -> io::Result<Self> {
        let mut line = Vec::new();
        input.read_until(b'\n', &mut line)?;
        let line = line.strip_suffix(b"\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
        let (kind, rest) = line.split_first().ok_or_else(no_reply)?;
        let text = || String::from_utf8_lossy(rest).into_owned();
        let number = || text().parse::<i64>().map_err(|_| no_reply());
        Ok(match kind {
            b'+' => Self::Text(rest.to_owned()),
            b'-' => Self::Error(text()),
            b':' => Self::Integer(number()?),
            b'$' | b'*' if number()? < 0 => Self::Nothing,
            b'$' => {
                let mut bytes = vec![0; usize::try_from(number()?).map_err(|_| no_reply())? + 2];
                input.read_exact(&mut bytes)?;
                bytes.truncate(bytes.len() - 2);
                Self::Text(bytes)
            }
            b'*' => {
                let all: io::Result<_> = (0..number()?).map(|_| Self::read(input)).collect();
                Self::Array(all?)
            }
            _ => return Err(no_reply()),
        })
    }

    /// Returns the error in it, also that of one of several replies.
    pub fn error(&self) -> Option<&str> {
        match self {
            Self::Error(text) => Some(text),
            Self::Array(all) => all.iter().find_map(Self::error),
            _ => None,
        }
    }

    /// Returns all texts in it, in order.
    pub fn texts(&self) -> Vec<String> {
        match self {
            Self::Text(bytes) => vec![String::from_utf8_lossy(bytes).into_owned()],
            Self::Integer(number) => vec![number.to_string()],
            Self::Array(all) => all.iter().flat_map(Self::texts).collect(),
            Self::Nothing => vec![String::new()],
            Self::Error(_) => Vec::new(),
        }
    }
}

/// Appends a command.
pub fn put_command<Part: AsRef<[u8]>>(out: &mut Vec<u8>, parts: &[Part]) {
    out.extend_from_slice(format!("*{}\r\n", parts.len()).as_bytes());
    for part in parts {
        let part = part.as_ref();
        out.extend_from_slice(format!("${}\r\n", part.len()).as_bytes());
        out.extend_from_slice(part);
        out.extend_from_slice(b"\r\n");
    }
}

fn no_reply() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "no reply in RESP2")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_read() {
        let mut input = &b"*4\r\n:-7\r\n$3\r\na\r\n\r\n$-1\r\n-ERR no\r\n+OK\r\n"[..];
        let read = Reply::read(&mut input).unwrap();
        let expected = [
            Reply::Integer(-7),
            Reply::Text(b"a\r\n".to_vec()),
            Reply::Nothing,
            Reply::Error("ERR no".into()),
        ];
        assert_eq!(read, Reply::Array(expected.into()));
        assert_eq!(read.error(), Some("ERR no"));
        assert_eq!(Reply::read(&mut input).unwrap().texts(), ["OK"]);
        assert!(Reply::read(&mut input).is_err(), "the input has ended");
    }
}
