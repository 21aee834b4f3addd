//! Clients behind a proxy, which names them in a header of the PROXY protocol.
//!
//! The hosts take the header from 127.0.0.1. A test reaches them without one over IPv6.

use std::{
    io,
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use dropin_tests::{Connection, Host, LIMIT, Lines, Setup, tool, wait_until};

use super::NOAUTH;

/// The client that most headers name, at another machine.
const CLIENT: &str = "203.0.113.7:40001";

/// The answer to a connection from the proxy that has no valid header.
const REQUIRED: &str = "-ERR a PROXY header is required from your address";

/// Starts a host that takes the header from 127.0.0.1.
fn host(flags: &[&str]) -> Host {
    let setup = Setup::new().plugins(&["server", "text", "facts"]);
    setup.flags(&["--proxy-from", "127.0.0.1"]).flags(flags).start()
}

/// Returns a header of version 1 that names this client.
fn text(client: &str) -> String {
    let client: SocketAddr = client.parse().unwrap();
    let (ip, port) = (client.ip(), client.port());
    let (kind, own) = if ip.is_ipv4() { ("TCP4", "192.0.2.1") } else { ("TCP6", "2001:db8::1") };
    format!("PROXY {kind} {ip} {own} {port} 5000\r\n")
}

/// Returns a header of version 2 with this command, which names this client.
fn binary(command: u8, client: &str) -> Vec<u8> {
    let SocketAddr::V4(client) = client.parse().unwrap() else { panic!("an IPv4 address") };
    let port = client.port().to_be_bytes();
    let addresses = [&client.ip().octets()[..], &[192, 0, 2, 1], &port, &[0x13, 0x88]].concat();
    [b"\r\n\r\n\0\r\nQUIT\n", &[command, 0x11, 0, 12][..], &addresses].concat()
}

/// Returns a session behind a proxy that sends this header.
fn behind_proxy(host: &Host, header: impl AsRef<[u8]>) -> Lines {
    let mut connection = Connection::connect(host.v4());
    connection.send(header);
    Lines::from_connection(connection)
}

/// Returns whether a client may run a command without a key.
#[track_caller]
fn is_trusted(mut client: Lines) -> bool {
    let answer = client.ask("echo in");
    assert!(answer == "in" || answer.starts_with(&format!("error: {NOAUTH}")), "{answer}");
    answer == "in"
}

/// Returns the address of a session as its worker sees it.
fn peer_of(client: &mut Lines) -> String {
    let facts = client.ask_all("facts");
    let peer = facts.iter().find_map(|line| line.trim().strip_prefix("peer: "));
    peer.unwrap_or_else(|| panic!("{facts:?}")).trim_matches('"').to_owned()
}

#[test]
fn trust_is_about_the_client() {
    let host = host(&[]);
    let local = "127.0.0.1:40001";
    for (header, trusted) in [
        (text(CLIENT).into_bytes(), false),
        (text("[2001:db8::7]:40001").into_bytes(), false),
        (text("192.168.0.7:40001").into_bytes(), false),
        (binary(0x21, CLIENT), false),
        // The proxy is on this machine, and so is its client.
        (text(local).into_bytes(), true),
        (text("[::ffff:127.0.0.1]:40001").into_bytes(), true),
        (binary(0x21, local), true),
        // A health check of the proxy itself.
        (binary(0x20, CLIENT), true),
        (b"PROXY UNKNOWN\r\n".to_vec(), true),
    ] {
        let client = behind_proxy(&host, &header);
        assert_eq!(is_trusted(client), trusted, "{}", header.escape_ascii());
    }
}

#[test]
fn worker_list_and_log_have_the_client() {
    let host = host(&["--trust", "all"]);
    for header in [text(CLIENT).into_bytes(), binary(0x21, CLIENT)] {
        let mut client = behind_proxy(&host, header);
        let proxy = client.local();
        assert_eq!(peer_of(&mut client), CLIENT);
        let clients = Lines::connect_to(host.v6()).ask_all("clients").join("\n");
        assert!(clients.contains(CLIENT) || clients.contains("203.0.113.7"), "{clients}");
        assert!(!clients.contains("127.0.0.1"), "{clients}");
        let list = Lines::connect_to(host.v6()).ask_all("client list").join("\n");
        assert!(list.contains(&format!("addr={CLIENT} ")), "{list}");
        host.wait_for_log(&format!("{CLIENT} connects through the proxy {proxy}"));
        host.wait_for_log(&format!(" from {CLIENT} started"));
    }
    let mut check = behind_proxy(&host, "PROXY UNKNOWN\r\n");
    let proxy = check.local().to_string();
    assert_eq!(peer_of(&mut check), proxy);
}

#[test]
fn limit_of_an_address_counts_clients() {
    let host = host(&["--max-sessions-per-address", "2"]);
    let mut served: Vec<_> =
        (1..=2).map(|port| behind_proxy(&host, text(&format!("203.0.113.7:{port}")))).collect();
    served.iter_mut().for_each(|client| assert!(client.ask("ping").contains("NOAUTH")));
    let refused = ["-ERR max number of clients from your address reached"];
    assert_eq!(behind_proxy(&host, text("203.0.113.7:3")).end(), refused);
    host.wait_for_log("203.0.113.7:3 rejected: there are 2 sessions from its address");
    assert!(behind_proxy(&host, text("203.0.113.8:1")).ask("ping").contains("NOAUTH"));
    drop(served);
    wait_until("a session of the address can begin again", LIMIT, || {
        behind_proxy(&host, text("203.0.113.7:4")).line_after("ping").contains("NOAUTH")
    });
}

/// Reads the first line from a host that may reject the client before it reads anything.
trait LineAfter {
    fn line_after(&mut self, line: &str) -> String;
}

impl LineAfter for Lines {
    fn line_after(&mut self, line: &str) -> String {
        // If it has been rejected already, its bytes are lost.
        let _ = io::Write::write_all(&mut self.stream(), format!("{line}\n").as_bytes());
        self.line()
    }
}

#[test]
fn header_and_commands_may_share_a_packet() {
    let host = host(&[]);
    let local = "127.0.0.1:40001";
    for header in [text(local).into_bytes(), binary(0x21, local), b"PROXY UNKNOWN\r\n".to_vec()] {
        let mut client = behind_proxy(&host, [&header[..], b"echo one\necho two\n"].concat());
        assert_eq!([client.line(), client.line()], ["one", "two"]);
        assert_eq!(client.ask("echo three"), "three");
    }
}

#[test]
fn header_may_arrive_in_pieces() {
    let host = host(&[]);
    for header in [text("127.0.0.1:1").into_bytes(), binary(0x21, "127.0.0.1:1")] {
        let mut client = behind_proxy(&host, "");
        header.chunks(1).for_each(|byte| client.send(byte));
        assert_eq!(client.ask("echo whole"), "whole");
    }
}

#[test]
fn proxy_without_header_is_closed_and_logged() {
    let host = host(&[]);
    let started = Instant::now();
    for bytes in [&b"PING\r\n"[..], b"*1\r\n$4\r\nPING\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01"] {
        assert_eq!(behind_proxy(&host, bytes).end(), [REQUIRED]);
    }
    host.wait_for_log(" rejected: it sent no PROXY header, and --proxy-from names its address");
    for _ in 0..30 {
        let long = format!("PROXY UNKNOWN {}", "x".repeat(93));
        assert_eq!(behind_proxy(&host, long).end(), [REQUIRED]);
    }
    let count = host.log().matches(" WARN ").count();
    let most = usize::try_from(started.elapsed().as_secs()).unwrap() + 3;
    assert!((1..=most).contains(&count), "{count} lines for 33 connections: {}", host.log());
    assert!(Lines::connect_to(host.v6()).ask("stats").starts_with("version"));
}

#[test]
fn connection_that_only_opens_is_not_logged() {
    let host = host(&[]);
    drop(behind_proxy(&host, ""));
    assert!(is_trusted(behind_proxy(&host, text("127.0.0.1:1"))));
    assert_eq!(host.warning(), None);
}

#[test]
fn header_from_elsewhere_is_a_bad_command() {
    let elsewhere = Setup::new().plugins(&["facts", "text"]).flags(&["--proxy-from", "10.0.0.0/8"]);
    let elsewhere = elsewhere.flags(&["--trust", "all"]).start();
    let (host, none) = (host(&[]), Host::start(&["facts", "text"]));
    for address in [host.v6(), elsewhere.v4(), none.v4()] {
        let mut client = Lines::connect_to(address);
        let own = client.local().to_string();
        let answer = client.ask(text(CLIENT).trim_end());
        assert!(answer.starts_with("error: unknown command 'PROXY'"), "{answer}");
        assert_eq!(peer_of(&mut client), own);
        let mut client = Lines::connect_to(address);
        client.send([&binary(0x21, CLIENT)[..], b"\nfacts\nclose\n"].concat());
        assert!(!client.end().join("\n").contains("203.0.113.7"));
    }
}

#[test]
fn silent_proxy_is_closed_at_the_deadline() {
    let host = host(&["--login-timeout", "0.4"]);
    for start in [&b""[..], b"PROXY TCP4 203.", b"\r\n\r\n\0\r\nQUIT\n"] {
        let before = Instant::now();
        assert_eq!(behind_proxy(&host, start).end(), [REQUIRED]);
        assert!(before.elapsed() >= Duration::from_millis(400), "it was closed too early");
    }
    host.wait_for_log(" rejected: it sent no complete PROXY header within 0.4 s");
}

#[test]
fn silent_proxies_hold_nobody_up() {
    let mut host = host(&["--login-timeout", "600", "--grace", "600"]);
    let silent: Vec<_> = (0..50).map(|_| behind_proxy(&host, "PROXY ")).collect();
    assert!(is_trusted(behind_proxy(&host, text("127.0.0.1:1"))));
    assert!(is_trusted(Lines::connect_to(host.v6())));
    // They are no sessions, and the host ends without them.
    let mut asking = Lines::connect_to(host.v6());
    wait_until("the clients above have ended and the proxies are not listed", LIMIT, || {
        asking.ask_all("clients").len() == 1
    });
    assert_eq!(Lines::connect_to(host.v6()).ask("ks"), "OK");
    assert_eq!(host.exit(), Some(0));
    drop(silent);
}

#[test]
fn silent_proxies_count_as_sessions() {
    let host = host(&["--max-sessions", "3", "--login-timeout", "600", "--trust", "none"]);
    let mut silent: Vec<_> = (0..3).map(|_| behind_proxy(&host, "PROXY ")).collect();
    assert_eq!(behind_proxy(&host, "").end(), ["-ERR max number of clients reached"]);
    drop(silent.pop());
    wait_until("a proxy can connect again", LIMIT, || {
        behind_proxy(&host, text(CLIENT)).line_after("ping").contains("NOAUTH")
    });
}

/// Relays one connection to the host, behind a header. Returns the address to connect to.
fn relay(host: &Host, header: Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let (address, host) = (listener.local_addr().unwrap(), host.v4());
    thread::spawn(move || {
        let (near, _) = listener.accept().unwrap();
        let far = TcpStream::connect(host).unwrap();
        io::Write::write_all(&mut &far, &header).unwrap();
        thread::scope(|scope| {
            for (from, to) in [(&near, &far), (&far, &near)] {
                scope.spawn(move || {
                    let (mut from, mut to) = (from, to);
                    // Either side may end the connection.
                    let _ = io::copy(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Write);
                });
            }
        });
    });
    address
}

#[test]
#[cfg_attr(not(tool = "openssl"), ignore = "needs openssl")]
fn tls_and_login_begin_behind_the_header() {
    for header in [text(CLIENT).into_bytes(), binary(0x21, CLIENT)] {
        let host = host(&[]);
        let address = relay(&host, header).to_string();
        let mut command = Command::new("openssl");
        command.args(["s_client", "-quiet", "-connect", &address, "-verify_return_error"]);
        command.arg("-CAfile").arg(host.state_dir().join("tls-cert.pem"));
        let output = tool::run(&mut command, b"auth nobody nothing\nclose\n");
        // Without TLS a key is refused, right or wrong.
        assert!(String::from_utf8_lossy(&output.stdout).contains("WRONGPASS"), "{output:?}");
        host.wait_for_log(&format!("failed login from {CLIENT}: no such key"));
    }
}

#[test]
fn networks_of_proxies_are_checked_and_shown() {
    let wrong = Setup::new().flags(&["--proxy-from", "127.0.0.1/8"]).run();
    assert_eq!(wrong.status, Some(2));
    assert!(wrong.stderr.contains("write 127.0.0.0/8 for all of it"), "{}", wrong.stderr);
    let host = Setup::new().settings("proxy-from = ['127.0.0.0/8', '::1']\n").start();
    for address in [host.v4(), host.v6()] {
        let mut client = Lines::connect_to(address);
        client.send("x");
        assert_eq!(client.end(), [REQUIRED]);
        let mut client = Connection::connect(address);
        client.send(text("127.0.0.1:1"));
        assert_eq!(Lines::from_connection(client).ask("ping"), "PONG");
    }
    let host = Setup::new().variable("DROPIN_PROXY_FROM", "0.0.0.0/0").start();
    host.wait_for_log("--proxy-from 0.0.0.0/0: anyone who can connect can name any address");
}
