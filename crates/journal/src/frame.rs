//! One record in a segment: 4 bytes of length, 1 byte that checks the length, 4 bytes of CRC-32C,
//! and the payload. Numbers are little-endian.
//!
//! The length has a check of its own, so that a wrong bit in it is not taken for a record that the
//! end of the file has cut. The CRC begins with the [`Place`] of the record, so that neither a
//! block of another file nor a copy of a record, such as one in a value that a client has set, is
//! taken for a record here.

use std::ops::Range;

/// The length of the part before the payload, in bytes.
pub const HEAD: usize = 9;

/// The longest payload, in bytes.
pub const MOST: usize = u32::MAX as usize;

/// The place of a record: the segment, and the offset in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The checksum of the segment's header.
    pub segment: u32,
    /// The offset in bytes from the start of the file.
    pub offset: u64,
}

impl Place {
    /// Returns the place this many bytes behind it.
    #[must_use]
    pub fn behind(self, bytes: usize) -> Self {
        Self { offset: self.offset.wrapping_add(bytes as u64), ..self }
    }

    /// Returns the start of the CRC of a record here.
    fn seed(self) -> u32 {
        self.segment ^ (self.offset as u32)
    }
}

/// The content at a place in a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// A record: its payload as a part of the bytes. It ends the record.
    Record(Range<usize>),
    /// A record that the end of the bytes cuts.
    Incomplete,
    /// No record.
    Invalid(&'static str),
}

/// The reason for which the rest of a segment has no record at its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// The last record was being written when the host, or the system, ended.
    Torn,
    /// A record has changed since it was written.
    Damaged(&'static str),
}

/// Appends a record.
///
/// # Panics
/// Never; a payload of 4 GiB or more must not be passed, see [`MOST`].
pub fn write(out: &mut Vec<u8>, place: Place, payload: &[u8]) {
    let length = (payload.len() as u32).to_le_bytes();
    out.extend_from_slice(&length);
    out.push(check(length));
    out.extend_from_slice(&checksum(place, length, payload).to_le_bytes());
    out.extend_from_slice(payload);
}

/// Looks at the start of `bytes`, which are at this place.
#[must_use]
pub fn parse(bytes: &[u8], place: Place) -> Parsed {
    let Some(([l0, l1, l2, l3, found, c0, c1, c2, c3], rest)) = bytes.split_first_chunk::<HEAD>()
    else {
        return Parsed::Incomplete;
    };
    let length = [*l0, *l1, *l2, *l3];
    if *found != check(length) {
        return Parsed::Invalid("the length of a record has changed");
    }
    let Some(payload) = rest.get(..u32::from_le_bytes(length) as usize) else {
        return Parsed::Incomplete;
    };
    if checksum(place, length, payload) != u32::from_le_bytes([*c0, *c1, *c2, *c3]) {
        return Parsed::Invalid("the checksum of a record does not match");
    }
    Parsed::Record(HEAD..HEAD + payload.len())
}

/// Decides about the rest of a segment, at whose start is no record. `bytes` are at this place, and
/// must reach to the end of the file.
#[must_use]
pub fn classify(bytes: &[u8], place: Place) -> Rest {
    match parse(bytes, place) {
        Parsed::Record(_) => Rest::Damaged("there is a record"),
        // After a power cut, the end of a file may be there without its content.
        Parsed::Invalid(_) if bytes.iter().all(|byte| *byte == 0) => Rest::Torn,
        Parsed::Invalid(how) => Rest::Damaged(how),
        // A write is cut at its end: no record follows.
        Parsed::Incomplete
            if (1..bytes.len()).any(|at| is_record(&bytes[at..], place.behind(at))) =>
        {
            Rest::Damaged("the length of a record has changed")
        }
        Parsed::Incomplete => Rest::Torn,
    }
}

fn is_record(bytes: &[u8], place: Place) -> bool {
    matches!(parse(bytes, place), Parsed::Record(_))
}

/// Returns the check of a length. The factors are odd, so that each wrong bit changes it.
fn check(length: [u8; 4]) -> u8 {
    let factors = [1, 3, 5, 7_u8];
    let sum = length.iter().zip(factors).map(|(byte, factor)| byte.wrapping_mul(factor));
    // Not 0 for a length of 0: a block of zeros is no record.
    sum.fold(0xa5, u8::wrapping_add)
}

fn checksum(place: Place, length: [u8; 4], payload: &[u8]) -> u32 {
    let head = crc32c::crc32c_append(place.seed(), &length);
    crc32c::crc32c_append(head, payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Place = Place { segment: 7, offset: 40 };

    fn append(out: &mut Vec<u8>, payload: &[u8]) {
        let place = START.behind(out.len());
        write(out, place, payload);
    }

    fn frames(payloads: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        payloads.iter().for_each(|payload| append(&mut out, payload));
        out
    }

    /// Reads all records; returns their number and what follows.
    fn walk(bytes: &[u8]) -> (usize, Option<Rest>) {
        let (mut count, mut at) = (0, 0);
        while at < bytes.len() {
            let (rest, place) = (&bytes[at..], START.behind(at));
            let Parsed::Record(payload) = parse(rest, place) else {
                return (count, Some(classify(rest, place)));
            };
            at += payload.end;
            count += 1;
        }
        (count, None)
    }

    const PAYLOADS: [&[u8]; 4] = [b"one", b"", b"\x00\x00\x00", b"the last one"];

    #[test]
    fn every_cut_is_torn() {
        let whole = frames(&PAYLOADS);
        assert_eq!(walk(&whole), (4, None));
        for length in 0..whole.len() {
            let (count, rest) = walk(&whole[..length]);
            assert!(count < 4, "{length}");
            assert!(matches!(rest, None | Some(Rest::Torn)), "{length}: {rest:?}");
        }
    }

    #[test]
    fn every_flipped_bit_is_damage() {
        let whole = frames(&PAYLOADS);
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let (_, rest) = walk(&flipped);
            assert!(matches!(rest, Some(Rest::Damaged(_))), "bit {bit}: {rest:?}");
        }
    }

    #[test]
    fn length_beyond_the_end_is_damage_before_records() {
        let mut bytes = Vec::new();
        // A whole head, whose payload is not there.
        bytes.extend_from_slice(&frames(&[&[1; 200]])[..HEAD]);
        assert_eq!(classify(&bytes, START), Rest::Torn);
        append(&mut bytes, b"behind");
        assert!(matches!(classify(&bytes, START), Rest::Damaged(_)));
    }

    #[test]
    fn zeros_are_torn() {
        for length in [1, 8, 9, 100, 5000] {
            assert_eq!(classify(&vec![0; length], START), Rest::Torn, "{length}");
        }
    }

    #[test]
    fn record_of_another_segment_is_damage() {
        let bytes = frames(&[b"one"]);
        let other = Place { segment: 8, ..START };
        assert!(matches!(classify(&bytes, other), Rest::Damaged(_)));
    }

    #[test]
    fn cut_record_with_a_copy_inside_is_torn() {
        let inner = frames(&[b"one", b"two"]);
        let whole = frames(&[b"one", &[&inner[..], b"the rest"].concat()]);
        for cut in frames(&[b"one"]).len() + 1..whole.len() {
            assert_eq!(walk(&whole[..cut]), (1, Some(Rest::Torn)), "{cut}");
        }
    }
}
