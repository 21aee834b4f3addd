//! A client's connection, plain or over TLS: reads that wait, writes that do not wait for ever.

use std::{
    io::{self, Read, Write},
    net::{Shutdown as Side, TcpStream},
    sync::Arc,
    time::{Duration, Instant},
};

use platform::{Waited, WakeReceiver};
use protocol::Encoder;
use rustls::ServerConfig;

use super::tls::Tls;
use crate::{
    config::Bounds,
    runtime::{client_handle::ClientHandle, shutdown::Shutdown},
};

/// The first byte of TLS, and of nothing else that a client may send.
pub const TLS_STARTS: u8 = 0x16;

/// How long one write may block before deadlines are looked at.
const WRITE_SLICE: Duration = Duration::from_millis(250);

/// The session's end of its connection.
pub struct Transport {
    handle: Arc<ClientHandle>,
    write_timeout: Duration,
    /// How long the client may send nothing.
    idle_timeout: Option<Duration>,
    /// How long the client has got for its login, while it has none.
    deadline: Option<Instant>,
    /// The same for agreeing on keys.
    handshake: Option<Instant>,
    tls: Option<Box<Tls>>,
}

impl Transport {
    /// Sets the socket up.
    ///
    /// # Errors
    /// The system's, where the connection is already gone.
    pub fn new(handle: Arc<ClientHandle>, bounds: &Bounds) -> io::Result<Self> {
        let &Bounds { keepalive, write_timeout, idle_timeout, .. } = bounds;
        platform::prepare(&handle.stream, keepalive, write_timeout)?;
        platform::bound_writes(&handle.stream, WRITE_SLICE)?;
        let idle_timeout = Some(idle_timeout).filter(|time| !time.is_zero());
        if idle_timeout.is_some() {
            handle.reader.bound(&handle.stream, idle_timeout)?;
        }
        let (deadline, handshake, tls) = Default::default();
        Ok(Self { handle, write_timeout, idle_timeout, deadline, handshake, tls })
    }

    /// Goes on over TLS, which starts with these bytes, and must be agreed on by `deadline`.
    ///
    /// # Errors
    /// Where the settings do not allow for it.
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

    /// Whether nobody on the way can read along.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.tls.is_some()
    }

    /// Has reads and writes fail from then on; `None` lets them wait for ever again.
    ///
    /// # Errors
    /// The system's, where the connection is already gone.
    pub fn wait_until(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        let before = self.due();
        self.deadline = deadline;
        self.wait_freely(before)
    }

    fn wait_freely(&self, before: Option<Instant>) -> io::Result<()> {
        if before.is_some() && self.due().is_none() {
            self.handle.reader.bound(&self.handle.stream, self.idle_timeout)?;
        }
        Ok(())
    }

    fn due(&self) -> Option<Instant> {
        self.deadline.into_iter().chain(self.handshake).min()
    }

    /// Whether a read that ran out of time did so since the client sends nothing.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.idle_timeout.is_some() && self.due().is_none()
    }

    /// When the time for the login is over, where there is such a time.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Whether the time for the login has come and gone.
    #[must_use]
    pub fn is_late(&self) -> bool {
        self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// Waits for bytes. 0 means that the client, or the host's end, has closed this side.
    ///
    /// # Errors
    /// The system's: the connection is gone. [`io::ErrorKind::TimedOut`] where it is late or the
    /// client has sent nothing for too long,
    /// [`io::ErrorKind::InvalidData`] where the client does not keep to TLS.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(mut tls) = self.tls.take() else { return self.receive(buffer) };
        let read = self.read_tls(&mut tls, buffer);
        self.tls = Some(tls);
        read
    }

    fn read_tls(&mut self, tls: &mut Tls, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = tls.read(buffer);
            // The handshake's answers, or the alert that says what was wrong.
            let sent = self.flush(tls, None);
            // Before every return: the first request may arrive together with the handshake's end.
            if self.handshake.is_some() && !tls.is_handshaking() {
                let before = self.due();
                self.handshake = None;
                self.wait_freely(before)?;
            }
            if let Some(count) = read? {
                return Ok(count);
            }
            sent?;
            if tls.fill(|room| self.receive(room))? == 0 {
                return Ok(0);
            }
        }
    }

    fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let ClientHandle { stream, reader, .. } = &*self.handle;
        loop {
            let (due, mut time) = (self.due(), self.idle_timeout);
            if let Some(due) = due {
                let left = due.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                time = Some(left);
                reader.bound(stream, time)?;
            }
            match reader.read(stream, buffer, time) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_timeout(&error) && due.is_some() => {}
                Err(error) if is_timeout(&error) => return Err(io::ErrorKind::TimedOut.into()),
                read => return read,
            }
        }
    }

    /// Writes all that `replies` holds.
    ///
    /// # Errors
    /// The system's; [`io::ErrorKind::TimedOut`] where the client has read nothing for too long, or
    /// the host is ending and does not wait for it any more.
    pub fn write(&mut self, replies: &mut Encoder, shutdown: &Shutdown) -> io::Result<()> {
        if let Some(mut tls) = self.tls.take() {
            let written = self.write_tls(&mut tls, replies, shutdown);
            self.tls = Some(tls);
            return written;
        }
        let stream = &self.handle.stream;
        let mut blocked_since: Option<Instant> = None;
        while !replies.is_empty() {
            match platform::write(stream, replies.pending(), WRITE_SLICE) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    replies.advance(written);
                    blocked_since = None;
                }
                Err(error) => self.bear(error, &mut blocked_since)?,
            }
            // A client that reads slowly is no better at the host's end than one that does not.
            if !replies.is_empty() && (shutdown.is_overrun() || self.handle.is_evicted()) {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
        Ok(())
    }

    fn write_tls(
        &self,
        tls: &mut Tls,
        replies: &mut Encoder,
        shutdown: &Shutdown,
    ) -> io::Result<()> {
        while !replies.is_empty() {
            let taken = tls.write(replies.pending())?;
            replies.advance(taken);
            self.flush(tls, Some(shutdown))?;
        }
        Ok(())
    }

    /// Sends what TLS has to send.
    fn flush(&self, tls: &mut Tls, shutdown: Option<&Shutdown>) -> io::Result<()> {
        let mut blocked_since: Option<Instant> = None;
        while tls.wants_write() {
            match tls.send(Outgoing(&self.handle.stream)) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(_) => blocked_since = None,
                Err(error) => self.bear(error, &mut blocked_since)?,
            }
            let over = |shutdown: &Shutdown| shutdown.is_overrun() || self.handle.is_evicted();
            if tls.wants_write() && shutdown.is_some_and(over) {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
        Ok(())
    }

    /// Bears with a client that does not read, for a while.
    fn bear(&self, error: io::Error, blocked_since: &mut Option<Instant>) -> io::Result<()> {
        if error.kind() == io::ErrorKind::Interrupted {
            return Ok(());
        }
        if !is_timeout(&error) {
            return Err(error);
        }
        let now = Instant::now();
        let since = *blocked_since.get_or_insert(now - WRITE_SLICE);
        let late = self.due().is_some_and(|due| now >= due);
        if late || now - since >= self.write_timeout {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(())
    }

    /// Waits up to `time` for something to read, and says whether there is.
    #[must_use]
    pub fn wait_readable(&mut self, time: Duration) -> bool {
        self.has_input() || self.handle.reader.wait_readable(&self.handle.stream, time)
    }

    /// Waits for something to read or for the waker; for a client that has been heard at `heard` at
    /// most for as long as it may send nothing.
    #[must_use]
    pub fn wait_for_input(
        &mut self,
        wake_receiver: &WakeReceiver,
        heard: Option<Instant>,
    ) -> Waited {
        if self.has_input() {
            return Waited::Input;
        }
        let silent = |heard: Instant| Some(self.idle_timeout?.saturating_sub(heard.elapsed()));
        let left = heard.and_then(silent);
        self.handle.reader.wait_for_input(&self.handle.stream, wake_receiver, left)
    }

    /// What TLS has taken from the socket already, the socket does not show.
    fn has_input(&mut self) -> bool {
        self.tls.as_mut().is_some_and(|tls| tls.has_input())
    }

    /// Whether the client takes a little at once.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        platform::is_writable(&self.handle.stream)
    }

    /// Ends the connection at once, whatever is on its way.
    pub fn give_up(&self) {
        // A failure means that it is gone already.
        let _ = self.handle.stream.shutdown(Side::Both);
    }

    /// Ends the connection so that the client reads all that was written: a close with unread
    /// input would send a reset, which can overtake the last bytes.
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

/// Writes as the platform does it.
struct Outgoing<'a>(&'a TcpStream);

impl Write for Outgoing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        platform::write(self.0, bytes, WRITE_SLICE)
    }

    /// Several records in one go.
    #[cfg(not(windows))]
    fn write_vectored(&mut self, pieces: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.0.write_vectored(pieces)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

#[cfg(test)]
mod timeout_tests;

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, thread};

    use rustls::{
        RootCertStore,
        pki_types::{CertificateDer, pem::PemObject},
    };

    use super::{timeout_tests::reply, *};
    use auth::certificate::Certificate;

    /// Completes a handshake and sends these bytes in the same segment as its last message.
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
            }
        }
    }

    /// A transport that agrees on keys with a client, which sends this and reads nothing more.
    fn secured(bytes: &'static [u8]) -> (Transport, thread::JoinHandle<TcpStream>) {
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
        let mut transport = Transport::new(handle, &flags.serve.bounds).unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        transport.secure(Arc::clone(&certificate.config), &[], deadline).unwrap();
        (transport, client)
    }

    #[test]
    fn handshake_deadline_ends_with_the_handshake() {
        let (mut transport, client) = secured(b"first");
        let mut room = [0; 2];
        assert_eq!(transport.read(&mut room).unwrap(), 2);
        assert_eq!(transport.due(), None, "a later read has no deadline");
        assert!(transport.wait_readable(Duration::ZERO), "the rest is in the connection's memory");
        let mut room = [0; 16];
        let count = transport.read(&mut room).unwrap();
        assert_eq!(room.get(..count), Some(&b"rst"[..]));
        assert!(!transport.wait_readable(Duration::ZERO));
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
