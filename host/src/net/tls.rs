//! TLS on a connection, without the socket.

use std::{
    io::{self, Read, Write},
    sync::Arc,
};

use rustls::{ServerConfig, ServerConnection};

/// The bytes that are read from the socket at once.
const CHUNK: usize = 16 << 10;

/// The TLS state of a connection.
pub struct Tls {
    connection: ServerConnection,
    /// Bytes from the socket, of which those before `start` have been decrypted.
    cipher: Vec<u8>,
    start: usize,
}

impl Tls {
    /// Starts TLS. `received` are its first bytes from the client. Fails if the configuration is
    /// unusable.
    pub fn new(config: Arc<ServerConfig>, received: &[u8]) -> io::Result<Self> {
        let connection = ServerConnection::new(config).map_err(io::Error::other)?;
        Ok(Self { connection, cipher: received.to_vec(), start: 0 })
    }

    /// Reads decrypted bytes. Returns `None` if more input from the socket is needed. Fails if the
    /// client violates TLS.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        loop {
            match self.connection.reader().read(buffer) {
                // An end without `close_notify` is accepted: requests carry their own lengths.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(Some(0)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read.map(Some),
            }
            // `read_tls` always has room here, since no plaintext is left to read.
            let Some(mut bytes) = self.cipher.get(self.start..).filter(|rest| !rest.is_empty())
            else {
                return Ok(None);
            };
            self.start += self.connection.read_tls(&mut bytes)?;
            self.connection
                .process_new_packets()
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        }
    }

    /// Fills the input from the socket, and returns the number of bytes. Fails only if `read` does.
    pub fn fill(&mut self, read: impl FnOnce(&mut [u8]) -> io::Result<usize>) -> io::Result<usize> {
        self.start = 0;
        self.cipher.resize(CHUNK, 0);
        let count = read(&mut self.cipher);
        self.cipher.truncate(*count.as_ref().unwrap_or(&0));
        count
    }

    /// Frees the memory for input, if there is none.
    pub fn rest(&mut self) {
        if self.start >= self.cipher.len() {
            (self.cipher, self.start) = (Vec::new(), 0);
        }
    }

    /// Returns whether the handshake is still running.
    pub fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// Returns whether there is input that has not been read, or the client's `close_notify`: it may
    /// have arrived with the last request, and the socket will not report it again.
    pub fn has_input(&mut self) -> bool {
        let state = self.connection.process_new_packets();
        self.start < self.cipher.len()
            || state
                .is_ok_and(|state| state.plaintext_bytes_to_read() > 0 || state.peer_has_closed())
    }

    /// Encrypts bytes, and returns how many. Fails if the connection can send no more.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.connection.writer().write(bytes)
    }

    /// Returns whether there are records to send.
    pub fn wants_write(&self) -> bool {
        self.connection.wants_write()
    }

    /// Sends records, and returns the number of bytes. Fails only if the socket does.
    pub fn send(&mut self, mut socket: impl Write) -> io::Result<usize> {
        self.connection.write_tls(&mut socket)
    }

    /// Announces the end of the connection with `close_notify`.
    pub fn end(&mut self) {
        self.connection.send_close_notify();
    }
}

#[cfg(test)]
pub(super) mod tests {
    use rustls::{
        ClientConfig, ClientConnection, RootCertStore,
        pki_types::{CertificateDer, ServerName, pem::PemObject},
    };

    use super::*;
    use auth::certificate::Certificate;

    /// Returns a client that trusts these certificates and has sent nothing yet.
    pub(in crate::net) fn client(roots: RootCertStore) -> ClientConnection {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        ClientConnection::new(Arc::new(config), ServerName::try_from("localhost").unwrap()).unwrap()
    }

    fn sent(client: &mut ClientConnection) -> Vec<u8> {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        bytes
    }

    fn answer(server: &mut Tls, client: &mut ClientConnection) {
        let mut bytes = Vec::new();
        while server.wants_write() {
            server.send(&mut bytes).unwrap();
        }
        let mut bytes = &bytes[..];
        while !bytes.is_empty() {
            client.read_tls(&mut bytes).unwrap();
            client.process_new_packets().unwrap();
        }
    }

    #[test]
    fn tls_has_input_until_all_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        let certificate = Certificate::own(&state).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(state.join("tls-cert.pem")).unwrap()).unwrap();
        let mut client = client(roots);
        let mut server = Tls::new(Arc::clone(&certificate.config), &sent(&mut client)).unwrap();
        assert_eq!(server.read(&mut [0; 16]).unwrap(), None);
        assert!(server.is_handshaking() && !server.has_input());
        answer(&mut server, &mut client);
        // Longer than one TLS read.
        let (first, second) = ([b'x'; 5], [b'y'; 8000]);
        client.writer().write_all(&first).unwrap();
        client.writer().write_all(&second).unwrap();
        let mut segment = &sent(&mut client)[..];
        server.fill(|room| segment.read(room)).unwrap();
        assert_eq!(server.read(&mut [0; 5]).unwrap(), Some(5));
        assert!(!server.is_handshaking());
        assert!(server.has_input(), "as ciphertext");
        assert_eq!(server.read(&mut [0; 7999]).unwrap(), Some(7999));
        assert!(server.has_input(), "as plaintext");
        assert_eq!(server.read(&mut [0; 16]).unwrap(), Some(1));
        assert!(!server.has_input());
        server.end();
        answer(&mut server, &mut client);
        assert_eq!(client.reader().read(&mut [0; 16]).unwrap(), 0, "the end is announced");
    }
}
