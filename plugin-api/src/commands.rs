//! Lists of commands as bytes: the form in which state travels and is journaled.
//!
//! A list is a sequence of commands. Each is the number of its words, the name included, and then
//! each word: its length and its bytes. Numbers are unsigned LEB128: seven bits a byte, the lowest
//! first, the highest bit set on all bytes but the last.

use std::ops::Range;

use crate::{abi::Span, error::Error};

/// A list of commands that is being written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commands {
    bytes: Vec<u8>,
}

impl Commands {
    /// Appends a command: its name, then its arguments.
    pub fn push<'a>(&mut self, words: impl IntoIterator<Item = &'a [u8], IntoIter: Clone>) {
        put_command(&mut self.bytes, words);
    }

    /// Returns the length of the list, in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Returns true if the list has no command.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Returns the list as bytes.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// Reads the commands of a list one after the other. The list may be any bytes.
#[derive(Clone, Debug)]
pub struct CommandReader<'a> {
    bytes: &'a [u8],
    /// The end of the command that was read last.
    end: usize,
}

impl<'a> CommandReader<'a> {
    /// Returns a reader at the start of a list.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, end: 0 }
    }

    /// Replaces `spans` by the words of the next command, as parts of the list, and returns the
    /// command's place in the list; `None` at its end.
    ///
    /// # Errors
    /// The bytes are no list of commands, or the list is 4 GiB or longer.
    pub fn next(&mut self, spans: &mut Vec<Span>) -> Result<Option<Range<usize>>, Error> {
        spans.clear();
        let start = self.end;
        if start == self.bytes.len() {
            return Ok(None);
        }
        let mut at = start;
        let count = self.number(&mut at)?;
        if count == 0 {
            return Err(Error::new("a command has no name"));
        }
        for _ in 0..count {
            let length = self.number(&mut at)?;
            let end = usize::try_from(length).ok().and_then(|length| at.checked_add(length));
            let end = end.filter(|end| *end <= self.bytes.len()).ok_or_else(cut_short)?;
            let place = |place| u32::try_from(place).map_err(|_| Error::new("it is too long"));
            spans.push(Span { start: place(at)?, length: place(end - at)? });
            at = end;
        }
        self.end = at;
        Ok(Some(start..at))
    }

    fn number(&self, at: &mut usize) -> Result<u64, Error> {
        let rest = self.bytes.get(*at..).unwrap_or_default();
        let (number, length) = number(rest).ok_or_else(cut_short)?;
        *at += length;
        Ok(number)
    }
}

/// Appends a command to a list: its name, then its arguments.
pub fn put_command<'a>(
    bytes: &mut Vec<u8>,
    words: impl IntoIterator<Item = &'a [u8], IntoIter: Clone>,
) {
    let words = words.into_iter();
    put_number(bytes, words.clone().count() as u64);
    for word in words {
        put_number(bytes, word.len() as u64);
        bytes.extend_from_slice(word);
    }
}

/// Appends a number.
pub fn put_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Returns the number at the start of `bytes`, and its length in bytes; `None` if there is none.
#[must_use]
pub fn number(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut number = 0;
    for (index, byte) in bytes.iter().enumerate().take(10) {
        let bits = u64::from(byte & 0x7f);
        if index == 9 && bits > 1 {
            return None;
        }
        number |= bits << (7 * index);
        if byte & 0x80 == 0 {
            return Some((number, index + 1));
        }
    }
    None
}

fn cut_short() -> Error {
    Error::new("the list of commands is damaged")
}

#[cfg(test)]
mod tests {
    use super::*;

    type Words = Vec<Vec<u8>>;

    fn read(bytes: &[u8]) -> Result<Vec<Words>, Error> {
        let (mut reader, mut spans, mut all) = (CommandReader::new(bytes), Vec::new(), Vec::new());
        while reader.next(&mut spans)?.is_some() {
            all.push(spans.iter().map(|span| span.part_of(bytes).to_vec()).collect());
        }
        Ok(all)
    }

    #[test]
    fn commands_come_back() {
        let long = vec![7; 300];
        let list: Vec<Words> = vec![
            vec![b"set".to_vec(), b"key".to_vec(), long],
            vec![b"flushall".to_vec()],
            vec![b"del".to_vec(), Vec::new()],
        ];
        let mut commands = Commands::default();
        assert!(commands.is_empty());
        for words in &list {
            commands.push(words.iter().map(Vec::as_slice));
        }
        let bytes = commands.into_bytes();
        assert_eq!(read(&bytes).unwrap(), list);
        assert_eq!(bytes[..9], *b"\x03\x03set\x03key");
        for cut in 1..bytes.len() {
            if let Ok(part) = read(&bytes[..cut]) {
                assert_eq!(part, list[..part.len()], "{cut}");
            }
        }
    }

    #[test]
    fn bytes_that_are_no_list_are_rejected() {
        let huge = [1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
        for bytes in [&b"\x00"[..], b"\x01", b"\x01\x05abc", b"\x80", &[0xff; 11], &huge] {
            assert!(read(bytes).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn numbers_come_back() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
            let mut bytes = Vec::new();
            put_number(&mut bytes, value);
            assert_eq!(number(&bytes), Some((value, bytes.len())));
            assert_eq!(number(&bytes[..bytes.len() - 1]), None);
        }
    }
}
