//! Splits a stream into lines of limited length.

use std::{
    io::{self, BufRead},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

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
    most: Arc<AtomicUsize>,
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
    /// Makes a reader of lines of at most `most` bytes each, which others may change at any time.
    pub fn new(input: R, most: Arc<AtomicUsize>) -> Self {
        Self { input, most, line: Vec::new(), state: State::Reading }
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
            let too_long = !discarding
                && part.len() > self.most.load(Ordering::Relaxed).saturating_sub(self.line.len());
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

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Cursor, Read};

    use proptest::prelude::*;

    use super::*;

    /// A line as the tests compare it: its kind and its bytes.
    fn owned(line: Line<'_>) -> (char, Vec<u8>) {
        match line {
            Line::Whole(bytes) => ('w', bytes.to_vec()),
            Line::TooLong { start } => ('l', start.to_vec()),
            Line::Unfinished(bytes) => ('u', bytes.to_vec()),
        }
    }

    fn limit(most: usize) -> Arc<AtomicUsize> {
        Arc::new(AtomicUsize::new(most))
    }

    fn read_all(input: impl BufRead, most: usize) -> Vec<(char, Vec<u8>)> {
        let mut reader = LineReader::new(input, limit(most));
        let mut lines = Vec::new();
        while let Some(line) = reader.read().unwrap() {
            lines.push(owned(line));
        }
        assert_eq!(reader.read().unwrap(), None, "the end stays the end");
        lines
    }

    #[test]
    fn blank_lines_are_left_out() {
        let input = b"\n\r\n \t\na\r\n\nb\n  ";
        let expected = [('w', b"a\r".to_vec()), ('w', b"b".to_vec())];
        assert_eq!(read_all(&input[..], 10), expected);
    }

    #[test]
    fn line_cut_by_the_end_is_unfinished() {
        assert_eq!(read_all(&b"a\n{\"id\""[..], 10)[1], ('u', b"{\"id\"".to_vec()));
        assert_eq!(read_all(&b""[..], 10), []);
    }

    #[test]
    fn line_longer_than_allowed_is_discarded() {
        let input = b"12345\n123456\nab\n1234567";
        let expected = [
            ('w', b"12345".to_vec()),
            ('l', b"123456".to_vec()),
            ('w', b"ab".to_vec()),
            ('l', b"1234567".to_vec()),
        ];
        assert_eq!(read_all(&input[..], 5), expected);
        let most = limit(5);
        let mut reader = LineReader::new(&input[..], Arc::clone(&most));
        reader.read().unwrap();
        most.store(6, Ordering::Relaxed);
        assert_eq!(reader.read().unwrap(), Some(Line::Whole(b"123456")));
    }

    #[test]
    fn endless_line_is_reported_before_it_ends() {
        let input = BufReader::new(b"{\"id\":7,".chain(io::repeat(b'x')));
        let mut reader = LineReader::new(input, limit(1 << 20));
        let Some(Line::TooLong { start }) = reader.read().unwrap() else { panic!("too long") };
        assert!(start.starts_with(b"{\"id\":7,xxx") && start.len() == START);
    }

    #[test]
    fn long_lines_take_no_memory() {
        let long = || io::repeat(b'x').take(1 << 27);
        let input = BufReader::with_capacity(1 << 20, long().chain(&b"\na\nb\n"[..]));
        let mut reader = LineReader::new(input, limit(1000));
        assert!(matches!(reader.read().unwrap(), Some(Line::TooLong { .. })));
        assert_eq!(reader.read().unwrap(), Some(Line::Whole(b"a")));
        assert!(reader.line.capacity() <= 2000, "{}", reader.line.capacity());
        // The memory of a line that is allowed is freed after it.
        let allowed = [&vec![b'x'; 1 << 20][..], b"\na\n"].concat();
        let mut reader = LineReader::new(&allowed[..], limit(usize::MAX));
        assert!(matches!(reader.read().unwrap(), Some(Line::Whole(_))));
        assert_eq!(reader.read().unwrap(), Some(Line::Whole(b"a")));
        assert!(reader.line.capacity() <= KEPT, "{}", reader.line.capacity());
    }

    /// A stream that fails before each piece, half of the times by an interruption.
    struct Failing<'a> {
        pieces: std::slice::Chunks<'a, u8>,
        piece: Cursor<&'a [u8]>,
        failures: u32,
    }

    impl Read for Failing<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.piece.fill_buf()?.is_empty()
                && let Some(piece) = self.pieces.next()
            {
                self.piece = Cursor::new(piece);
                self.failures += 1;
                let interrupted = self.failures.is_multiple_of(2);
                let (again, other) = (io::ErrorKind::Interrupted, io::ErrorKind::TimedOut);
                return Err(if interrupted { again } else { other }.into());
            }
            self.piece.read(buffer)
        }
    }

    #[test]
    fn line_continues_after_an_error() {
        let input = b"first\n123456789\nsecond\nlast";
        let pieces = input.chunks(2);
        let failing = Failing { pieces, piece: Cursor::default(), failures: 0 };
        let mut reader = LineReader::new(BufReader::new(failing), limit(7));
        let mut lines = Vec::new();
        let mut errors = 0;
        loop {
            match reader.read() {
                Ok(Some(line)) => lines.push(owned(line)),
                Ok(None) => break,
                Err(_) => errors += 1,
            }
        }
        assert!(errors > 5, "{errors}");
        let kinds: String = lines.iter().map(|(kind, _)| kind).collect();
        assert_eq!(
            (kinds.as_str(), &lines[2].1[..], &lines[3].1[..]),
            ("wlwu", &b"second"[..], &b"last"[..])
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn lines_do_not_depend_on_the_reads(
            input in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b' '), b'a'..=b'c'], 0..600),
            most in prop_oneof![0..20usize, 250..300usize],
            capacity in 1..40usize,
        ) {
            let most_of = |line: &[u8]| line[..line.len().min(START)].to_vec();
            let mut expected = Vec::new();
            for line in input.split_inclusive(|byte| *byte == b'\n') {
                let (line, ended) = match line.strip_suffix(b"\n") {
                    Some(line) => (line, true),
                    None => (line, false),
                };
                if line.len() > most {
                    // The start of a line that is reported early has as much as has been read.
                    expected.push(('l', most_of(&line[..most + 1])));
                } else if !line.trim_ascii().is_empty() {
                    expected.push((if ended { 'w' } else { 'u' }, line.to_vec()));
                }
            }
            let mut found = read_all(BufReader::with_capacity(capacity, &input[..]), most);
            for (kind, line) in &mut found {
                if *kind == 'l' {
                    prop_assert!(line.len() > most.min(START - 1), "enough of it");
                    line.truncate(most + 1);
                }
            }
            prop_assert_eq!(found, expected);
        }
    }
}
