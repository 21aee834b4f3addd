//! One file of a journal: a header of 40 bytes, then records.
//!
//! | bytes | what |
//! | --- | --- |
//! | 12 | [`MAGIC`] |
//! | 4 | the format's version, 1; numbers are little-endian |
//! | 4 | the segment's number |
//! | 8 | the number of its first record |
//! | 8 | the time at which it was begun, in milliseconds since 1970 |
//! | 4 | CRC-32C of the bytes before |
//!
//! A record's payload is the time since the record before it, or since the start of the segment, in
//! milliseconds, and then the commands. The time may be negative, for a clock that was set back: it
//! is zigzag-encoded.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use plugin_api::commands::{number, put_number};

use crate::frame::{self, Parsed, Place, Rest};

/// The first bytes of a segment.
pub const MAGIC: [u8; 12] = *b"\x89dropin log\n";

/// The length of the header, in bytes.
pub const HEADER: usize = 40;

const VERSION: u32 = 1;

/// The number of bytes that are read at once.
const PIECE: usize = 1 << 20;

/// The header of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The segment's number.
    pub number: u32,
    /// The number of its first record.
    pub first: u64,
    /// The time at which it was begun, in milliseconds since 1970.
    pub begun: u64,
}

/// A record as it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its number.
    pub number: u64,
    /// The time of its commands, in milliseconds since 1970.
    pub time: u64,
    /// Its commands, as [`plugin_api::commands`] describes them.
    pub commands: &'a [u8],
}

/// The end of a segment, behind its last record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Nothing.
    Clean,
    /// A torn record, from this offset on.
    Torn(u64),
}

/// The reason for which a segment cannot be read further.
#[derive(Debug)]
pub enum Unreadable<E> {
    /// The system's error.
    Io(io::Error),
    /// The file is not as it was written, from this offset on.
    Damaged(u64, &'static str),
    /// The file has a version of the format that this host does not know.
    Version(u32),
    /// The caller's error about a record.
    Refused(E),
}

impl Header {
    /// Returns the header as bytes.
    #[must_use]
    pub fn to_bytes(self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..12].copy_from_slice(&MAGIC);
        bytes[12..16].copy_from_slice(&VERSION.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.number.to_le_bytes());
        bytes[20..28].copy_from_slice(&self.first.to_le_bytes());
        bytes[28..36].copy_from_slice(&self.begun.to_le_bytes());
        let checksum = crc32c::crc32c(&bytes[..36]);
        bytes[36..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Returns the place of the first record.
    #[must_use]
    pub fn place(self) -> Place {
        Place { segment: crc32c::crc32c(&self.to_bytes()[..36]), offset: HEADER as u64 }
    }

    fn parse<E>(bytes: &[u8; HEADER]) -> Result<Self, Unreadable<E>> {
        let word = |at: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[at..at + 8]);
            u64::from_le_bytes(word)
        };
        let damaged = Unreadable::Damaged(0, "its header has changed");
        let checksum = (word(32) >> 32) as u32;
        if bytes[..12] != MAGIC || crc32c::crc32c(&bytes[..36]) != checksum {
            return Err(damaged);
        }
        let (version, number) = ((word(12) & 0xffff_ffff) as u32, (word(12) >> 32) as u32);
        if version != VERSION {
            return Err(Unreadable::Version(version));
        }
        Ok(Self { number, first: word(20), begun: word(28) })
    }
}

/// Reads the header of a segment; `None` if it is incomplete, so that no record follows it.
///
/// # Errors
/// The file cannot be read, or is damaged.
pub fn read_header<E>(file: &Path) -> Result<Option<Header>, Unreadable<E>> {
    let mut bytes = Vec::with_capacity(HEADER);
    let mut opened = File::open(file).map_err(Unreadable::Io)?;
    opened.by_ref().take(HEADER as u64).read_to_end(&mut bytes).map_err(Unreadable::Io)?;
    match <[u8; HEADER]>::try_from(bytes.as_slice()) {
        // After a power cut, the length of a file may be there without its content.
        Ok(header) if header == [0; HEADER] => {
            opened.read_to_end(&mut bytes).map_err(Unreadable::Io)?;
            let has_content = bytes.iter().any(|byte| *byte != 0);
            has_content.then(|| Header::parse(&header)).transpose()
        }
        Ok(header) => Header::parse(&header).map(Some),
        Err(_) => Ok(None),
    }
}

/// Passes each record of a segment to `handle`, in order. Returns the number behind the last one,
/// and what follows it.
///
/// # Errors
/// The file cannot be read, is damaged, or `handle` returns an error.
pub fn read<E>(
    file: &Path,
    handle: &mut dyn FnMut(Record<'_>) -> Result<(), E>,
) -> Result<(u64, End), Unreadable<E>> {
    let mut opened = File::open(file).map_err(Unreadable::Io)?;
    let mut buffer = Vec::new();
    opened.by_ref().take(HEADER as u64).read_to_end(&mut buffer).map_err(Unreadable::Io)?;
    let Ok(header) = <[u8; HEADER]>::try_from(buffer.as_slice()) else {
        return Err(Unreadable::Damaged(0, "its header is cut short"));
    };
    let header = Header::parse(&header)?;
    read_records(opened, header, handle)
}

/// Works as [`read`], on what follows a header.
///
/// # Errors
/// As `read`.
pub fn read_records<E>(
    mut input: impl Read,
    header: Header,
    handle: &mut dyn FnMut(Record<'_>) -> Result<(), E>,
) -> Result<(u64, End), Unreadable<E>> {
    let Header { mut first, begun: mut time, .. } = header;
    let (mut buffer, mut at, mut place) = (Vec::new(), 0, header.place());
    let mut is_at_end = false;
    loop {
        match frame::parse(&buffer[at..], place) {
            Parsed::Record(payload) => {
                let end = at + payload.end;
                let payload = &buffer[at + payload.start..end];
                let (delta, length) = number(payload)
                    .ok_or(Unreadable::Damaged(place.offset, "a record has no time"))?;
                time = time.wrapping_add(unzigzag(delta));
                let commands = &payload[length..];
                let record = Record { number: first, time, commands };
                handle(record).map_err(Unreadable::Refused)?;
                first += 1;
                place = place.behind(end - at);
                at = end;
            }
            Parsed::Incomplete if !is_at_end => {
                buffer.drain(..at);
                at = 0;
                // A record that is longer than this is read by doubling.
                let most = PIECE.max(buffer.len());
                let read = input.by_ref().take(most as u64).read_to_end(&mut buffer);
                is_at_end = read.map_err(Unreadable::Io)? < most;
            }
            Parsed::Incomplete | Parsed::Invalid(_) => {
                if at == buffer.len() && is_at_end {
                    return Ok((first, End::Clean));
                }
                buffer.drain(..at);
                at = 0;
                input.read_to_end(&mut buffer).map_err(Unreadable::Io)?;
                is_at_end = true;
                // A host that serves may have written the rest meanwhile.
                if matches!(frame::parse(&buffer, place), Parsed::Record(_)) {
                    continue;
                }
                return match frame::classify(&buffer, place) {
                    Rest::Torn => Ok((first, End::Torn(place.offset))),
                    Rest::Damaged(how) => Err(Unreadable::Damaged(place.offset, how)),
                };
            }
        }
    }
}

/// Replaces `payload` by that of a record at `time`, after one at `before`.
pub fn write_payload(payload: &mut Vec<u8>, before: u64, time: u64, commands: &[u8]) {
    payload.clear();
    put_number(payload, zigzag(time.wrapping_sub(before)));
    payload.extend_from_slice(commands);
}

fn zigzag(difference: u64) -> u64 {
    (difference << 1) ^ ((difference.cast_signed() >> 63).cast_unsigned())
}

fn unzigzag(number: u64) -> u64 {
    (number >> 1) ^ (number & 1).wrapping_neg()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: Header = Header { number: 3, first: 10, begun: 1_000 };

    fn write(times: &[u64]) -> Vec<u8> {
        let (mut out, mut payload, mut before) = (Vec::new(), Vec::new(), HEAD.begun);
        for time in times {
            write_payload(&mut payload, before, *time, format!("at {time}").as_bytes());
            let place = HEAD.place().behind(out.len());
            frame::write(&mut out, place, &payload);
            before = *time;
        }
        out
    }

    /// The number and the time of each record.
    type Seen = Vec<(u64, u64)>;

    fn list(bytes: &[u8]) -> Result<(Seen, u64, End), Unreadable<()>> {
        let mut all = Vec::new();
        let (next, end) = read_records(bytes, HEAD, &mut |record| {
            assert_eq!(record.commands, format!("at {}", record.time).as_bytes());
            all.push((record.number, record.time));
            Ok(())
        })?;
        Ok((all, next, end))
    }

    #[test]
    fn times_and_numbers_come_back() {
        let times = [1_000, 1_001, 999, 1, u64::MAX, 0, 5_000_000_000_000];
        let (all, next, end) = list(&write(&times)).unwrap();
        assert_eq!((next, end), (17, End::Clean));
        assert_eq!(all.iter().map(|(_, time)| *time).collect::<Vec<_>>(), times);
        assert_eq!(
            all.iter().map(|(number, _)| *number).collect::<Vec<_>>(),
            [10, 11, 12, 13, 14, 15, 16]
        );
        assert!(matches!(list(b""), Ok((none, 10, End::Clean)) if none.is_empty()));
    }

    #[test]
    fn header_comes_back_and_flips_are_found() {
        let bytes = HEAD.to_bytes();
        assert_eq!(Header::parse::<()>(&bytes).unwrap(), HEAD);
        for bit in 0..HEADER * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Header::parse::<()>(&flipped).is_err(), "bit {bit}");
        }
    }

    /// A file that grows: reads end at each of its parts once.
    struct Growing(Vec<Vec<u8>>);

    impl Read for Growing {
        fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
            let Some(part) = self.0.first_mut() else { return Ok(0) };
            let length = part.len().min(room.len());
            room[..length].copy_from_slice(&part[..length]);
            part.drain(..length);
            if length == 0 {
                self.0.remove(0);
            }
            Ok(length)
        }
    }

    #[test]
    fn record_written_during_the_read_is_read() {
        let bytes = write(&[1_001, 1_002, 1_003]);
        for cut in 0..=bytes.len() {
            let (first, rest) = bytes.split_at(cut);
            let input = Growing(vec![first.to_vec(), rest.to_vec()]);
            let mut count = 0;
            let read = read_records::<()>(input, HEAD, &mut |_| {
                count += 1;
                Ok(())
            });
            let (next, end) = read.unwrap();
            assert_eq!((next, end), (10 + count, End::Clean), "{cut}");
            let is_between = cut % (bytes.len() / 3) == 0;
            assert_eq!(count == 3, cut == bytes.len() || !is_between, "{cut}");
        }
    }

    #[test]
    fn long_record_is_read() {
        let mut bytes = Vec::new();
        let mut payload = Vec::new();
        write_payload(&mut payload, HEAD.begun, HEAD.begun, &vec![b'x'; 3 * PIECE]);
        for _ in 0..2 {
            let place = HEAD.place().behind(bytes.len());
            frame::write(&mut bytes, place, &payload);
        }
        let mut lengths = Vec::new();
        let read = read_records::<()>(&*bytes, HEAD, &mut |record| {
            lengths.push(record.commands.len());
            Ok(())
        });
        assert_eq!(read.unwrap(), (12, End::Clean));
        assert_eq!(lengths, [3 * PIECE, 3 * PIECE]);
        let cut = read_records::<()>(&bytes[..bytes.len() - 1], HEAD, &mut |_| Ok(()));
        assert!(matches!(cut, Ok((11, End::Torn(_)))));
    }
}
