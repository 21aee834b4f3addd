//! Splits a stream into lines of limited length.

use std::io::{self, BufRead};

use memchr::memchr;

/// The bytes of a too long line that are kept: enough for the number of its request.
const START: usize = 256;

/// The capacity that is kept after a long line.
const KEPT: usize = 64 * 1024;

/// One line, without its LF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// A whole line. It may end with a CR.
    Whole(&'a [u8]),
    /// A line that is longer than allowed, as soon as that is known. The rest of it is discarded.
    TooLong { start: &'a [u8] },
    /// The last line, which the end of the stream has cut.
    Unfinished(&'a [u8]),
}

/// A reader of lines, which keeps no more than one line of the longest allowed length.
#[derive(Debug)]
pub struct LineReader<R> {
    input: R,
    /// The longest line without its LF, in bytes.
    most: usize,
    /// The line that is being read, or that was returned last.
    line: Vec<u8>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A line is being read, and may be continued after an error.
    Reading,
    /// The line has been returned.
    Returned,
    /// The start of the line has been returned, and the rest of it is to be discarded.
    Discarding,
}

impl<R: BufRead> LineReader<R> {
    /// Makes a reader of lines of at most `most` bytes each.
    pub fn new(input: R, most: usize) -> Self {
        Self { input, most, line: Vec::new(), state: State::Reading }
    }

    /// Changes the longest length, from the next read on.
    pub fn bound(&mut self, most: usize) {
        self.most = most;
    }

    /// Waits for the next line; `None` at the end of the stream. Blank lines are left out. After an
    /// error it can be called again, and continues in the same line.
    ///
    /// # Errors
    /// The stream cannot be read.
    pub fn read(&mut self) -> io::Result<Option<Line<'_>>> {
        loop {
            match self.read_any()? {
                Ended::Line if self.line.trim_ascii().is_empty() => {}
                Ended::Line => return Ok(Some(Line::Whole(&self.line))),
                Ended::TooLong => return Ok(Some(Line::TooLong { start: &self.line })),
                Ended::Stream if self.line.trim_ascii().is_empty() => return Ok(None),
                Ended::Stream => return Ok(Some(Line::Unfinished(&self.line))),
            }
        }
    }

    fn read_any(&mut self) -> io::Result<Ended> {
        loop {
            if self.state == State::Returned {
                self.line.clear();
                self.line.shrink_to(KEPT);
                self.state = State::Reading;
            }
            let bytes = match self.input.fill_buf() {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let stream_ends = bytes.is_empty();
            let end = memchr(b'\n', bytes);
            let part = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
            let taken = part.len() + usize::from(end.is_some());
            let discarding = self.state == State::Discarding;
            let too_long = !discarding && part.len() > self.most.saturating_sub(self.line.len());
            if !discarding {
                let room =
                    if too_long { START.saturating_sub(self.line.len()) } else { usize::MAX };
                self.line.extend_from_slice(part.get(..room).unwrap_or(part));
            }
            self.input.consume(taken);
            if too_long {
                self.line.truncate(START);
                self.state = if end.is_some() { State::Returned } else { State::Discarding };
                return Ok(Ended::TooLong);
            }
            if stream_ends || end.is_some() {
                self.state = State::Returned;
                if discarding && !stream_ends {
                    continue;
                }
                if discarding {
                    self.line.clear();
                }
                return Ok(if stream_ends { Ended::Stream } else { Ended::Line });
            }
        }
    }
}

/// The reason why the reading of a line has ended.
enum Ended {
    Line,
    TooLong,
    Stream,
}
