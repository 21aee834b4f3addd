//! Tests of a transport's timeouts.

use std::{
    io::{ErrorKind, Read, Write},
    net::{TcpListener, TcpStream},
};

use auth::certificate::Certificate;
use protocol::{Encoder, Protocol};

use super::*;
use crate::runtime::shutdown::Shutdown;
#[cfg(unix)]
use crate::runtime::{client_handle::Dismissal, shutdown::Reason};

const HOUR: Duration = Duration::from_secs(3600);

/// Returns a transport of a host with these flags, and its client.
fn transport(flags: &[&str]) -> (ClientStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (accepted, peer) = listener.accept().unwrap();
    let flags = [&["host"], flags].concat();
    let flags = <crate::config::Arguments as clap::Parser>::parse_from(flags);
    let handle = Arc::new(ClientHandle::new(1, peer, accepted));
    (ClientStream::new(handle, &flags.serve.bounds, false).unwrap(), client)
}

fn blocked() -> io::Error {
    ErrorKind::WouldBlock.into()
}

#[test]
fn blocked_write_fails_after_the_write_timeout() {
    let (transport, _client) = transport(&["--write-timeout", "60"]);
    let (mut since, before) = (None, Instant::now());
    transport.check_timeout(ErrorKind::Interrupted.into(), &mut since).unwrap();
    assert_eq!(since, None, "it may be tried again at once");
    transport.check_timeout(blocked(), &mut since).unwrap();
    let since = since.unwrap() + WRITE_SLICE;
    assert!(since >= before && since <= Instant::now(), "one slice has been waited for");
    let mut long_ago = Some(before - Duration::from_secs(60));
    let error = transport.check_timeout(blocked(), &mut long_ago).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    let error = transport.check_timeout(ErrorKind::ConnectionReset.into(), &mut None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn blocked_write_fails_after_the_login_deadline() {
    let (mut transport, _client) = transport(&[]);
    transport.wait_until(Some(Instant::now() + HOUR)).unwrap();
    assert!(!transport.is_late());
    transport.check_timeout(blocked(), &mut None).unwrap();
    transport.wait_until(Some(Instant::now())).unwrap();
    assert!(transport.is_late());
    let error = transport.check_timeout(blocked(), &mut None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
}

#[test]
fn silent_client_is_idle_once_logged_in() {
    let (mut transport, _client) = transport(&["--idle-timeout", "3600"]);
    assert!(transport.is_idle());
    transport.wait_until(Some(Instant::now() + HOUR)).unwrap();
    assert!(!transport.is_idle() && transport.deadline().is_some());
    // A read that waits for the login sets this timeout.
    transport.handle.reader.bound(&transport.handle.stream, Some(HOUR / 60)).unwrap();
    transport.wait_until(None).unwrap();
    assert!(transport.is_idle() && transport.deadline().is_none());
    #[cfg(unix)]
    assert_eq!(transport.handle.stream.read_timeout().unwrap(), Some(HOUR));
    let (transport, _client) = self::transport(&["--idle-timeout", "0"]);
    assert!(!transport.is_idle(), "it may be silent");
}

/// Not on Windows: Wine reports a reset as the end of input.
#[cfg(unix)]
#[test]
fn a_failed_read_keeps_its_cause() {
    for deadline in [None, Some(Instant::now() + HOUR)] {
        let (mut transport, client) = transport(&["--idle-timeout", "3600"]);
        transport.wait_until(deadline).unwrap();
        socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
        drop(client);
        let error = transport.read(&mut [0; 16]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{deadline:?}");
    }
}

#[test]
fn a_silent_client_times_out() {
    let time = Some(Duration::from_millis(20));
    let (mut transport, _client) = transport(&["--idle-timeout", "3600"]);
    transport.idle_timeout = time;
    transport.handle.reader.bound(&transport.handle.stream, time).unwrap();
    let error = transport.read(&mut [0; 16]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
}

#[test]
fn input_is_waited_for() {
    let (mut transport, mut client) = transport(&[]);
    assert!(!transport.wait_readable(Duration::from_millis(1)));
    client.write_all(b"ping").unwrap();
    assert!(transport.wait_readable(HOUR));
    transport.abort();
    assert!(!matches!(client.read(&mut [0; 16]), Ok(1..)), "the connection is over");
}

#[test]
fn an_unfinished_handshake_keeps_its_deadline() {
    let folder = tempfile::tempdir().unwrap();
    let certificate = Certificate::own(&folder.path().join("state")).unwrap();
    let (mut transport, client) = transport(&[]);
    assert!(!transport.is_secure());
    let deadline = Instant::now() + HOUR;
    transport.secure(Arc::clone(&certificate.config), &[], deadline).unwrap();
    assert!(transport.is_secure());
    drop(client);
    assert_eq!(transport.read(&mut [0; 16]).unwrap(), 0);
    assert_eq!(transport.next_deadline(), Some(deadline));
}

/// Returns a reply of this many bytes.
pub(super) fn reply(length: usize) -> Encoder {
    let mut replies = Encoder::new(Protocol::Lines);
    replies.begin();
    replies.text(&vec![b'x'; length]);
    replies.finish();
    replies
}

/// Returns the state of a host that no longer waits for clients.
#[cfg(unix)]
fn overrun() -> Shutdown {
    let (shutdown, _woken) = Shutdown::new(Duration::ZERO, Duration::ZERO);
    shutdown.request(Reason::System { limit: None });
    assert!(shutdown.is_overrun());
    shutdown
}

/// Not on Windows: Wine reports a socket with a full buffer as writable.
#[cfg(unix)]
#[test]
fn client_that_never_reads_is_disconnected_at_shutdown() {
    let (running, _woken) = Shutdown::new(HOUR, HOUR);
    for (shutdown, evicted) in [(overrun(), false), (running, true)] {
        let (mut transport, client) = transport(&["--write-timeout", "3600"]);
        assert!(transport.is_writable());
        socket2::SockRef::from(&transport.handle.stream).set_send_buffer_size(1 << 16).unwrap();
        if evicted {
            transport.handle.dismiss_for(Dismissal::Memory);
        }
        transport.write(&mut reply(100), &shutdown).unwrap();
        let error = transport.write(&mut reply(4 << 20), &shutdown).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(!transport.is_writable());
        drop(client);
    }
}

/// A reset would discard replies that the client has not read yet.
#[cfg(target_os = "linux")]
#[test]
fn unread_requests_do_not_reset_the_connection() {
    let (mut transport, mut client) = transport(&[]);
    client.write_all(&[b'x'; 50_000]).unwrap();
    transport.write(&mut reply(300_000), &overrun()).unwrap();
    transport.finish();
    drop(transport);
    let mut received = Vec::new();
    client.read_to_end(&mut received).unwrap();
    assert_eq!(received.len(), 300_001);
}
