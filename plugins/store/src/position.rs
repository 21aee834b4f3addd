//! Positions: the order in which `scan`, `keys` and a stream go through the map.
//!
//! The position of a key is the beginning of its hash. It stays the same while the map grows, so a
//! pass over all positions meets every key that is there from its start to its end.

/// Number of bits of a hash that are the position.
const BITS: u32 = 40;
/// Number of bits of a position that are the number of a part.
const PART_BITS: u32 = 10;
/// Number of parts of the map. A part of three million keys has 3,000, so that growing its table
/// and going through it take some 100 us.
pub(crate) const PARTS: usize = 1 << PART_BITS;
/// Number of positions in a part.
pub(crate) const PER_PART: u64 = 1 << (BITS - PART_BITS);
/// The position after the last one.
pub(crate) const END: u64 = 1 << BITS;

/// Number of bits of a cursor that name the store: a cursor has 63, as a signed number has.
const TAG_BITS: u32 = 63 - BITS;

/// Returns the position of a hash.
pub(crate) fn of(hash: u64) -> u64 {
    hash >> (u64::BITS - BITS)
}

/// Returns the part of a position.
pub(crate) fn part(position: u64) -> usize {
    (position / PER_PART) as usize
}

/// Returns the cursor for a position: 0 at the end. Hashes differ from store to store, so it also
/// contains a part of `tag`, a random number of the store.
pub(crate) fn to_cursor(position: u64, tag: u64) -> u64 {
    if position >= END { 0 } else { position << TAG_BITS | short(tag) }
}

/// Returns the position of a cursor. A cursor of another store, such as that before a reload, means
/// the start: the client gets keys again, but misses none.
pub(crate) fn from_cursor(cursor: u64, tag: u64) -> u64 {
    let position = cursor >> TAG_BITS;
    let valid = position < END && short(cursor) == short(tag);
    if valid { position } else { 0 }
}

fn short(tag: u64) -> u64 {
    tag & ((1 << TAG_BITS) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursor_leads_to_its_position() {
        for position in [1, 2, PER_PART, END - 1] {
            for tag in [0, 1, u64::MAX] {
                let cursor = to_cursor(position, tag);
                assert!(i64::try_from(cursor).unwrap() > 0);
                assert_eq!(from_cursor(cursor, tag), position);
                assert_eq!(from_cursor(cursor, !tag), 0);
            }
        }
        assert_eq!((to_cursor(END, 7), from_cursor(0, 7)), (0, 0));
        assert_eq!(from_cursor(u64::MAX, u64::MAX), 0);
    }

    #[test]
    fn every_hash_has_a_part() {
        assert_eq!((part(of(0)), part(of(u64::MAX))), (0, PARTS - 1));
        assert_eq!(PARTS as u64 * PER_PART, END);
    }
}
