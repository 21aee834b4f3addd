//! The pieces of plain replies.

use super::resp::spaced;

/// `error: message`, or `error: KIND message` when the kind says more than `ERR`.
pub(super) fn error(out: &mut Vec<u8>, kind: &str, message: &[u8]) {
    out.extend_from_slice(b"error: ");
    if kind != "ERR" {
        spaced(out, kind.as_bytes());
        if !message.is_empty() {
            out.push(b' ');
        }
    }
    spaced(out, message);
}

/// Ends the line that starts at `start`, unless its text ends it already.
pub(super) fn end_line(out: &mut Vec<u8>, start: usize) {
    if out.get(start..).is_none_or(|line| line.last() != Some(&b'\n')) {
        out.push(b'\n');
    }
}
