//! The detection of HTTP at the start of a session, so that nothing of it is run as a command.
//!
//! A web page can have a browser on a trusted machine send a request whose method, path and body
//! the page chooses. The browser always writes the request line first, and ends it in its version.

use std::time::Instant;

use memchr::memchr;

use super::{CloseReason, Session, buffers::Buffers};

/// The response to an HTTP request.
const RESPONSE: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
Content-Type: text/plain; charset=utf-8\r\n\
Content-Length: 91\r\n\
Connection: close\r\n\
\r\n\
This port takes commands of a Dropin host, as lines or in the Redis protocol, and no HTTP.\n";

impl Session {
    /// Rejects an HTTP request, of which nothing is run.
    #[cold]
    pub(super) fn refuse_http(&mut self, buffers: &mut Buffers) -> CloseReason {
        self.shared.metrics.malformed.count();
        self.shared.rejected.warn(Instant::now(), || {
            format!("{} sent an HTTP request, perhaps from a web page", self.handle.peer)
        });
        buffers.replies.begin();
        buffers.replies.text(RESPONSE);
        buffers.replies.finish();
        CloseReason::BrokenProtocol
    }
}

/// The kind of a session's first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// Only blank lines and an unfinished line so far.
    Undecided,
    /// An HTTP request.
    Http,
    /// Commands.
    Commands,
}

/// The detector of a session's first bytes.
#[derive(Debug, Default)]
pub(super) struct Detector {
    /// The number of input bytes that have been searched for a line end without success.
    seen: usize,
}

impl Detector {
    /// Returns the kind of the session's first bytes. `input` is everything that no request has
    /// consumed; before it only blank lines were consumed. No byte is searched twice.
    pub(super) fn detect(&mut self, input: &[u8]) -> Start {
        let unseen = input.get(self.seen..).unwrap_or(input);
        if memchr(b'\n', unseen).is_none() {
            self.seen = input.len();
            return Start::Undecided;
        }
        self.seen = 0;
        classify(input)
    }
}

fn classify(input: &[u8]) -> Start {
    let input = input.trim_ascii_start();
    if input.first() == Some(&b'*') {
        return Start::Commands;
    }
    match memchr(b'\n', input).and_then(|end| input.get(..end)) {
        None => Start::Undecided,
        Some(line) if is_request_line(line) => Start::Http,
        Some(_) => Start::Commands,
    }
}

/// Returns whether the line has several words and the last one is an HTTP version.
fn is_request_line(line: &[u8]) -> bool {
    let line = line.trim_ascii_end();
    let Some(space) = line.iter().rposition(u8::is_ascii_whitespace) else { return false };
    let last = line.get(space + 1..).unwrap_or_default();
    let Some((name, version)) = last.split_at_checked(5) else { return false };
    name.eq_ignore_ascii_case(b"HTTP/")
        && version.first().is_some_and(u8::is_ascii_digit)
        && version.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_lines_are_http() {
        for line in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"SET /x HTTP/1.1\r\nHost: localhost:5000\r\n\r\n",
            b"GET / HTTP/1.0\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"\r\n\r\n  \nGET /x HTTP/1.1 \r\n",
            b"post /x http/1.1\r\nshutdown\r\n",
            b"GET /x HTTP/3\n",
        ] {
            assert_eq!(classify(line), Start::Http, "{}", line.escape_ascii());
        }
    }

    #[test]
    fn commands_are_not_http() {
        for line in [
            &b"*3\r\n$3\r\nGET\r\n$1\r\n/\r\n$8\r\nHTTP/1.1\r\n"[..],
            b"echo 'GET / HTTP/1.1'\n",
            b"echo HTTP/1.1 again\n",
            b"HTTP/1.1\n",
            b"get HTTP/\n",
            b"get HTTP/x\n",
            b"ping\nGET / HTTP/1.1\r\n",
        ] {
            assert_eq!(classify(line), Start::Commands, "{}", line.escape_ascii());
        }
    }

    #[test]
    fn unfinished_first_line_is_undecided() {
        let line = b"\r\nGET / HTTP/1.1\r\n";
        let mut detector = Detector::default();
        for length in 0..line.len() - 1 {
            assert_eq!(detector.detect(&line[..length]), Start::Undecided, "{length}");
        }
        assert_eq!(detector.detect(line), Start::Http);
    }

    #[test]
    fn the_response_is_as_long_as_it_says() {
        let text = std::str::from_utf8(RESPONSE).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let length = format!("Content-Length: {}", body.len());
        assert!(head.lines().any(|line| line == length), "{}", body.len());
    }
}
