//! The header of the PROXY protocol, version 1 or 2, in which a proxy names the client of a
//! connection: <https://www.haproxy.org/download/2.8/doc/proxy-protocol.txt>

mod frame;

use std::{
    io,
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use auth::trust::distance;
use platform::InterruptibleReader;
use proxy_header::{ParseConfig, Protocol, ProxyHeader};

use self::frame::{Missing, missing};

/// The poll interval for shutdown.
const SLICE: Duration = Duration::from_millis(250);

/// The reason for which a connection from a proxy is not served.
#[derive(Debug, thiserror::Error)]
pub enum HeaderError {
    /// The first bytes are none of a header.
    #[error("it sent no PROXY header, and --proxy-from names its address")]
    None,
    /// The header is longer than this many bytes.
    #[error("its PROXY header is longer than {0} bytes")]
    TooLong(usize),
    /// The header has no valid contents.
    #[error("its PROXY header is malformed")]
    Malformed,
    /// The header was not complete in time.
    #[error("it sent no complete PROXY header within {} s", .0.as_secs_f64())]
    Late(Duration),
    /// The proxy closed the connection after this many bytes of a header.
    #[error("it closed the connection after {0} bytes of a PROXY header")]
    Closed(usize),
    /// The host is ending.
    #[error("the host is ending")]
    Ending,
    /// The connection is broken.
    #[error("cannot read its PROXY header: {0}")]
    Read(#[source] io::Error),
}

/// Reads the header from a new connection of `proxy`, and no byte behind it. Returns the client's
/// address, or the proxy's own if the header names none.
///
/// An address is relative to its place: 127.0.0.1 in the header of a proxy elsewhere is the proxy's
/// machine. So a client that the header places nearer than the proxy itself gets the proxy's
/// address.
///
/// # Errors
/// The bytes are no header, it is not complete within `limit`, `is_ending` returns true, or the
/// connection is gone.
pub fn read(
    stream: &TcpStream,
    proxy: SocketAddr,
    limit: Duration,
    is_ending: impl Fn() -> bool,
) -> Result<SocketAddr, HeaderError> {
    let (reader, deadline) = (InterruptibleReader::new(), Instant::now() + limit);
    let mut header = Vec::new();
    loop {
        let missing = missing(&header)?;
        if missing == Missing::Nothing {
            let client = parse(&header)?;
            let is_farther = |client: &SocketAddr| distance(client.ip()) >= distance(proxy.ip());
            return Ok(client.filter(is_farther).unwrap_or(proxy));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if is_ending() {
            return Err(HeaderError::Ending);
        }
        if left.is_zero() {
            return Err(HeaderError::Late(limit));
        }
        if !reader.wait_readable(stream, left.min(SLICE)) {
            continue;
        }
        match take(stream, &reader, missing, &mut header) {
            Ok(0) => return Err(HeaderError::Closed(header.len())),
            Ok(_) => {}
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock
                ) => {}
            Err(error) => return Err(HeaderError::Read(error)),
        }
    }
}

/// Moves input that belongs to the header to its end, and returns the number of bytes.
fn take(
    stream: &TcpStream,
    reader: &InterruptibleReader,
    missing: Missing,
    header: &mut Vec<u8>,
) -> io::Result<usize> {
    let room = match missing {
        Missing::Nothing => 0,
        Missing::Bytes(count) => count,
        Missing::Line(most) => {
            let mut ahead = vec![0; most];
            let seen = reader.peek(stream, &mut ahead)?;
            let end = ahead.iter().take(seen).position(|byte| *byte == b'\n');
            end.map_or(seen, |end| end + 1)
        }
    };
    let start = header.len();
    header.resize(start + room, 0);
    let read = reader.try_read(stream, header.get_mut(start..).unwrap_or_default());
    header.truncate(start + read.as_ref().copied().unwrap_or_default());
    read
}

/// Returns the client that a complete header names; `None` if it names none, as for a health check
/// and for a client of another kind of network.
fn parse(header: &[u8]) -> Result<Option<SocketAddr>, HeaderError> {
    let config = ParseConfig { include_tlvs: false, ..ParseConfig::default() };
    let (parsed, length) =
        ProxyHeader::parse(header, config).map_err(|_| HeaderError::Malformed)?;
    match parsed.proxied_address() {
        _ if length != header.len() => Err(HeaderError::Malformed),
        None => Ok(None),
        Some(address) if address.protocol != Protocol::Stream => Err(HeaderError::Malformed),
        Some(address) => {
            Ok(Some(SocketAddr::new(address.source.ip().to_canonical(), address.source.port())))
        }
    }
}

#[cfg(test)]
mod tests;
