//! The format in which earlier versions of the plugin saved the store. It is only read.
//!
//! `DROPSTOR`, the format's version as one byte, the number of records, then each record: the
//! length of its key, the length of its value, the key and the value. Numbers have 64 bits, lowest
//! byte first.

use plugin_api::{Error, Result};

const MAGIC: &[u8] = b"DROPSTOR";
const VERSION: u8 = 2;

/// Returns the saved keys and values; `saved` may be anything. Only a complete iteration shows
/// whether it is valid: the last item is an error where it is not.
pub(crate) fn read(saved: &[u8]) -> Result<Records<'_>> {
    let rest = saved
        .strip_prefix(MAGIC)
        .ok_or_else(|| Error::new("the saved state is not that of a store"))?;
    let (version, mut rest) = rest.split_first().ok_or_else(cut_short)?;
    if *version != VERSION {
        let message = format!("the saved state has version {version}, not {VERSION}");
        return Err(Error::new(message));
    }
    let left = number(&mut rest).ok_or_else(cut_short)?;
    Ok(Records { left, rest })
}

/// An iterator over saved keys and values.
#[derive(Clone)]
pub(crate) struct Records<'a> {
    left: u64,
    rest: &'a [u8],
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<(&'a [u8], &'a [u8])>;

    fn next(&mut self) -> Option<Self::Item> {
        let Some(left) = self.left.checked_sub(1) else {
            let beyond = !std::mem::take(&mut self.rest).is_empty();
            return beyond.then(|| Err(Error::new("the saved state has bytes after its end")));
        };
        self.left = left;
        let record = record(&mut self.rest);
        if record.is_none() {
            *self = Self { left: 0, rest: &[] };
        }
        Some(record.ok_or_else(cut_short))
    }
}

fn record<'a>(rest: &mut &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
    let key = usize::try_from(number(rest)?).ok()?;
    let value = usize::try_from(number(rest)?).ok()?;
    let key = rest.split_off(..key)?;
    Some((key, rest.split_off(..value)?))
}

fn number(rest: &mut &[u8]) -> Option<u64> {
    let (number, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(u64::from_le_bytes(*number))
}

fn cut_short() -> Error {
    Error::new("the saved state is truncated")
}
