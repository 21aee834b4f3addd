//! The pieces of a reply, from a worker process to the host.
//!
//! The host must not trust the process: it reads each piece with its bounds checked, and the
//! encoder of the session checks the rest, as it does for a library in the host.

use abi_stable::std_types::{RSlice, RStr};
use plugin_api::abi::Sink;
use protocol::Encoder;

use super::message::take;

const OK: u8 = 0;
const TEXT: u8 = 1;
const INTEGER: u8 = 2;
const FLOAT: u8 = 3;
const FALSE: u8 = 4;
const TRUE: u8 = 5;
const NULL: u8 = 6;
const LIST: u8 = 7;
const MAP: u8 = 8;
const ERROR: u8 = 9;
const RESET: u8 = 10;

/// The longest kind of an error, in bytes.
const LONGEST_KIND: usize = 255;

/// Writes the pieces of a reply, in the worker process. `flush` is called with a full buffer.
pub struct PieceSink<'a> {
    /// The pieces that are not sent yet.
    pub out: Vec<u8>,
    /// The number of bytes from which they are sent.
    pub most: usize,
    /// Sends the pieces and clears the buffer.
    pub flush: &'a mut dyn FnMut(&mut Vec<u8>),
}

impl PieceSink<'_> {
    fn push(&mut self, tag: u8, parts: &[&[u8]]) {
        self.out.push(tag);
        parts.iter().for_each(|part| self.out.extend_from_slice(part));
        if self.out.len() >= self.most {
            (self.flush)(&mut self.out);
        }
    }

    fn push_long(&mut self, tag: u8, before: &[u8], bytes: &[u8]) {
        self.push(tag, &[before, &(bytes.len() as u64).to_le_bytes()]);
        for part in bytes.chunks(self.most) {
            self.out.extend_from_slice(part);
            if self.out.len() >= self.most {
                (self.flush)(&mut self.out);
            }
        }
    }
}

impl Sink for PieceSink<'_> {
    fn ok(&mut self) {
        self.push(OK, &[]);
    }
    fn text(&mut self, text: RSlice<'_, u8>) {
        self.push_long(TEXT, &[], text.as_slice());
    }
    fn integer(&mut self, value: i64) {
        self.push(INTEGER, &[&value.to_le_bytes()]);
    }
    fn float(&mut self, value: f64) {
        self.push(FLOAT, &[&value.to_le_bytes()]);
    }
    fn boolean(&mut self, value: bool) {
        self.push(if value { TRUE } else { FALSE }, &[]);
    }
    fn null(&mut self) {
        self.push(NULL, &[]);
    }
    fn list(&mut self, items: u64) {
        self.push(LIST, &[&items.to_le_bytes()]);
    }
    fn map(&mut self, pairs: u64) {
        self.push(MAP, &[&pairs.to_le_bytes()]);
    }
    fn error(&mut self, kind: RStr<'_>, message: RSlice<'_, u8>) {
        let kind = kind.as_str();
        let kind = &kind[..kind.floor_char_boundary(LONGEST_KIND)];
        // Cut to 255 bytes above.
        let length = [kind.len() as u8];
        self.push_long(ERROR, &[&length, kind.as_bytes()].concat(), message.as_slice());
    }
    fn reset(&mut self) {
        self.push(RESET, &[]);
    }
}

/// Reads the pieces of one reply, in the host.
#[derive(Debug, Default)]
pub struct PieceReader {
    /// The bytes of a piece that is not complete.
    rest: Vec<u8>,
    /// True once a piece is larger than a reply may be; what follows is dropped.
    is_too_large: bool,
}

/// The bytes are no pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoPieces;

/// A piece of a reply.
enum Piece<'a> {
    Ok,
    Text(&'a [u8]),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    Null,
    List(u64),
    Map(u64),
    Error(&'a str, &'a [u8]),
    Reset,
}

/// The reason for which there is no piece.
enum Missing {
    /// More bytes are needed.
    Incomplete,
    Malformed,
}

impl PieceReader {
    /// Starts the next reply.
    pub fn start(&mut self) {
        if self.rest.capacity() > 64 << 10 {
            self.rest = Vec::new();
        }
        self.rest.clear();
        self.is_too_large = false;
    }

    /// Passes complete pieces on to the reply and keeps the rest.
    ///
    /// # Errors
    /// The bytes are no pieces.
    pub fn feed(&mut self, bytes: &[u8], reply: &mut Encoder) -> Result<(), NoPieces> {
        if self.is_too_large {
            return Ok(());
        }
        if self.rest.is_empty() {
            let rest = pass_on(bytes, reply)?;
            self.rest.extend_from_slice(rest);
        } else {
            self.rest.extend_from_slice(bytes);
            let left = pass_on(&self.rest, reply)?.len();
            self.rest.drain(..self.rest.len() - left);
        }
        // A piece has 17 bytes or fewer beside its text and the kind of an error.
        if self.rest.len() > reply.most().saturating_add(17 + LONGEST_KIND) {
            match self.rest.first() {
                Some(&ERROR) => reply.refuse_large_error(),
                _ => reply.refuse_as_too_large(),
            }
            self.is_too_large = true;
            self.rest = Vec::new();
        }
        Ok(())
    }

    /// Returns the number of bytes that are kept until their piece is complete.
    #[must_use]
    pub fn held(&self) -> usize {
        self.rest.len()
    }

    /// Ends the reply.
    ///
    /// # Errors
    /// A piece is incomplete.
    pub fn finish(&mut self) -> Result<(), NoPieces> {
        if self.rest.is_empty() { Ok(()) } else { Err(NoPieces) }
    }
}

/// Takes the pieces of the next reply out of several replies; `None` if it is incomplete.
pub fn next_reply<'a>(replies: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = u32::from_le_bytes(take(replies)?) as usize;
    let (reply, rest) = replies.split_at_checked(length)?;
    *replies = rest;
    Some(reply)
}

/// Passes the complete pieces on, and returns the bytes of the incomplete one.
fn pass_on<'a>(mut bytes: &'a [u8], reply: &mut Encoder) -> Result<&'a [u8], NoPieces> {
    while !bytes.is_empty() {
        let before = bytes;
        match read(&mut bytes) {
            Ok(piece) => write(piece, reply),
            Err(Missing::Incomplete) => return Ok(before),
            Err(Missing::Malformed) => return Err(NoPieces),
        }
    }
    Ok(bytes)
}

fn write(piece: Piece<'_>, reply: &mut Encoder) {
    let length = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
    match piece {
        Piece::Ok => reply.ok(),
        Piece::Text(text) => reply.text(text),
        Piece::Integer(value) => reply.integer(value),
        Piece::Float(value) => reply.float(value),
        Piece::Boolean(value) => reply.boolean(value),
        Piece::Null => reply.null(),
        Piece::List(items) => reply.list(length(items)),
        Piece::Map(pairs) => reply.map(length(pairs)),
        Piece::Error(kind, message) => reply.error(kind, message),
        Piece::Reset => reply.reset(),
    }
}

fn read<'a>(bytes: &mut &'a [u8]) -> Result<Piece<'a>, Missing> {
    fn number<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], Missing> {
        take(bytes).ok_or(Missing::Incomplete)
    }
    fn part<'a>(bytes: &mut &'a [u8], length: u64) -> Result<&'a [u8], Missing> {
        let length = usize::try_from(length).map_err(|_| Missing::Malformed)?;
        let (part, rest) = bytes.split_at_checked(length).ok_or(Missing::Incomplete)?;
        *bytes = rest;
        Ok(part)
    }
    let [tag] = number::<1>(bytes)?;
    Ok(match tag {
        OK => Piece::Ok,
        TEXT => {
            let length = u64::from_le_bytes(number(bytes)?);
            Piece::Text(part(bytes, length)?)
        }
        INTEGER => Piece::Integer(i64::from_le_bytes(number(bytes)?)),
        FLOAT => Piece::Float(f64::from_le_bytes(number(bytes)?)),
        FALSE => Piece::Boolean(false),
        TRUE => Piece::Boolean(true),
        NULL => Piece::Null,
        LIST => Piece::List(u64::from_le_bytes(number(bytes)?)),
        MAP => Piece::Map(u64::from_le_bytes(number(bytes)?)),
        ERROR => {
            let [length] = number::<1>(bytes)?;
            let kind = part(bytes, u64::from(length))?;
            let kind = std::str::from_utf8(kind).map_err(|_| Missing::Malformed)?;
            let length = u64::from_le_bytes(number(bytes)?);
            Piece::Error(kind, part(bytes, length)?)
        }
        RESET => Piece::Reset,
        _ => return Err(Missing::Malformed),
    })
}

#[cfg(test)]
mod tests {
    use protocol::{Finished, Protocol};

    use super::*;

    /// The messages that a process sends for a reply, with parts of this length.
    fn sent(most: usize, write: impl FnOnce(&mut PieceSink<'_>)) -> Vec<Vec<u8>> {
        let mut parts = Vec::new();
        let mut flush = |out: &mut Vec<u8>| parts.push(std::mem::take(out));
        let mut sink = PieceSink { out: Vec::new(), most, flush: &mut flush };
        write(&mut sink);
        let last = std::mem::take(&mut sink.out);
        parts.push(last);
        parts
    }

    fn every_piece(sink: &mut impl Sink) {
        sink.text(RSlice::from_slice(b"dropped"));
        sink.reset();
        sink.list(9);
        sink.ok();
        sink.text(RSlice::from_slice(b"text \x00\xff of some length"));
        sink.integer(i64::MIN);
        sink.float(-0.5);
        sink.boolean(true);
        sink.boolean(false);
        sink.null();
        sink.map(1);
        sink.text(RSlice::from_slice(b"key"));
        sink.text(RSlice::from_slice(b""));
        sink.error("NOPE".into(), RSlice::from_slice(b"no such thing"));
    }

    fn encoder(most: usize) -> Encoder {
        let mut encoder = Encoder::new(Protocol::Resp3);
        encoder.bound(most);
        encoder.begin();
        encoder
    }

    fn bytes(mut encoder: Encoder) -> (Finished, Vec<u8>) {
        let finished = encoder.finish();
        (finished, encoder.pending().to_vec())
    }

    #[test]
    fn every_piece_arrives_however_it_is_cut() {
        let mut expected = encoder(usize::MAX);
        every_piece(&mut expected);
        let expected = bytes(expected);
        for most in [1, 2, 7, 64, 1 << 16] {
            let (mut reader, mut reply) = (PieceReader::default(), encoder(usize::MAX));
            reader.start();
            for part in sent(most, |sink| every_piece(sink)) {
                reader.feed(&part, &mut reply).unwrap();
            }
            assert_eq!(reader.finish(), Ok(()));
            assert_eq!(bytes(reply), expected, "{most}");
        }
    }

    #[test]
    fn larger_piece_than_allowed_is_not_kept() {
        let (mut reader, mut reply) = (PieceReader::default(), encoder(1_000));
        for part in sent(100, |sink| sink.text(RSlice::from_slice(&[b'x'; 1 << 20]))) {
            reader.feed(&part, &mut reply).unwrap();
            assert!(reader.held() < 3_000, "{}", reader.held());
        }
        assert_eq!(reader.finish(), Ok(()));
        assert_eq!(bytes(reply).0, Finished::TooLarge);
    }

    #[test]
    fn rubbish_is_refused() {
        for rubbish in [&[11][..], &[255, 1], &[ERROR, 1, 0xff, 0, 0, 0, 0, 0, 0, 0, 0]] {
            let mut reader = PieceReader::default();
            assert_eq!(reader.feed(rubbish, &mut encoder(99)), Err(NoPieces), "{rubbish:?}");
        }
        let mut reader = PieceReader::default();
        assert_eq!(reader.feed(&[TEXT, 9], &mut encoder(99)), Ok(()));
        assert_eq!(reader.finish(), Err(NoPieces), "it is incomplete");
    }
}
