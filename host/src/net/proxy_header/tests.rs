//! Tests of reading a header from a connection.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, Ipv6Addr, Shutdown, TcpListener},
    thread,
};

use super::*;

/// The limit of a read that ends earlier unless something is wrong.
const LIMIT: Duration = Duration::from_secs(20);

const TEXT: &[u8] = b"PROXY TCP4 203.0.113.7 192.0.2.1 40001 5000\r\n";

/// Returns a connection that has sent these bytes and nothing more, and its other end.
fn connection(bytes: &[u8]) -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut proxy = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    proxy.set_nodelay(true).unwrap();
    proxy.write_all(bytes).unwrap();
    (listener.accept().unwrap().0, proxy)
}

fn proxy() -> SocketAddr {
    ([10, 0, 0, 2], 7).into()
}

/// Returns the client of a connection that begins with these bytes and then ends.
fn client_of(bytes: &[u8]) -> Result<SocketAddr, String> {
    let (stream, other) = connection(bytes);
    other.shutdown(Shutdown::Write).unwrap();
    read(&stream, proxy(), LIMIT, || false).map_err(|error| error.to_string())
}

/// Returns a header of version 2 with this command, kind and contents.
fn binary(command: u8, kind: u8, contents: &[u8]) -> Vec<u8> {
    let length = u16::try_from(contents.len()).unwrap().to_be_bytes();
    [b"\r\n\r\n\0\r\nQUIT\n", &[command, kind][..], &length, contents].concat()
}

/// Returns the contents for these addresses, with ports 40001 and 5000.
fn v4(client: Ipv4Addr) -> Vec<u8> {
    [&client.octets()[..], &[192, 0, 2, 1], &[0x9c, 0x41, 0x13, 0x88]].concat()
}

fn v6(client: Ipv6Addr) -> Vec<u8> {
    [&client.octets()[..], &[0; 16], &[0x9c, 0x41, 0x13, 0x88]].concat()
}

/// Returns headers of every kind, each with the client that it names.
fn headers() -> Vec<(Vec<u8>, SocketAddr)> {
    let named = |text: &str| text.parse::<SocketAddr>().unwrap();
    let (four, six) = (Ipv4Addr::new(203, 0, 113, 7), "2001:db8::7".parse().unwrap());
    let added = [&v4(four)[..], &[4, 1, 0], &[0; 256]].concat();
    vec![
        (TEXT.to_vec(), named("203.0.113.7:40001")),
        (b"PROXY TCP6 2001:db8::7 :: 40001 5000\r\n".to_vec(), named("[2001:db8::7]:40001")),
        (b"PROXY TCP6 ::ffff:203.0.113.7 ::1 1 2\r\n".to_vec(), named("203.0.113.7:1")),
        (b"PROXY UNKNOWN\r\n".to_vec(), proxy()),
        (b"PROXY UNKNOWN 203.0.113.7 192.0.2.1 1 2\r\n".to_vec(), proxy()),
        (binary(0x21, 0x11, &v4(four)), named("203.0.113.7:40001")),
        (binary(0x21, 0x11, &added), named("203.0.113.7:40001")),
        (binary(0x21, 0x21, &v6(six)), named("[2001:db8::7]:40001")),
        (binary(0x21, 0x21, &v6(four.to_ipv6_mapped())), named("203.0.113.7:40001")),
        // A health check, a client of no known kind, and one of a socket in the file system.
        (binary(0x20, 0x00, &[]), proxy()),
        (binary(0x20, 0x11, &v4(four)), proxy()),
        (binary(0x21, 0x00, &[]), proxy()),
        (binary(0x21, 0x31, &[b'/'; 216]), proxy()),
    ]
}

#[test]
fn header_names_the_client() {
    for (header, client) in headers() {
        assert_eq!(client_of(&header), Ok(client), "{}", header.escape_ascii());
    }
}

#[test]
fn bytes_behind_the_header_stay_unread() {
    // A command, and the first bytes of TLS.
    for behind in [&b"PING\r\n"[..], b"PROXY UNKNOWN\r\n", b"\x16\x03\x01\x02\x00\x01", b"\n"] {
        for (header, client) in headers() {
            let (mut stream, other) = connection(&[&header, behind].concat());
            other.shutdown(Shutdown::Write).unwrap();
            assert_eq!(read(&stream, proxy(), LIMIT, || false).unwrap(), client);
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).unwrap();
            assert_eq!(rest, behind, "{}", header.escape_ascii());
        }
    }
}

#[test]
fn header_may_arrive_byte_by_byte() {
    for (header, client) in headers() {
        let (mut stream, mut other) = connection(b"");
        let sent = [&header[..], b"PING\r\n"].concat();
        let sender = thread::spawn(move || {
            sent.chunks(1).for_each(|byte| other.write_all(byte).unwrap());
        });
        assert_eq!(read(&stream, proxy(), LIMIT, || false).unwrap(), client);
        sender.join().unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, b"PING\r\n");
    }
}

#[test]
fn every_part_of_a_header_is_incomplete() {
    for (header, _) in headers() {
        for length in 0..header.len() {
            let part = header.get(..length).unwrap();
            let most = match missing(part).unwrap() {
                Missing::Nothing => panic!("{} is complete", part.escape_ascii()),
                Missing::Bytes(count) => count,
                Missing::Line(most) => {
                    assert_eq!(most, 107 - length);
                    1
                }
            };
            assert!((1..=header.len() - length).contains(&most), "no byte behind it is read");
        }
        let cut = header.len() - 1;
        let closed = format!("it closed the connection after {cut} bytes of a PROXY header");
        assert_eq!(client_of(header.get(..cut).unwrap()), Err(closed));
    }
    let nothing = "it closed the connection after 0 bytes of a PROXY header";
    assert_eq!(client_of(b""), Err(nothing.to_owned()));
}

#[test]
fn bytes_without_a_header_are_refused_at_once() {
    let none = "it sent no PROXY header, and --proxy-from names its address";
    for bytes in [
        &b"PING\r\n"[..],
        b"*1\r\n$4\r\nPING\r\n",
        b"\x16\x03\x01\x02\x00",
        b"\n",
        b"\r\n\r\nget x\r\n",
        b"proxy UNKNOWN\r\n",
        b"PROXY\tUNKNOWN\r\n",
        b" PROXY UNKNOWN\r\n",
    ] {
        // The connection stays open.
        let (stream, _other) = connection(bytes);
        let error = read(&stream, proxy(), LIMIT, || false).unwrap_err();
        assert_eq!(error.to_string(), none, "{}", bytes.escape_ascii());
    }
}

#[test]
fn header_with_wrong_contents_is_refused() {
    let four = v4(Ipv4Addr::LOCALHOST);
    for bytes in [
        b"PROXY \r\nPING and more\r\n".to_vec(),
        b"PROXY TCP4 203.0.113.7 192.0.2.1 40001\r\n".to_vec(),
        b"PROXY TCP4 2001:db8::7 192.0.2.1 40001 5000\r\n".to_vec(),
        b"PROXY TCP4 203.0.113.256 192.0.2.1 40001 5000\r\n".to_vec(),
        b"PROXY TCP4 203.0.113.7 192.0.2.1 65536 5000\r\n".to_vec(),
        b"PROXY TCP4 203.0.113.7 192.0.2.1 40001 5000\n".to_vec(),
        b"PROXY TCP4 203.0.113.7 192.0.2.1 40001 5000 6000\r\n".to_vec(),
        b"PROXY UDP4 203.0.113.7 192.0.2.1 40001 5000\r\n".to_vec(),
        binary(0x11, 0x11, &four),
        binary(0x22, 0x11, &four),
        binary(0x21, 0x12, &four),
        binary(0x21, 0x11, &four[..11]),
        binary(0x21, 0x21, &four),
        binary(0x21, 0x41, &four),
        binary(0x21, 0x31, &four),
    ] {
        let answer = client_of(&bytes);
        let malformed = "its PROXY header is malformed".to_owned();
        assert_eq!(answer, Err(malformed), "{}", bytes.escape_ascii());
    }
}

#[test]
fn header_beyond_its_limit_is_refused() {
    let mut line = b"PROXY UNKNOWN ".to_vec();
    line.resize(105, b'x');
    assert_eq!(client_of(&[&line[..], b"\r\n"].concat()), Ok(proxy()));
    line.resize(107, b'x');
    let (stream, _other) = connection(&line);
    let error = read(&stream, proxy(), LIMIT, || false).unwrap_err();
    assert_eq!(error.to_string(), "its PROXY header is longer than 107 bytes");
    assert_eq!(client_of(&binary(0x20, 0x00, &[0; 4080])), Ok(proxy()));
    // The length alone is enough to refuse it.
    let long = binary(0x20, 0x00, &[0; 4081]);
    let (stream, _other) = connection(long.get(..16).unwrap());
    let error = read(&stream, proxy(), LIMIT, || false).unwrap_err();
    assert_eq!(error.to_string(), "its PROXY header is longer than 4096 bytes");
}

#[test]
fn silent_proxy_is_waited_for_until_the_limit() {
    for bytes in [&b""[..], TEXT.get(..20).unwrap(), b"\r\n\r\n\0\r\nQUIT\n\x21\x11"] {
        let (stream, _other) = connection(bytes);
        let (limit, before) = (Duration::from_millis(20), Instant::now());
        let error = read(&stream, proxy(), limit, || false).unwrap_err();
        assert_eq!(error.to_string(), "it sent no complete PROXY header within 0.02 s");
        assert!(before.elapsed() >= limit);
        assert!(matches!(read(&stream, proxy(), LIMIT, || true), Err(HeaderError::Ending)));
    }
}

#[test]
fn client_is_never_nearer_than_its_proxy() {
    let client = |proxy: &str, client: &str| {
        let (stream, _other) = connection(&binary(0x21, 0x11, &v4(client.parse().unwrap())));
        read(&stream, (proxy.parse::<std::net::IpAddr>().unwrap(), 7).into(), LIMIT, || false)
            .unwrap()
            .ip()
            .to_string()
    };
    for (proxy, named, counted) in [
        ("127.0.0.1", "127.0.0.1", "127.0.0.1"),
        ("::1", "192.168.0.9", "192.168.0.9"),
        ("127.0.0.1", "203.0.113.7", "203.0.113.7"),
        ("10.0.0.2", "127.0.0.1", "10.0.0.2"),
        ("10.0.0.2", "192.168.0.9", "192.168.0.9"),
        ("198.51.100.1", "127.0.0.1", "198.51.100.1"),
        ("198.51.100.1", "192.168.0.9", "198.51.100.1"),
        ("198.51.100.1", "203.0.113.7", "203.0.113.7"),
    ] {
        assert_eq!(client(proxy, named), counted, "{named} behind {proxy}");
    }
}

#[test]
fn changed_byte_of_a_header_does_no_harm() {
    for (header, _) in headers() {
        for place in 0..header.len() {
            for byte in 0..=u8::MAX {
                let mut changed = header.clone();
                *changed.get_mut(place).unwrap() = byte;
                let complete = matches!(missing(&changed), Ok(Missing::Nothing));
                // It is refused, or names a client: it does not panic.
                let _ = complete.then(|| parse(&changed));
            }
        }
    }
}
