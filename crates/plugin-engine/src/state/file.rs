//! Reads and writes the format of a state file: a header with a checksum, then the state.
//!
//! | bytes | what |
//! | --- | --- |
//! | 16 | [`MAGIC`] |
//! | 4 | the format's version, 2; numbers are little-endian |
//! | 4 | zero |
//! | 8 | the length of the state |
//! | 32 | BLAKE3 of the state, of the 16 bytes behind this, and of the 16 bytes before this |
//! | 8 | the number of the first record of the journal that the state does not contain |
//! | 8 | 1 if the state is the plugin's bytes, 2 if it is commands |
//!
//! Commands are pieces: the length of each in 4 bytes, its time in milliseconds since 1970 in 8
//! bytes, and the commands, as [`plugin_api::commands`] describes them.
//!
//! In version 1 there are no commands and no record, the header has 64 bytes, and the checksum is
//! that of the 16 bytes before it and the state. Earlier versions of the host wrote the state alone,
//! so a file that does not begin with the magic is a state as a whole. A start that differs from the
//! magic in few bits counts as damaged: no state begins like that by chance.

use std::io::{self, Read};

/// The first bytes of a file with a header. Not text, so that no text is mistaken for it.
pub const MAGIC: [u8; 16] = *b"\x89dropin state\r\n\x1a";

/// The length of the header, in bytes.
pub const HEADER: usize = 80;

/// The length of the header of version 1, in bytes.
const HEADER_1: usize = 64;

const VERSION: u32 = 2;

/// The length of what stands before the commands of a piece, in bytes.
const PIECE_HEAD: usize = 12;

/// The number of wrong bits up to which the magic counts as damaged, rather than as missing.
const DAMAGED_BITS: u32 = 16;

/// The reason for which a file holds no usable state.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    Io(#[source] io::Error),
    /// The file is not as it was written; carries the evidence.
    #[error("is damaged: {0}")]
    Damaged(&'static str),
    /// The plugin does not accept the state.
    #[error("cannot be restored: {0}")]
    Refused(String),
    /// The file has a version of the format that this host does not know.
    #[error(
        "has format {0}, which this host does not know: a newer host has written it, or it is \
         damaged"
    )]
    Version(u32),
}

/// The form of a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Bytes that only the plugin can read.
    Bytes = 1,
    /// Commands of the plugin.
    Commands = 2,
}

/// Receives a piece of commands: its time and the commands.
pub type TakePiece<'a> = dyn FnMut(u64, &[u8]) -> Result<(), String> + 'a;

/// A state that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// The number of the first record of the journal that it does not contain.
    pub record: u64,
    /// The bytes for the plugin; `None` if the state was commands.
    pub bytes: Option<Vec<u8>>,
    /// The length of the state, in bytes.
    pub length: u64,
}

/// Makes the header of a state from the hasher that has seen the state.
#[must_use]
pub fn header(mut hasher: blake3::Hasher, length: u64, record: u64, form: Form) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..16].copy_from_slice(&MAGIC);
    header[16..20].copy_from_slice(&VERSION.to_le_bytes());
    header[24..32].copy_from_slice(&length.to_le_bytes());
    header[64..72].copy_from_slice(&record.to_le_bytes());
    header[72..].copy_from_slice(&(form as u64).to_le_bytes());
    hasher.update(&header[64..]).update(&header[16..32]);
    header[32..64].copy_from_slice(hasher.finalize().as_bytes());
    header
}

/// Returns what stands before the commands of a piece.
#[must_use]
pub fn piece_head(time: u64, commands: &[u8]) -> [u8; PIECE_HEAD] {
    let mut head = [0; PIECE_HEAD];
    // A piece is far shorter than 4 GiB.
    head[..4].copy_from_slice(&(commands.len() as u32).to_le_bytes());
    head[4..].copy_from_slice(&time.to_le_bytes());
    head
}

/// Reads a state, with or without a header before it. Passes each piece of commands to `take`; only
/// the result tells whether they were as they had been written.
///
/// # Errors
/// The file cannot be read, is damaged, or has an unknown version of the format, or `take` returns
/// an error.
pub fn read(mut file: impl Read, length: u64, take: &mut TakePiece<'_>) -> Result<Saved, Unusable> {
    let mut start = Vec::new();
    file.by_ref().take(HEADER_1 as u64).read_to_end(&mut start).map_err(Unusable::Io)?;
    match distance(&start) {
        Some(0) => {}
        Some(1..=DAMAGED_BITS) => return Err(Unusable::Damaged("its first bytes have changed")),
        _ if start.len() >= MAGIC.len() && start[..MAGIC.len()].iter().all(|byte| *byte == 0) => {
            return Err(Unusable::Damaged("its first bytes are zeros"));
        }
        // An earlier version of the host has written it.
        _ => {
            start.reserve_exact(room(length, start.len()));
            file.read_to_end(&mut start).map_err(Unusable::Io)?;
            return Ok(Saved { record: 0, length: start.len() as u64, bytes: Some(start) });
        }
    }
    let Ok(header) = <[u8; HEADER_1]>::try_from(&*start) else {
        return Err(Unusable::Damaged("it is cut short"));
    };
    let stated = number(&header[24..32]);
    let version = number(&header[16..24]) as u32;
    let mut content = Content { file, hasher: blake3::Hasher::new(), left: stated };
    match version {
        1 => {
            content.hasher.update(&header[16..32]);
            let bytes = content.rest(room(length, HEADER_1))?;
            content.check(&header)?;
            Ok(Saved { record: 0, bytes: Some(bytes), length: stated })
        }
        VERSION => {
            let mut behind = [0; HEADER - HEADER_1];
            let read = content.file.read_exact(&mut behind);
            read.map_err(cut_short)?;
            let (record, form) = (number(&behind[..8]), number(&behind[8..]));
            let mut refused = None;
            let bytes = if form == Form::Bytes as u64 {
                Some(content.rest(room(length, HEADER))?)
            } else {
                content.pieces(&mut |time, commands| {
                    // A damaged file is to be reported as such: it is read to its end.
                    if refused.is_none() {
                        refused = take(time, commands).err();
                    }
                })?;
                None
            };
            content.hasher.update(&behind).update(&header[16..32]);
            content.check(&header)?;
            match refused {
                Some(problem) => Err(Unusable::Refused(problem)),
                None => Ok(Saved { record, bytes, length: stated }),
            }
        }
        _ => Err(Unusable::Version(version)),
    }
}

/// The content behind the header, as far as it has been read.
struct Content<R> {
    file: R,
    hasher: blake3::Hasher,
    /// The bytes that are left, as the header says.
    left: u64,
}

impl<R: Read> Content<R> {
    fn rest(&mut self, room: usize) -> Result<Vec<u8>, Unusable> {
        let mut state = Vec::with_capacity(room);
        self.file.read_to_end(&mut state).map_err(Unusable::Io)?;
        self.hasher.update(&state);
        if (state.len() as u64) < self.left {
            return Err(Unusable::Damaged("it is cut short"));
        }
        self.left = 0;
        Ok(state)
    }

    fn pieces(&mut self, take: &mut dyn FnMut(u64, &[u8])) -> Result<(), Unusable> {
        let mut commands = Vec::new();
        while self.left > 0 {
            let mut head = [0; PIECE_HEAD];
            self.fill(&mut head)?;
            self.read_piece(u64::from(number(&head[..4]) as u32), &mut commands)?;
            take(number(&head[4..]), &commands);
        }
        Ok(())
    }

    /// Reads a piece of this length. A damaged length costs no more memory than the file is long.
    fn read_piece(&mut self, length: u64, piece: &mut Vec<u8>) -> Result<(), Unusable> {
        self.left = self
            .left
            .checked_sub(length)
            .ok_or(Unusable::Damaged("a piece of it is longer than the rest"))?;
        piece.clear();
        self.file.by_ref().take(length).read_to_end(piece).map_err(Unusable::Io)?;
        if (piece.len() as u64) < length {
            return Err(Unusable::Damaged("it is cut short"));
        }
        self.hasher.update(piece);
        Ok(())
    }

    fn fill(&mut self, room: &mut [u8]) -> Result<(), Unusable> {
        self.left = self
            .left
            .checked_sub(room.len() as u64)
            .ok_or(Unusable::Damaged("a piece of it is cut"))?;
        self.file.read_exact(room).map_err(cut_short)?;
        self.hasher.update(room);
        Ok(())
    }

    fn check(mut self, header: &[u8; HEADER_1]) -> Result<(), Unusable> {
        let mut more = [0];
        if self.file.read(&mut more).map_err(Unusable::Io)? > 0
            || self.hasher.finalize().as_bytes()[..] != header[32..]
        {
            return Err(Unusable::Damaged("its checksum does not match"));
        }
        Ok(())
    }
}

fn cut_short(error: io::Error) -> Unusable {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Unusable::Damaged("it is cut short"),
        _ => Unusable::Io(error),
    }
}

/// Returns the number in up to 8 bytes.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| (number << 8) | u64::from(*byte))
}

fn room(length: u64, before: usize) -> usize {
    usize::try_from(length).unwrap_or_default().saturating_sub(before)
}

/// Returns the length of the state in a file with this start and of this length.
#[must_use]
pub fn state_length(start: &[u8], length: u64) -> u64 {
    match start.strip_prefix(&MAGIC) {
        Some([1, ..]) => length.saturating_sub(HEADER_1 as u64),
        Some(_) => length.saturating_sub(HEADER as u64),
        None => length,
    }
}

/// Returns the number of bits in which a file's start differs from the magic; `None` if it is too
/// short to be told from other content.
fn distance(start: &[u8]) -> Option<u32> {
    let seen = start.len().min(MAGIC.len());
    if seen < MAGIC.len() {
        // The start of the magic and nothing else: cut short, unless it is only a byte or two.
        return (seen >= 4 && MAGIC.starts_with(start)).then_some(1);
    }
    Some(MAGIC.iter().zip(start).map(|(one, other)| (one ^ other).count_ones()).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(state: &[u8]) -> Vec<u8> {
        file_of(state, Form::Bytes)
    }

    fn file_of(state: &[u8], form: Form) -> Vec<u8> {
        let mut hasher = blake3::Hasher::new();
        hasher.update(state);
        [&header(hasher, state.len() as u64, 7, form)[..], state].concat()
    }

    fn pieces(all: &[&[u8]]) -> Vec<u8> {
        let state: Vec<u8> =
            all.iter().flat_map(|piece| [&piece_head(5, piece)[..], piece].concat()).collect();
        file_of(&state, Form::Commands)
    }

    fn parse(bytes: &[u8]) -> Result<Vec<u8>, Unusable> {
        let mut all = Vec::new();
        let saved = read(bytes, bytes.len() as u64, &mut |time, commands| {
            assert_eq!(time, 5);
            all.extend_from_slice(commands);
            Ok(())
        })?;
        Ok(saved.bytes.unwrap_or(all))
    }

    #[test]
    fn pieces_and_record_come_back() {
        let whole = pieces(&[b"one", b"", b"two"]);
        assert_eq!(parse(&whole).unwrap(), b"onetwo");
        let read = |bytes: &[u8]| read(bytes, bytes.len() as u64, &mut |_, _| Ok(()));
        assert_eq!(read(&whole).unwrap(), Saved { record: 7, bytes: None, length: 42 });
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&flipped).is_err(), "bit {bit}");
        }
        for length in 4..whole.len() {
            assert!(read(&whole[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn refused_pieces_of_a_damaged_file_are_damage() {
        let mut whole = pieces(&[b"one", b"two"]);
        let refuse = |bytes: &[u8]| read(bytes, 0, &mut |_, _| Err("no".to_owned())).unwrap_err();
        assert!(matches!(refuse(&whole), Unusable::Refused(_)));
        *whole.last_mut().unwrap() ^= 1;
        assert!(matches!(refuse(&whole), Unusable::Damaged(_)));
    }

    #[test]
    fn state_of_version_1_is_read() {
        let (state, mut file) = (b"pearls", [0; HEADER_1].to_vec());
        file[..16].copy_from_slice(&MAGIC);
        (file[16], file[24]) = (1, 6);
        let hash = blake3::hash(&[&file[16..32], state].concat());
        file[32..].copy_from_slice(hash.as_bytes());
        file.extend_from_slice(state);
        assert_eq!(parse(&file).unwrap(), state);
        assert_eq!(state_length(&file, file.len() as u64), 6);
        for bit in 0..file.len() * 8 {
            let mut flipped = file.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(parse(&flipped).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn every_flipped_bit_is_found() {
        for state in [&b""[..], b"pearls"] {
            let whole = file(state);
            assert_eq!(parse(&whole).unwrap(), state);
            for bit in 0..whole.len() * 8 {
                let mut flipped = whole.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert!(parse(&flipped).is_err(), "bit {bit}");
            }
        }
    }

    #[test]
    fn every_cut_and_addition_is_found() {
        let mut whole = file(b"pearls");
        // Shorter ones cannot be told from states that earlier versions have written.
        for length in 4..whole.len() {
            assert!(parse(&whole[..length]).is_err(), "{length}");
        }
        whole.push(b'x');
        assert!(parse(&whole).is_err());
    }

    #[test]
    fn truncated_and_extended_states_are_distinguished() {
        let how = |bytes: &[u8]| match parse(bytes) {
            Err(Unusable::Damaged(how)) => how,
            other => panic!("{other:?}"),
        };
        let whole = file(b"pearls");
        assert_eq!(how(&whole[..whole.len() - 1]), "it is cut short");
        assert_eq!(how(&[&whole[..], b"x"].concat()), "its checksum does not match");
    }

    #[test]
    fn states_without_a_header_are_taken_whole() {
        for state in [&b""[..], b"x", b"pearls", &[b'y'; 100], &[0x89; 16]] {
            assert_eq!(parse(state).unwrap(), state);
            assert_eq!(state_length(state, state.len() as u64), state.len() as u64);
        }
        assert_eq!(state_length(&file(b"pearls"), HEADER as u64 + 6), 6);
    }
}
