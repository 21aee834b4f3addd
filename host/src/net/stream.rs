//! A client's connection, plain or over TLS. Reads may wait for ever; writes time out.

use std::{
    cell::Cell,
    io::{self, Read, Write},
    net::{Shutdown as Side, TcpStream},
    sync::Arc,
    time::{Duration, Instant},
};

use platform::{Waited, WakeReceiver};
use plugin_engine::state::durable::Durable;
use protocol::Encoder;
use rustls::ServerConfig;

use super::{held::Held, lease::Lease, tls::Tls};
use crate::{
    config::Bounds,
    runtime::{client_handle::ClientHandle, shutdown::Shutdown},
};

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

    /// Notes that a wait for input begins or goes on, in another place. With `may_be_silent` it may
    /// last for ever.
    pub fn begin_rest(&mut self, may_be_silent: bool) {
        if may_be_silent {
            self.idle_at = None;
        } else if let (None, Some(limit)) = (self.idle_at, self.idle_timeout) {
            self.idle_at = Instant::now().checked_add(limit);
        }
        if let Some(tls) = &mut self.tls {
            tls.rest();
        }
    }

    /// Returns the end of a wait for input in another place; `None` without a limit.
    pub fn rest_deadline(&self) -> Option<Instant> {
        self.next_deadline().into_iter().chain(self.idle_at).min()
    }

    /// Has each read of a polled connection wait for this time. Fails if the connection is gone.
    pub fn set_patience(&mut self, time: Duration) -> io::Result<()> {
        self.patience = time;
        let time = Some(time).filter(|time| !time.is_zero());
        self.handle.reader.bound(&self.handle.stream, time)
    }

    /// Returns true if a polled connection has had input, or its end, since the last call.
    pub fn has_read(&self) -> bool {
        self.has_read.replace(false)
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

    /// Waits for input, and returns the number of bytes. 0 means that the client, or the host at
    /// shutdown, has closed this direction.
    ///
    /// Fails with [`io::ErrorKind::WouldBlock`] if the connection is polled and has no input, with
    /// [`io::ErrorKind::TimedOut`] after the login deadline or the idle timeout, with
    /// [`io::ErrorKind::InvalidData`] if the client violates TLS, or if the connection is gone.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.is_polled {
            return self.read_polled(buffer);
        }
        let Some(mut tls) = self.tls.take() else { return self.receive(buffer) };
        let read = self.read_tls(&mut tls, buffer);
        self.tls = Some(tls);
        read
    }

    fn read_polled(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = match self.tls.take() {
            None => self.receive_now(buffer),
            Some(mut tls) => {
                let read = self.read_tls(&mut tls, buffer);
                self.tls = Some(tls);
                read
            }
        };
        if read.is_ok() {
            self.idle_at = None;
        }
        read
    }

    fn read_tls(&mut self, tls: &mut Tls, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = tls.read(buffer);
            // The handshake's messages, or the alert after an error.
            let sent = self.flush(tls, None);
            // Before every return, since the first request may arrive with the handshake's end.
            if self.handshake.is_some() && !tls.is_handshaking() {
                let before = self.next_deadline();
                self.handshake = None;
                self.restore_timeout(before)?;
            }
            if let Some(count) = read? {
                return Ok(count);
            }
            sent?;
            let receive = |room: &mut [u8]| {
                if self.is_polled { self.receive_now(room) } else { self.receive(room) }
            };
            if tls.fill(receive)? == 0 {
                return Ok(0);
            }
        }
    }

    fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let ClientHandle { stream, reader, .. } = &*self.handle;
        loop {
            let (due, mut time) = (self.next_deadline(), self.idle_timeout);
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

    fn receive_now(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let is_over = |end: Option<Instant>| end.is_some_and(|end| Instant::now() >= end);
        if is_over(self.next_deadline()) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let ClientHandle { stream, reader, .. } = &*self.handle;
        loop {
            let read = if self.patience.is_zero() {
                reader.try_read(stream, buffer)
            } else {
                reader.read_soon(stream, buffer, self.patience)
            };
            self.has_read.set(read.is_ok());
            match read {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error)
                    if error.kind() == io::ErrorKind::WouldBlock && is_over(self.idle_at) =>
                {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                read => return read,
            }
        }
    }

    /// Writes everything that is pending in `replies`.
    ///
    /// Fails with [`io::ErrorKind::TimedOut`] after the write timeout or the login deadline, if the
    /// session is evicted, or if the host no longer waits for clients; else if the connection is
    /// gone.
    pub fn write(&mut self, replies: &mut Encoder, shutdown: &Shutdown) -> io::Result<()> {
        if self.held.is_any() {
            if self.lease.is_some() && self.held.is_slow() {
                self.give_up_lease();
            }
            self.held.settle(replies, self.handle.commands());
        }
        self.send(replies, shutdown)
    }

    /// Notes that a reply may be held back, which begins behind the first `start` pending bytes.
    pub fn hold_from(&mut self, start: usize) {
        self.held.begin(start, self.handle.commands());
    }

    /// Counts a reply that answers no command.
    pub fn count_other_reply(&mut self) {
        self.held.count_other();
    }

    /// Holds the replies back until a record is safe.
    pub fn hold(&mut self, durable: &Arc<Durable>, record: u64) {
        self.held.add(durable, record);
    }

    /// Works as [`write`](Self::write), for bytes that wait for no record.
    ///
    /// # Errors
    /// As `write`.
    pub fn send(&mut self, replies: &mut Encoder, shutdown: &Shutdown) -> io::Result<()> {
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
                Err(error) => self.check_timeout(error, &mut blocked_since)?,
            }
            // At shutdown a slow reader gets no more time than a client that reads nothing.
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

    /// Sends the pending TLS records.
    fn flush(&self, tls: &mut Tls, shutdown: Option<&Shutdown>) -> io::Result<()> {
        let mut blocked_since: Option<Instant> = None;
        while tls.wants_write() {
            match tls.send(Outgoing(&self.handle.stream)) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(_) => blocked_since = None,
                Err(error) => self.check_timeout(error, &mut blocked_since)?,
            }
            let over = |shutdown: &Shutdown| shutdown.is_overrun() || self.handle.is_evicted();
            if tls.wants_write() && shutdown.is_some_and(over) {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
        Ok(())
    }

    /// Returns `Ok` if a write that failed may be tried again: it only blocked, and no timeout has
    /// passed.
    fn check_timeout(
        &self,
        error: io::Error,
        blocked_since: &mut Option<Instant>,
    ) -> io::Result<()> {
        if error.kind() == io::ErrorKind::Interrupted {
            return Ok(());
        }
        if !is_timeout(&error) {
            return Err(error);
        }
        let now = Instant::now();
        let since = *blocked_since.get_or_insert(now - WRITE_SLICE);
        let late = self.next_deadline().is_some_and(|due| now >= due);
        if late || now - since >= self.write_timeout {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(())
    }

    /// Waits up to `time` for input, and returns whether there is any.
    pub fn wait_readable(&mut self, time: Duration) -> bool {
        self.has_input() || self.handle.reader.wait_readable(&self.handle.stream, time)
    }

    /// Waits for input or for the waker. With `last_input`, the time of the client's last input,
    /// the wait ends after the idle timeout.
    pub fn wait_for_input(
        &mut self,
        wake_receiver: &WakeReceiver,
        last_input: Option<Instant>,
    ) -> Waited {
        if self.has_input() {
            return Waited::Input;
        }
        let silent =
            |last_input: Instant| Some(self.idle_timeout?.saturating_sub(last_input.elapsed()));
        let left = last_input.and_then(silent);
        self.handle.reader.wait_for_input(&self.handle.stream, wake_receiver, left)
    }

    /// Returns whether TLS holds input that it has already read from the socket.
    pub fn has_input(&mut self) -> bool {
        self.tls.as_mut().is_some_and(|tls| tls.has_input())
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

/// A writer on the socket that uses the platform's write.
struct Outgoing<'a>(&'a TcpStream);

impl Write for Outgoing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        platform::write(self.0, bytes, WRITE_SLICE)
    }

    /// Writes several records with one system call.
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

    /// Completes a handshake, and sends these bytes in the same segment as its last message.
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
