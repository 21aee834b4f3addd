//! How long a transport waits for its client.

use std::{
    io::{ErrorKind, Read, Write},
    net::{TcpListener, TcpStream},
};

use super::*;
use crate::wire::Protocol;

const HOUR: Duration = Duration::from_secs(3600);

/// A transport of a host with these flags, and its client.
fn transport(flags: &[&str]) -> (Transport, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (accepted, peer) = listener.accept().unwrap();
    let flags = [&["host"], flags].concat();
    let flags = <crate::config::Arguments as clap::Parser>::parse_from(flags);
    let entry = Arc::new(SessionEntry::new(1, peer, accepted));
    (Transport::new(entry, &flags.serve.bounds).unwrap(), client)
}

fn blocked() -> io::Error {
    ErrorKind::WouldBlock.into()
}

#[test]
fn blocked_write_fails_after_the_write_timeout() {
    let (transport, _client) = transport(&["--write-timeout", "60"]);
    let (mut since, before) = (None, Instant::now());
    transport.bear(ErrorKind::Interrupted.into(), &mut since).unwrap();
    assert_eq!(since, None, "it may be tried again at once");
    transport.bear(blocked(), &mut since).unwrap();
    let since = since.unwrap() + WRITE_SLICE;
    assert!(since >= before && since <= Instant::now(), "one slice has been waited for");
    let mut long_ago = Some(before - Duration::from_secs(60));
    let error = transport.bear(blocked(), &mut long_ago).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    let error = transport.bear(ErrorKind::ConnectionReset.into(), &mut None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn blocked_write_fails_after_the_login_deadline() {
    let (mut transport, _client) = transport(&[]);
    transport.wait_until(Some(Instant::now() + HOUR)).unwrap();
    assert!(!transport.is_late());
    transport.bear(blocked(), &mut None).unwrap();
    transport.wait_until(Some(Instant::now())).unwrap();
    assert!(transport.is_late());
    let error = transport.bear(blocked(), &mut None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
}

#[test]
fn silent_client_is_idle_once_logged_in() {
    let (mut transport, _client) = transport(&["--idle-timeout", "3600"]);
    assert!(transport.is_idle());
    transport.wait_until(Some(Instant::now() + HOUR)).unwrap();
    assert!(!transport.is_idle() && transport.deadline().is_some());
    // As a read does that waits for the login.
    transport.entry.hearing.bound(&transport.entry.stream, Some(HOUR / 60)).unwrap();
    transport.wait_until(None).unwrap();
    assert!(transport.is_idle() && transport.deadline().is_none());
    #[cfg(unix)]
    assert_eq!(transport.entry.stream.read_timeout().unwrap(), Some(HOUR));
    let (transport, _client) = self::transport(&["--idle-timeout", "0"]);
    assert!(!transport.is_idle(), "it may be silent");
}

#[test]
fn unread_requests_do_not_reset_the_connection() {
    let (mut transport, mut client) = transport(&[]);
    client.write_all(&[b'x'; 50_000]).unwrap();
    let mut replies = Encoder::new(Protocol::Lines);
    replies.notice("the end");
    let (shutdown, _woken) = Shutdown::new(Duration::ZERO, Duration::ZERO);
    transport.write(&mut replies, &shutdown).unwrap();
    assert!(replies.is_empty());
    transport.finish();
    drop(transport);
    let mut received = String::new();
    client.read_to_string(&mut received).unwrap();
    assert_eq!(received, "the end\n");
}
