//! Reads and writes the format of a state file: a header with a checksum, then the plugin's bytes.
//!
//! | bytes | what |
//! | --- | --- |
//! | 16 | [`MAGIC`] |
//! | 4 | the format's version, 1; numbers are little-endian |
//! | 4 | zero |
//! | 8 | the length of the state |
//! | 32 | BLAKE3 of the 16 bytes before and the state |
//!
//! Earlier versions of the host wrote the state alone, so a file that does not begin with the magic
//! is a state as a whole. A start that differs from the magic in few bits counts as damaged: no
//! state begins like that by chance.

use std::io::{self, Read};

/// The first bytes of a file with a header. Not text, so that no text is mistaken for it.
pub const MAGIC: [u8; 16] = *b"\x89dropin state\r\n\x1a";

/// The length of the header, in bytes.
pub const HEADER: usize = 64;

const VERSION: u32 = 1;

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
    /// The file has a version of the format that this host does not know.
    #[error(
        "has format {0}, which this host does not know: a newer host has written it, or it is \
         damaged"
    )]
    Version(u32),
}

/// Makes the header of a state.
#[must_use]
pub fn header(state: &[u8]) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..16].copy_from_slice(&MAGIC);
    header[16..20].copy_from_slice(&VERSION.to_le_bytes());
    header[24..32].copy_from_slice(&(state.len() as u64).to_le_bytes());
    let checksum = checksum(&header, state);
    header[32..].copy_from_slice(checksum.as_bytes());
    header
}

/// Reads a state, with or without a header before it.
///
/// # Errors
/// The file cannot be read, is damaged, or has an unknown version of the format.
pub fn read(mut file: impl Read, length: u64) -> Result<Vec<u8>, Unusable> {
    let mut state = Vec::new();
    file.by_ref().take(HEADER as u64).read_to_end(&mut state).map_err(Unusable::Io)?;
    let room = usize::try_from(length).unwrap_or_default().saturating_sub(state.len());
    match distance(&state) {
        Some(0) => {}
        Some(1..=DAMAGED_BITS) => return Err(Unusable::Damaged("its first bytes have changed")),
        // An earlier version of the host has written it.
        _ => {
            state.reserve_exact(room);
            file.read_to_end(&mut state).map_err(Unusable::Io)?;
            return Ok(state);
        }
    }
    let Ok(header) = <[u8; HEADER]>::try_from(&*state) else {
        return Err(Unusable::Damaged("it is cut short"));
    };
    let version = u32::from_le_bytes([header[16], header[17], header[18], header[19]]);
    if version != VERSION {
        return Err(Unusable::Version(version));
    }
    let mut state = Vec::with_capacity(room);
    file.read_to_end(&mut state).map_err(Unusable::Io)?;
    let stated = header[24..32].first_chunk().map_or(0, |length| u64::from_le_bytes(*length));
    if (state.len() as u64) < stated {
        return Err(Unusable::Damaged("it is cut short"));
    }
    if checksum(&header, &state).as_bytes()[..] != header[32..] {
        return Err(Unusable::Damaged("its checksum does not match"));
    }
    Ok(state)
}

/// Returns the length of the state in a file with this start and of this length.
#[must_use]
pub fn state_length(start: &[u8], length: u64) -> u64 {
    if start.starts_with(&MAGIC) { length.saturating_sub(HEADER as u64) } else { length }
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

fn checksum(header: &[u8; HEADER], state: &[u8]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&header[16..32]);
    hasher.update(state);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(state: &[u8]) -> Vec<u8> {
        [&header(state)[..], state].concat()
    }

    fn parse(bytes: &[u8]) -> Result<Vec<u8>, Unusable> {
        read(bytes, bytes.len() as u64)
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
        assert_eq!(state_length(&file(b"pearls"), 64 + 6), 6);
    }
}
