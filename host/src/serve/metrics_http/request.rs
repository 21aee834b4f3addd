//! The parser of HTTP requests to the metrics page.

use std::fmt;

/// The longest request, in bytes.
pub(super) const LONGEST: usize = 8 << 10;

/// The most headers of a request.
const HEADERS: usize = 64;

/// A request that was parsed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ChangeRequest {
    /// The path, without its query.
    pub(super) path: String,
    /// True if the method is `HEAD`: only the headers are sent.
    pub(super) head: bool,
}

/// The reason for which a request is refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// The bytes are no HTTP.
    Malformed,
    /// The request exceeds [`LONGEST`] or [`HEADERS`].
    TooLong,
    /// The method is neither `GET` nor `HEAD`.
    Method,
}

/// Parses a request. Returns `None` while it is not complete.
pub(super) fn parse(bytes: &[u8]) -> Option<Result<ChangeRequest, Refused>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(bytes) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) if bytes.len() < LONGEST => return None,
        Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
            return Some(Err(Refused::TooLong));
        }
        Err(_) => return Some(Err(Refused::Malformed)),
    }
    let head = match request.method {
        Some("GET") => false,
        Some("HEAD") => true,
        _ => return Some(Err(Refused::Method)),
    };
    let path = request.path.unwrap_or_default();
    let path = path.split('?').next().unwrap_or_default().to_owned();
    Some(Ok(ChangeRequest { path, head }))
}

impl Refused {
    /// Returns the response's status line, without the version.
    pub(super) fn status(&self) -> &'static str {
        match self {
            Self::Malformed => "400 Bad Request",
            Self::TooLong => "431 Request Header Fields Too Large",
            Self::Method => "405 Method Not Allowed",
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Malformed => "this is no HTTP request",
            Self::TooLong => "the request is too long",
            Self::Method => "the metrics can only be read: GET /metrics",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_understood_once_it_is_complete() {
        let whole = b"GET /metrics?x=1 HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n";
        for end in 0..whole.len() {
            assert_eq!(parse(&whole[..end]), None, "{end}");
        }
        let asked = |path: &str, head| Some(Ok(ChangeRequest { path: path.into(), head }));
        assert_eq!(parse(whole), asked("/metrics", false));
        assert_eq!(parse(b"HEAD / HTTP/1.0\r\n\r\n"), asked("/", true));
    }

    #[test]
    fn invalid_metrics_request_is_rejected() {
        assert_eq!(parse(b"POST /metrics HTTP/1.1\r\n\r\n"), Some(Err(Refused::Method)));
        assert_eq!(parse(b"*1\r\n$4\r\nPING\r\n"), Some(Err(Refused::Malformed)));
        assert_eq!(parse(b"\x16\x03\x01\x02\x00\x01\x00"), Some(Err(Refused::Malformed)));
        let long = [&b"GET / HTTP/1.1\r\nA: "[..], &[b'a'; LONGEST]].concat();
        assert_eq!(parse(&long[..LONGEST - 1]), None);
        assert_eq!(parse(&long[..LONGEST]), Some(Err(Refused::TooLong)));
        let many = [&b"GET / HTTP/1.1\r\n"[..], &b"A: b\r\n".repeat(HEADERS + 1), b"\r\n"].concat();
        assert_eq!(parse(&many), Some(Err(Refused::TooLong)));
    }
}
