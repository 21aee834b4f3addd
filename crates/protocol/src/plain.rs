//! The parts of plain replies.

use super::resp::spaced;

/// Appends `error: message`, or `error: KIND message` if the kind is not `ERR`.
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

/// Ends the line that starts at `start` with a newline, unless it has one.
pub(super) fn end_line(out: &mut Vec<u8>, start: usize) {
    if out.get(start..).is_none_or(|line| line.last() != Some(&b'\n')) {
        out.push(b'\n');
    }
}
