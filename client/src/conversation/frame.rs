//! Finds where a RESP3 frame ends while it still arrives.
//!
//! The decoder wants a complete frame and starts over on every call. Looking only at the headers,
//! and at each of them once, keeps a reply of hundreds of MiB linear, and bounds how deep replies
//! may nest before a recursive decoder sees them.

use std::fmt;

/// How deep a reply may nest.
const MAX_DEPTH: usize = 64;
/// How long the line of a length may be; no number needs more.
const MAX_LENGTH_LINE: usize = 32;

/// Bytes that are no RESP3 frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadFrame {
    /// No type of frame starts with this byte.
    Type(u8),
    /// A length that is no number, or too large for this machine.
    Length,
    /// A string that is longer than its length says.
    Terminator,
    /// Lists within lists, too many of them.
    Depth,
    /// The decoder's own complaint.
    Content(String),
}

impl fmt::Display for BadFrame {
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

/// The place in a growing buffer up to which the current frame is known to be well formed.
#[derive(Debug, Default)]
pub struct Scanner {
    /// Where the next header starts.
    at: usize,
    /// Up to here no line end was found behind `at`.
    searched: usize,
    /// The end of the string whose header was read.
    body_end: Option<usize>,
    /// For each open list, how many of its values are still to come.
    open: Vec<usize>,
    /// Where the frame's sets start.
    sets: Vec<usize>,
}

/// A frame that is complete.
#[derive(Debug, PartialEq, Eq)]
pub struct Found {
    /// Its length.
    pub end: usize,
    /// The positions of the bytes that open its sets.
    pub sets: Vec<usize>,
}

impl Scanner {
    /// The frame at the start of `buffer`, or `None` when more bytes are needed; the next call
    /// must bring the same bytes with more behind them. After a found frame, the scanner is ready
    /// for the next, which starts at 0.
    pub fn scan(&mut self, buffer: &[u8]) -> Result<Option<Found>, BadFrame> {
        loop {
            if let Some(end) = self.body_end {
                if buffer.len() < end {
                    return Ok(None);
                }
                if !buffer[..end].ends_with(b"\r\n") {
                    return Err(BadFrame::Terminator);
                }
                self.body_end = None;
                self.at = end;
            } else if !self.header(buffer)? {
                return Ok(None);
            }
            if self.body_end.is_none() && self.value_is_over() {
                let scanned = std::mem::take(self);
                return Ok(Some(Found { end: scanned.at, sets: scanned.sets }));
            }
        }
    }

    /// Reads the header at `at`; false when it is not complete.
    fn header(&mut self, buffer: &[u8]) -> Result<bool, BadFrame> {
        let Some(&kind) = buffer.get(self.at) else { return Ok(false) };
        let measured = match kind {
            b'+' | b'-' | b':' | b',' | b'#' | b'_' | b'(' => false,
            b'$' | b'!' | b'=' | b'*' | b'~' | b'>' | b'%' | b'|' => true,
            other => return Err(BadFrame::Type(other)),
        };
        let from = self.searched.max(self.at + 1);
        let found = buffer[from..].windows(2).position(|pair| pair == b"\r\n");
        let line_end = found.map_or(buffer.len(), |position| from + position);
        if measured && line_end - self.at > MAX_LENGTH_LINE {
            return Err(BadFrame::Length);
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
                b'%' => length.checked_mul(2).ok_or(BadFrame::Length)?,
                // Attributes stand before the value that they belong to.
                b'|' => {
                    length.checked_mul(2).and_then(|n| n.checked_add(1)).ok_or(BadFrame::Length)?
                }
                _ => {
                    let end = self.at.checked_add(length).and_then(|end| end.checked_add(2));
                    self.body_end = Some(end.ok_or(BadFrame::Length)?);
                    return Ok(true);
                }
            };
            // One more than the values: the list itself is over when all of them are.
            self.open.push(values.checked_add(1).ok_or(BadFrame::Length)?);
            if self.open.len() > MAX_DEPTH {
                return Err(BadFrame::Depth);
            }
        }
        Ok(true)
    }

    /// Counts a value, or the head of a list, that was just read; true when the whole frame is
    /// over.
    fn value_is_over(&mut self) -> bool {
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

fn length(line: &[u8]) -> Result<usize, BadFrame> {
    if line.is_empty() || !line.iter().all(u8::is_ascii_digit) {
        return Err(BadFrame::Length);
    }
    let text = std::str::from_utf8(line).map_err(|_| BadFrame::Length)?;
    text.parse().map_err(|_| BadFrame::Length)
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

    fn found(frame: &str) -> Result<Option<Found>, BadFrame> {
        let sets = frame.match_indices('~').map(|(position, _)| position).collect();
        Ok(Some(Found { end: frame.len(), sets }))
    }

    #[test]
    fn frames_end_where_they_end() {
        for frame in FRAMES {
            let both = format!("{frame}:7\r\n");
            assert_eq!(Scanner::default().scan(both.as_bytes()), found(frame), "{frame:?}");
        }
    }

    #[test]
    fn frames_may_arrive_byte_by_byte() {
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
    fn nonsense_is_told_early() {
        let scan = |bytes: &str| Scanner::default().scan(bytes.as_bytes());
        assert_eq!(scan("HTTP/1.1"), Err(BadFrame::Type(b'H')));
        for bytes in ["$-1\r\n", "$\r\n", "*x\r\n", "*?\r\n", "%99999999999999999999\r\n"] {
            assert_eq!(scan(bytes), Err(BadFrame::Length), "{bytes}");
        }
        assert_eq!(scan(&format!("${}", "1".repeat(40))), Err(BadFrame::Length));
        assert_eq!(scan(&format!("%{}\r\n", usize::MAX)), Err(BadFrame::Length));
        assert_eq!(scan("$1\r\nabc"), Err(BadFrame::Terminator));
        assert_eq!(scan(&"*1\r\n".repeat(65)), Err(BadFrame::Depth));
    }
}
