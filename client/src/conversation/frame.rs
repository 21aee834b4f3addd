//! Finds the end of a RESP3 frame while it still arrives.
//!
//! The decoder needs a complete frame and starts over on every call. The scanner reads each
//! header once, so that a reply of hundreds of MiB takes linear time. It also bounds the nesting
//! before the recursive decoder starts.

use std::fmt;

/// The deepest nesting of a reply.
const MAX_DEPTH: usize = 64;
/// The longest line of a length, in bytes; no number needs more.
const MAX_LENGTH_LINE: usize = 32;

/// Bytes that are no RESP3 frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// No type of frame starts with this byte.
    Type(u8),
    /// A length is no number, or too large for this machine.
    Length,
    /// A string is longer than its length says.
    Terminator,
    /// Lists are nested too deep.
    Depth,
    /// The decoder reports another error.
    Content(String),
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Type(byte) => write!(f, "no reply starts with '{}'", byte.escape_ascii()),
            Self::Length => f.write_str("invalid length"),
            Self::Terminator => f.write_str("a string does not end where its length says"),
            Self::Depth => write!(f, "a reply nests more than {MAX_DEPTH} levels deep"),
            Self::Content(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for FrameError {}

/// The progress in a growing buffer: the part of the current frame that is well formed.
#[derive(Debug, Default)]
pub struct Scanner {
    /// The start of the next header.
    at: usize,
    /// No line end was found between `at` and here.
    searched: usize,
    /// The end of the string whose header was read.
    body_end: Option<usize>,
    /// The number of missing values of each open list.
    open: Vec<usize>,
    /// The starts of the frame's sets.
    sets: Vec<usize>,
}

/// A complete frame.
#[derive(Debug, PartialEq, Eq)]
pub struct FoundFrame {
    /// The length of the frame.
    pub end: usize,
    /// The positions of the bytes that open its sets.
    pub sets: Vec<usize>,
}

impl Scanner {
    /// Finds the frame at the start of `buffer`; `None` when more bytes are needed.
    ///
    /// The next call must pass the same bytes with more behind them. After a found frame, the next
    /// one starts at 0.
    pub fn scan(&mut self, buffer: &[u8]) -> Result<Option<FoundFrame>, FrameError> {
        loop {
            if let Some(end) = self.body_end {
                if buffer.len() < end {
                    return Ok(None);
                }
                if !buffer[..end].ends_with(b"\r\n") {
                    return Err(FrameError::Terminator);
                }
                self.body_end = None;
                self.at = end;
            } else if !self.read_header(buffer)? {
                return Ok(None);
            }
            if self.body_end.is_none() && self.end_value() {
                let scanned = std::mem::take(self);
                return Ok(Some(FoundFrame { end: scanned.at, sets: scanned.sets }));
            }
        }
    }

    /// Reads the header at `at`; false when it is not complete.
    fn read_header(&mut self, buffer: &[u8]) -> Result<bool, FrameError> {
        let Some(&kind) = buffer.get(self.at) else { return Ok(false) };
        let measured = match kind {
            b'+' | b'-' | b':' | b',' | b'#' | b'_' | b'(' => false,
            b'$' | b'!' | b'=' | b'*' | b'~' | b'>' | b'%' | b'|' => true,
            other => return Err(FrameError::Type(other)),
        };
        let from = self.searched.max(self.at + 1);
        let found = buffer[from..].windows(2).position(|pair| pair == b"\r\n");
        let line_end = found.map_or(buffer.len(), |position| from + position);
        if measured && line_end - self.at > MAX_LENGTH_LINE {
            return Err(FrameError::Length);
        }
        if found.is_none() {
            // The last byte may be the first half of the line end.
            self.searched = buffer.len().saturating_sub(1);
            return Ok(false);
        }
        if kind == b'~' {
            self.sets.push(self.at);
        }
        let line = &buffer[self.at + 1..line_end];
        self.at = line_end + 2;
        if measured {
            let length = length(line)?;
            let values = match kind {
                b'*' | b'~' | b'>' => length,
                b'%' => length.checked_mul(2).ok_or(FrameError::Length)?,
                // An attribute precedes its value.
                b'|' => length
                    .checked_mul(2)
                    .and_then(|n| n.checked_add(1))
                    .ok_or(FrameError::Length)?,
                _ => {
                    let end = self.at.checked_add(length).and_then(|end| end.checked_add(2));
                    self.body_end = Some(end.ok_or(FrameError::Length)?);
                    return Ok(true);
                }
            };
            // The list itself counts as one more value: it ends together with the last one.
            self.open.push(values.checked_add(1).ok_or(FrameError::Length)?);
            if self.open.len() > MAX_DEPTH {
                return Err(FrameError::Depth);
            }
        }
        Ok(true)
    }

    /// Counts the value or list header that was just read; true at the end of the frame.
    fn end_value(&mut self) -> bool {
        while let Some(missing) = self.open.last_mut() {
            *missing -= 1;
            if *missing > 0 {
                return false;
            }
            self.open.pop();
        }
        true
    }
}

fn length(line: &[u8]) -> Result<usize, FrameError> {
    if line.is_empty() || !line.iter().all(u8::is_ascii_digit) {
        return Err(FrameError::Length);
    }
    let text = std::str::from_utf8(line).map_err(|_| FrameError::Length)?;
    text.parse().map_err(|_| FrameError::Length)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAMES: [&str; 11] = [
        "~2\r\n*1\r\n~0\r\n:1\r\n",
        "+OK\r\n",
        "-ERR no\r\n",
        "_\r\n",
        "$0\r\n\r\n",
        "$5\r\na\r\nbc\r\n",
        "*0\r\n",
        "*2\r\n*0\r\n*2\r\n:1\r\n$1\r\na\r\n",
        "%2\r\n+a\r\n%0\r\n+b\r\n*1\r\n#t\r\n",
        "|1\r\n+ttl\r\n:3\r\n*2\r\n:1\r\n|0\r\n:2\r\n",
        ">2\r\n+notice\r\n$3\r\nbye\r\n",
    ];

    fn found(frame: &str) -> Result<Option<FoundFrame>, FrameError> {
        let sets = frame.match_indices('~').map(|(position, _)| position).collect();
        Ok(Some(FoundFrame { end: frame.len(), sets }))
    }

    #[test]
    fn end_of_each_frame_is_found() {
        for frame in FRAMES {
            let both = format!("{frame}:7\r\n");
            assert_eq!(Scanner::default().scan(both.as_bytes()), found(frame), "{frame:?}");
        }
    }

    #[test]
    fn frames_can_arrive_byte_by_byte() {
        for frame in FRAMES {
            let mut scanner = Scanner::default();
            for end in 0..frame.len() {
                assert_eq!(scanner.scan(&frame.as_bytes()[..end]), Ok(None), "{frame:?} {end}");
            }
            assert_eq!(scanner.scan(frame.as_bytes()), found(frame), "{frame:?}");
            assert_eq!(scanner.scan(b":1\r\n"), found(":1\r\n"));
        }
    }

    #[test]
    fn invalid_bytes_are_rejected_early() {
        let scan = |bytes: &str| Scanner::default().scan(bytes.as_bytes());
        assert_eq!(scan("HTTP/1.1"), Err(FrameError::Type(b'H')));
        for bytes in ["$-1\r\n", "$\r\n", "*x\r\n", "*?\r\n", "%99999999999999999999\r\n"] {
            assert_eq!(scan(bytes), Err(FrameError::Length), "{bytes}");
        }
        assert_eq!(scan(&format!("${}", "1".repeat(40))), Err(FrameError::Length));
        assert_eq!(scan(&format!("%{}\r\n", usize::MAX)), Err(FrameError::Length));
        assert_eq!(scan("$1\r\nabc"), Err(FrameError::Terminator));
        assert_eq!(scan(&"*1\r\n".repeat(65)), Err(FrameError::Depth));
    }
}
