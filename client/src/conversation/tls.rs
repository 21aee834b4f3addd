//! TLS to the host, and the verification of the host.

use std::{io, net::TcpStream, path::Path, sync::Arc, time::Duration};

use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _},
};

use crate::{
    error::Error,
    places::{known_hosts, security::HostVerification},
    program,
};

/// The other end of a connection.
#[derive(Clone, Copy)]
pub struct Peer<'a> {
    /// The open connection.
    pub stream: &'a TcpStream,
    /// The host name or address that was connected to.
    pub host: &'a str,
    /// The name of the host in messages.
    pub name: &'a str,
}

/// Performs the handshake and verifies the host; nothing else is sent before.
pub fn handshake(
    peer: Peer<'_>,
    verification: &HostVerification,
    timeout: Duration,
) -> Result<ClientConnection, Error> {
    let socket_error = |source| Error::Io { operation: "set up a socket", source };
    let mut connection = new_connection(peer.host, verification)?;
    let mut stream = peer.stream;
    stream.set_read_timeout(Some(timeout)).map_err(socket_error)?;
    stream.set_write_timeout(Some(timeout)).map_err(socket_error)?;
    while connection.is_handshaking() {
        connection
            .complete_io(&mut stream)
            .map_err(|source| Error::Tls { name: peer.name.to_owned(), source })?;
    }
    stream.set_read_timeout(None).map_err(socket_error)?;
    let certificate = connection.peer_certificates().and_then(|chain| chain.first());
    let fingerprint = certificate.map(fingerprint).unwrap_or_default();
    check_fingerprint(peer.name, &fingerprint, verification)?;
    Ok(connection)
}

fn new_connection(host: &str, verification: &HostVerification) -> Result<ClientConnection, Error> {
    let setup_error = |error: rustls::Error| Error::Usage(format!("cannot set up TLS: {error}"));
    let server = ServerName::try_from(host.to_owned())
        .map_err(|_| Error::Usage(format!("'{host}' is not a valid server name for TLS")))?;
    let provider = Arc::new(ring::default_provider());
    let trusted = match verification {
        HostVerification::Authority(file) => Some(read_trusted(file, &provider)?),
        HostVerification::Fingerprint(_) | HostVerification::KnownHosts { .. } => None,
    };
    let verifier = Arc::new(Verifier { provider: Arc::clone(&provider), trusted });
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(setup_error)?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    let mut connection = ClientConnection::new(Arc::new(config), server).map_err(setup_error)?;
    connection.set_buffer_limit(None);
    Ok(connection)
}

fn check_fingerprint(
    name: &str,
    fingerprint: &str,
    verification: &HostVerification,
) -> Result<(), Error> {
    match verification {
        HostVerification::Authority(_) => Ok(()),
        HostVerification::Fingerprint(expected) if expected.eq_ignore_ascii_case(fingerprint) => {
            Ok(())
        }
        HostVerification::Fingerprint(expected) => {
            Err(changed(name, fingerprint, expected.clone(), None))
        }
        HostVerification::KnownHosts { file: Some(file), can_ask } => {
            check_known_hosts(name, fingerprint, file, *can_ask)
        }
        HostVerification::KnownHosts { file: None, .. } => Err(Error::Usage(
            "there is no configuration directory to keep the host's fingerprint in: give \
             --fingerprint, --ca or --config"
                .to_owned(),
        )),
    }
}

/// Compares a fingerprint with the stored one; a new one is confirmed by a person, or stored.
fn check_known_hosts(
    name: &str,
    fingerprint: &str,
    file: &Path,
    can_ask: bool,
) -> Result<(), Error> {
    let stored = known_hosts::find(file, name)
        .map_err(|source| unreadable("the fingerprints", "--config", file, source))?;
    match stored {
        Some(stored) if stored == fingerprint => Ok(()),
        Some(stored) => Err(changed(name, fingerprint, stored, Some(file))),
        None if can_ask => Err(Error::UnconfirmedFingerprint {
            name: name.to_owned(),
            fingerprint: fingerprint.to_owned(),
            file: file.to_owned(),
        }),
        None => {
            eprintln!(
                "{own}: first contact with {name}; its fingerprint is {fingerprint}\n{own}: \
                 compare it with what `{} fingerprint` says there; from now on no other is accepted",
                program::host(),
                own = program::own()
            );
            known_hosts::add(file, name, fingerprint)
        }
    }
}

fn changed(name: &str, fingerprint: &str, expected: String, file: Option<&Path>) -> Error {
    Error::FingerprintChanged {
        name: name.to_owned(),
        fingerprint: fingerprint.to_owned(),
        expected,
        file: file.map(Path::to_owned),
    }
}

fn read_trusted(file: &Path, provider: &Arc<CryptoProvider>) -> Result<Trusted, Error> {
    let invalid = |error: String| {
        Error::Usage(format!("{} holds no certificate to trust: {error}", file.display()))
    };
    let text = std::fs::read(file)
        .map_err(|source| unreadable("the certificate", "--ca", file, source))?;
    let certificates = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(|error| invalid(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in &certificates {
        roots.add(certificate.clone()).map_err(|error| invalid(error.to_string()))?;
    }
    let authorities =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
            .build()
            .map_err(|error| invalid(error.to_string()))?;
    Ok(Trusted { certificates, authorities })
}

fn unreadable(
    content: &'static str,
    option: &'static str,
    file: &Path,
    source: io::Error,
) -> Error {
    Error::ReadFile { content, option, file: file.to_owned(), source }
}

/// Returns the fingerprint in the form of `host fingerprint`.
fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    let digest = ::ring::digest::digest(&::ring::digest::SHA256, certificate);
    let bytes: Vec<_> = digest.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
    format!("SHA256:{}", bytes.join(":"))
}

/// Accepts certificates whose key the host has.
#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    /// The trusted certificates; `None` accepts any, since its fingerprint is compared later.
    trusted: Option<Trusted>,
}

/// The certificates of a file: those of hosts with any name, and those of authorities.
#[derive(Debug)]
struct Trusted {
    certificates: Vec<CertificateDer<'static>>,
    authorities: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match &self.trusted {
            Some(Trusted { certificates, authorities }) if !certificates.contains(certificate) => {
                authorities.verify_server_cert(certificate, chain, name, ocsp, now)
            }
            _ => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
