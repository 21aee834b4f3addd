//! The parts of RESP2 and RESP3.

use memchr::memchr2;

use crate::outgoing::append;

/// Appends `<mark><number>\r\n`: an integer, or the header of an array, a map, a push or a bulk
/// string.
#[inline]
pub(super) fn header(out: &mut Vec<u8>, mark: u8, number: impl itoa::Integer) {
    out.push(mark);
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Appends a bulk string.
#[inline]
pub(super) fn bulk(out: &mut Vec<u8>, bytes: &[u8]) {
    // 25 bytes for the longest header and both line ends.
    out.reserve(bytes.len() + 25);
    header(out, b'$', bytes.len());
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

/// Appends a bulk string of any length.
pub(super) fn long_bulk(out: &mut Vec<u8>, bytes: &[u8]) {
    out.reserve(bytes.len() + 25);
    header(out, b'$', bytes.len());
    append(out, bytes);
    out.extend_from_slice(b"\r\n");
}

/// Appends a RESP3 push of bulk strings.
pub(super) fn push(out: &mut Vec<u8>, items: &[&[u8]]) {
    header(out, b'>', items.len());
    for item in items {
        bulk(out, item);
    }
}

/// Appends a simple error.
pub(super) fn error(out: &mut Vec<u8>, kind: &str, message: &[u8]) {
    out.push(b'-');
    spaced(out, kind.as_bytes());
    if !message.is_empty() {
        out.push(b' ');
        spaced(out, message);
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends `text` as one line, its line ends as spaces.
pub(super) fn spaced(out: &mut Vec<u8>, text: &[u8]) {
    let start = out.len();
    out.extend_from_slice(text);
    if let Some(line) = out.get_mut(start..) {
        for byte in line {
            if matches!(*byte, b'\r' | b'\n') {
                *byte = b' ';
            }
        }
    }
}

/// Appends `text` as one line, its line ends left out.
#[inline]
pub(super) fn stripped(out: &mut Vec<u8>, text: &[u8]) {
    match memchr2(b'\r', b'\n', text) {
        None => out.extend_from_slice(text),
        Some(_) => out.extend(text.iter().filter(|byte| !matches!(byte, b'\r' | b'\n'))),
    }
}

/// Calls `write` with the shortest decimal text that parses as `value`; 3 is `3` and not `3.0`.
pub(super) fn with_float(value: f64, write: impl FnOnce(&[u8])) {
    if value.is_nan() {
        return write(b"nan");
    }
    if value.is_infinite() {
        return write(if value > 0.0 { b"inf" } else { b"-inf" });
    }
    let mut buffer = ryu::Buffer::new();
    let text = buffer.format_finite(value).as_bytes();
    write(text.strip_suffix(b".0").unwrap_or(text));
}
