//! The read buffer: bytes that a client has sent and the session has not answered yet.

use std::io;

/// The initial size in bytes: enough for a client that sends one short request at a time.
const FIRST: usize = 1 << 10;

/// The largest size that an idle session keeps, in bytes.
const SMALL: usize = 4 << 10;

/// The size of a buffer that many sessions use in turn, in bytes.
const FOR_MANY: usize = 16 << 10;

/// The most that such a buffer reads at once, in bytes. It bounds what a client
/// that sends without end gets done in a turn. An argument of 64 KiB arrives with its header.
const MOST_AT_ONCE: usize = 68 << 10;

/// The most of one request that is read in a turn, in bytes.
const MOST_OF_ONE: usize = 4 << 20;

/// The largest size that such a buffer keeps, in bytes.
const KEPT_FOR_MANY: usize = 2 << 20;

/// A buffer that is filled at the end and consumed at the front. It grows to the size that a
/// request needs, and shrinks when the session is idle.
pub struct ReadBuffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    /// True if the last read filled the buffer. A larger buffer might save a read.
    filled: bool,
    /// The largest size that is kept.
    kept: usize,
    /// The most that is read at once, but for one request that is cut short.
    most: usize,
    /// True if the last read got as much as it could take.
    is_cut: bool,
}

impl Default for ReadBuffer {
    fn default() -> Self {
        Self {
            bytes: vec![0; FIRST],
            start: 0,
            end: 0,
            filled: false,
            kept: SMALL,
            most: usize::MAX,
            is_cut: false,
        }
    }
}

impl ReadBuffer {
    /// Makes a buffer that many sessions use in turn.
    pub fn for_many() -> Self {
        let (bytes, kept, most) = (vec![0; FOR_MANY], KEPT_FOR_MANY, MOST_AT_ONCE);
        Self { bytes, start: 0, end: 0, filled: false, kept, most, is_cut: false }
    }

    /// Returns the bytes that have not been consumed.
    pub fn unread(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Returns whether everything has been consumed.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Removes bytes from the front; at most those that are there.
    pub fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
        if self.is_empty() {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Removes all bytes, and returns them.
    pub fn take(&mut self) -> Vec<u8> {
        let bytes = self.unread().to_vec();
        self.consume(bytes.len());
        bytes
    }

    /// Reads once, and returns the number of bytes. Fails only if `read` does.
    pub fn fill(&mut self, read: impl FnOnce(&mut [u8]) -> io::Result<usize>) -> io::Result<usize> {
        let is_more = self.is_cut_short();
        if self.filled {
            self.make_room();
        }
        let most = if is_more { usize::MAX } else { self.most };
        let end = self.end.saturating_add(most).min(self.bytes.len());
        self.is_cut = false;
        let room = &mut self.bytes[self.end..end];
        let most = room.len();
        let count = read(room)?;
        self.is_cut = count == most;
        self.end += count;
        self.filled = self.end == self.bytes.len();
        Ok(count)
    }

    fn make_room(&mut self) {
        let needed = self.end - self.start == self.bytes.len();
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if needed || self.bytes.len() < SMALL {
            self.bytes.resize(self.bytes.len() * 2, 0);
        }
    }

    /// Returns true if it holds a part of one request, of which more has probably arrived. Never
    /// for a request of over 4 MiB, so that others get a turn.
    pub fn is_cut_short(&self) -> bool {
        self.is_cut && self.start == 0 && (1..MOST_OF_ONE).contains(&self.end)
    }

    /// Moves the bytes into an empty buffer.
    pub fn move_into(&mut self, other: &mut Self) {
        let part = self.unread();
        let count = part.len();
        if other.bytes.len() < count {
            other.bytes.resize(count.next_power_of_two(), 0);
        }
        if let Some(room) = other.bytes.get_mut(..count) {
            room.copy_from_slice(part);
        }
        (other.start, other.end) = (0, count);
        other.filled = count == other.bytes.len();
        self.consume(count);
    }

    /// Returns whether the buffer is larger than an idle session keeps.
    pub fn is_large(&self) -> bool {
        self.bytes.len() > self.kept
    }

    /// Returns the buffer's size in bytes, with the growth at the next read.
    pub fn held(&self) -> usize {
        let grows = self.filled && self.end - self.start == self.bytes.len();
        if grows { self.bytes.capacity() * 2 } else { self.bytes.capacity() }
    }

    /// Removes all bytes, and frees the memory that they have needed.
    pub fn free(&mut self) {
        (self.start, self.end, self.filled) = (0, 0, false);
        let first = if self.most == usize::MAX { FIRST } else { FOR_MANY };
        if self.bytes.len() > first {
            self.bytes.truncate(first);
            self.bytes.shrink_to_fit();
        }
    }

    /// Frees the memory that an idle session does not need.
    pub fn shrink(&mut self) {
        if self.is_empty() && self.bytes.len() > self.kept {
            self.bytes.truncate(self.kept);
            self.bytes.shrink_to(self.kept);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(buffer: &mut ReadBuffer, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let read = buffer
                .fill(|room| {
                    let count = room.len().min(bytes.len());
                    room[..count].copy_from_slice(&bytes[..count]);
                    Ok(count)
                })
                .unwrap();
            bytes = &bytes[read..];
        }
    }

    #[test]
    fn bytes_come_out_unchanged_at_any_capacity() {
        let data: Vec<u8> = (0..100_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let mut buffer = ReadBuffer::default();
        feed(&mut buffer, &data[..5_000]);
        assert_eq!(buffer.unread(), &data[..5_000]);
        buffer.consume(3_000);
        feed(&mut buffer, &data[5_000..]);
        assert_eq!(buffer.unread(), &data[3_000..]);
        buffer.consume(usize::MAX - 100_000);
        assert!(buffer.is_empty());
    }

    #[test]
    fn buffer_that_was_filled_grows_for_next_batch() {
        let mut buffer = ReadBuffer::default();
        let reads = |buffer: &mut ReadBuffer| {
            let (mut left, mut reads) = (3000, 0);
            while left > 0 {
                left -= buffer.fill(|room| Ok(room.len().min(left))).unwrap();
                buffer.consume(usize::MAX - 100_000);
                reads += 1;
            }
            reads
        };
        assert_eq!([reads(&mut buffer), reads(&mut buffer), reads(&mut buffer)], [2, 2, 1]);
        assert!(!buffer.is_large(), "that much is kept");
    }

    #[test]
    fn read_behind_a_part_is_bounded() {
        let mut buffer = ReadBuffer::for_many();
        feed(&mut buffer, &[7; 1 << 20]);
        buffer.consume(1 << 20);
        let room_of = |buffer: &mut ReadBuffer, count: usize| {
            let mut most = 0;
            let read = |room: &mut [u8]| {
                most = room.len();
                Ok(count.min(most))
            };
            buffer.fill(read).unwrap();
            most
        };
        assert_eq!(room_of(&mut buffer, 100), MOST_AT_ONCE);
        assert!(!buffer.is_cut_short());
        assert_eq!(room_of(&mut buffer, usize::MAX), MOST_AT_ONCE);
        assert!(buffer.is_cut_short(), "more has arrived");
        assert!(room_of(&mut buffer, usize::MAX) > MOST_AT_ONCE);
        buffer.consume(10);
        assert!(!buffer.is_cut_short(), "others are behind it");
        assert!(room_of(&mut buffer, 100) <= MOST_AT_ONCE);
    }

    #[test]
    fn an_idle_session_gives_memory_back() {
        let mut buffer = ReadBuffer::default();
        feed(&mut buffer, &[7; 1 << 20]);
        buffer.shrink();
        assert_eq!(buffer.unread().len(), 1 << 20, "unread bytes stay");
        assert_eq!(buffer.held(), 2 << 20, "the next read doubles it");
        buffer.consume(1 << 20);
        buffer.shrink();
        assert!(buffer.bytes.capacity() <= 2 * SMALL);
    }
}
