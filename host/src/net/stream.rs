//! A client's connection, plain or over TLS. Reads may wait for ever; writes time out.

mod input;
mod output;

use std::{
    cell::Cell,
    io::{self, Read},
    net::Shutdown as Side,
    sync::Arc,
    time::{Duration, Instant},
};

use rustls::ServerConfig;

use super::{held::Held, lease::Lease, tls::Tls};
use crate::{config::Bounds, runtime::client_handle::ClientHandle};

/// The first byte of TLS. No request starts with it.
pub const TLS_STARTS: u8 = 0x16;

/// The longest time that one write blocks before deadlines are checked.
const WRITE_SLICE: Duration = Duration::from_millis(250);

/// The session's side of its connection.
pub struct ClientStream {
    handle: Arc<ClientHandle>,
    write_timeout: Duration,
    /// The longest time without input; `None` without a limit.
    idle_timeout: Option<Duration>,
    /// The deadline of the login; `None` once the client needs none.
    deadline: Option<Instant>,
    /// The deadline of the TLS handshake; `None` outside a handshake.
    handshake: Option<Instant>,
    tls: Option<Box<Tls>>,
    /// The records that the replies wait for.
    held: Held,
    /// True if reads return at once or soon, since another place waits for input.
    is_polled: bool,
    /// True while reads take only what TLS has read from the socket already.
    takes_rest: bool,
    /// The time for which such a read waits; zero for not at all.
    patience: Duration,
    /// True if such a read has had a result since it was last asked for.
    has_read: Cell<bool>,
    /// The end of the present wait for input; `None` without a limit.
    idle_at: Option<Instant>,
    /// The lease that the thread gives up before it is blocked; `None` if it serves no other.
    lease: Option<Box<dyn Lease>>,
}

impl ClientStream {
    /// Configures the socket. With `is_polled`, reads return at once. Fails if the connection is
    /// already gone.
    pub fn new(handle: Arc<ClientHandle>, bounds: &Bounds, is_polled: bool) -> io::Result<Self> {
        let &Bounds { keepalive, write_timeout, idle_timeout, .. } = bounds;
        platform::prepare(&handle.stream, keepalive, write_timeout)?;
        platform::bound_writes(&handle.stream, WRITE_SLICE)?;
        let idle_timeout = Some(idle_timeout).filter(|time| !time.is_zero());
        if idle_timeout.is_some() && !is_polled {
            handle.reader.bound(&handle.stream, idle_timeout)?;
        }
        Ok(Self {
            handle,
            write_timeout,
            idle_timeout,
            deadline: None,
            handshake: None,
            tls: None,
            held: Held::default(),
            is_polled,
            takes_rest: false,
            patience: Duration::ZERO,
            has_read: Cell::new(false),
            idle_at: None,
            lease: None,
        })
    }

    /// Switches to TLS. `received` are its first bytes; the handshake must end by `deadline`. Fails
    /// if the TLS configuration cannot be used.
    pub fn secure(
        &mut self,
        config: Arc<ServerConfig>,
        received: &[u8],
        deadline: Instant,
    ) -> io::Result<()> {
        self.tls = Some(Box::new(Tls::new(config, received)?));
        self.handshake = Some(deadline);
        Ok(())
    }

    /// Returns whether the connection uses TLS.
    pub fn is_secure(&self) -> bool {
        self.tls.is_some()
    }

    /// Sets the login deadline, after which reads and writes fail; `None` removes it. Fails if the
    /// connection is already gone.
    pub fn wait_until(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        let before = self.next_deadline();
        self.deadline = deadline;
        self.restore_timeout(before)
    }

    fn restore_timeout(&self, before: Option<Instant>) -> io::Result<()> {
        if before.is_some() && self.next_deadline().is_none() && !self.is_polled {
            self.handle.reader.bound(&self.handle.stream, self.idle_timeout)?;
        }
        Ok(())
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.deadline.into_iter().chain(self.handshake).min()
    }

    /// Returns whether a read that timed out did so because of the idle timeout.
    pub fn is_idle(&self) -> bool {
        self.idle_timeout.is_some() && self.next_deadline().is_none()
    }

    /// Returns the login deadline, if there is one.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Returns whether the login deadline has passed.
    pub fn is_late(&self) -> bool {
        self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// Sets what the thread gives up before the session blocks it, and returns what it was.
    pub fn set_lease(&mut self, lease: Option<Box<dyn Lease>>) -> Option<Box<dyn Lease>> {
        std::mem::replace(&mut self.lease, lease)
    }

    /// Notes that the session is about to take long: another thread serves the others meanwhile.
    #[cold]
    pub fn give_up_lease(&self) {
        if let Some(lease) = &self.lease {
            lease.give_up();
        }
    }

    /// Returns whether a small write would not block.
    pub fn is_writable(&self) -> bool {
        platform::is_writable(&self.handle.stream)
    }

    /// Ends the connection at once; data in transit may be lost.
    pub fn abort(&self) {
        // A failure means that the connection is already gone.
        let _ = self.handle.stream.shutdown(Side::Both);
    }

    /// Ends the connection so that the client can read everything that was written. A close with
    /// unread input would send a reset, which can overtake the last bytes.
    pub fn finish(&mut self) {
        if let Some(mut tls) = self.tls.take() {
            tls.end();
            if self.flush(&mut tls, None).is_err() {
                return;
            }
        }
        let mut stream = &self.handle.stream;
        if stream.shutdown(Side::Write).is_err() || stream.set_nonblocking(true).is_err() {
            return;
        }
        let mut scrap = [0; 4096];
        for _ in 0..64 {
            match stream.read(&mut scrap) {
                Ok(read) if read > 0 => {}
                _ => break,
            }
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

#[cfg(test)]
mod timeout_tests;

#[cfg(test)]
mod tests {
    use std::{
        io::Write,
        net::{TcpListener, TcpStream},
        thread,
    };

    use rustls::{
        RootCertStore,
        pki_types::{CertificateDer, pem::PemObject},
    };

    use super::{timeout_tests::reply, *};
    use crate::runtime::shutdown::Shutdown;
    use auth::certificate::Certificate;

    /// The bytes of a client that ends its sending side behind them.
    const LAST: &[u8] = b"last";

    /// Completes a handshake, and sends these bytes in the same segment as its last message, then
    /// `close_notify` if they are the last.
    fn client(stream: &mut TcpStream, roots: RootCertStore, bytes: &[u8]) {
        let mut tls = crate::net::tls::tests::client(roots);
        tls.writer().write_all(bytes).unwrap();
        while tls.is_handshaking() || tls.wants_write() {
            let mut segment = Vec::new();
            while tls.wants_write() {
                tls.write_tls(&mut segment).unwrap();
            }
            stream.write_all(&segment).unwrap();
            if tls.is_handshaking() {
                tls.read_tls(stream).unwrap();
                tls.process_new_packets().unwrap();
                if bytes == LAST && !tls.is_handshaking() {
                    tls.send_close_notify();
                }
            }
        }
    }

    /// Returns a TLS transport and its client, which sends these bytes and reads nothing more.
    fn secured(bytes: &'static [u8]) -> (ClientStream, thread::JoinHandle<TcpStream>) {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        let certificate = Certificate::own(&state).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(state.join("tls-cert.pem")).unwrap()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, peer) = listener.accept().unwrap();
        let client = thread::spawn(move || {
            client(&mut stream, roots, bytes);
            stream
        });
        let handle = Arc::new(ClientHandle::new(1, peer, accepted));
        let flags = <crate::config::Arguments as clap::Parser>::parse_from(["host"]);
        let mut transport = ClientStream::new(handle, &flags.serve.bounds, false).unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        transport.secure(Arc::clone(&certificate.config), &[], deadline).unwrap();
        (transport, client)
    }

    #[test]
    fn handshake_deadline_ends_with_the_handshake() {
        let (mut transport, client) = secured(b"first");
        let mut room = [0; 2];
        assert_eq!(transport.read(&mut room).unwrap(), 2);
        assert_eq!(transport.next_deadline(), None, "a later read has no deadline");
        assert!(transport.wait_readable(Duration::ZERO), "the rest is in the connection's memory");
        let mut room = [0; 16];
        let count = transport.read(&mut room).unwrap();
        assert_eq!(room.get(..count), Some(&b"rst"[..]));
        assert!(!transport.wait_readable(Duration::ZERO));
        drop(client.join().unwrap());
    }

    #[test]
    fn end_that_arrives_with_bytes_is_input() {
        let (mut transport, client) = secured(LAST);
        let mut room = [0; 16];
        assert_eq!(transport.read(&mut room).unwrap(), LAST.len());
        assert!(transport.has_input(), "the socket does not report it again");
        assert_eq!(transport.read(&mut room).unwrap(), 0);
        drop(client.join().unwrap());
    }

    #[test]
    fn tls_client_that_never_reads_is_disconnected() {
        let (mut transport, client) = secured(b"first");
        assert_eq!(transport.read(&mut [0; 16]).unwrap(), 5);
        transport.write_timeout = Duration::from_secs(3600);
        let (shutdown, _woken) = Shutdown::new(Duration::ZERO, Duration::ZERO);
        shutdown.request(crate::runtime::shutdown::Reason::System { limit: None });
        socket2::SockRef::from(&transport.handle.stream).set_send_buffer_size(1 << 16).unwrap();
        transport.write(&mut reply(100), &shutdown).unwrap();
        let error = transport.write(&mut reply(4 << 20), &shutdown).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(client.join().unwrap());
    }
}
