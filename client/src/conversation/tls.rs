//! TLS to the host, and the proof that it is the host.

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
    places::{access::Proof, known_hosts},
    program,
};

/// Agrees on keys with the host and sees that it is the one; nothing is sent to it before.
pub fn start(
    mut stream: &TcpStream,
    host: &str,
    name: &str,
    proof: &Proof,
    timeout: Duration,
) -> Result<ClientConnection, Error> {
    let local = |source| Error::Local { doing: "set up a socket", source };
    let server = ServerName::try_from(host.to_owned())
        .map_err(|_| Error::Usage(format!("'{host}' is no name that TLS knows")))?;
    let unfit = |error: rustls::Error| Error::Usage(format!("TLS cannot be set up: {error}"));
    let provider = Arc::new(ring::default_provider());
    let by_file = match proof {
        Proof::Authority(file) => Some(authority(file, &provider)?),
        Proof::Fingerprint(_) | Proof::Known { .. } => None,
    };
    let verifier = Arc::new(Verifier { provider: Arc::clone(&provider), by_file });
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(unfit)?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    let mut connection = ClientConnection::new(Arc::new(config), server).map_err(unfit)?;
    connection.set_buffer_limit(None);
    stream.set_read_timeout(Some(timeout)).map_err(local)?;
    stream.set_write_timeout(Some(timeout)).map_err(local)?;
    while connection.is_handshaking() {
        connection
            .complete_io(&mut stream)
            .map_err(|error| Error::NoTls { name: name.to_owned(), cause: error.to_string() })?;
    }
    stream.set_read_timeout(None).map_err(local)?;
    let certificate = connection.peer_certificates().and_then(|chain| chain.first());
    let shown = certificate.map(fingerprint).unwrap_or_default();
    check(name, &shown, proof)?;
    Ok(connection)
}

fn check(name: &str, shown: &str, proof: &Proof) -> Result<(), Error> {
    let changed = |expected: String, file: Option<&Path>| Error::Changed {
        name: name.to_owned(),
        shown: shown.to_owned(),
        expected,
        file: file.map(Path::to_owned),
    };
    let (file, ask) = match proof {
        Proof::Authority(_) => return Ok(()),
        Proof::Fingerprint(expected) if expected.eq_ignore_ascii_case(shown) => return Ok(()),
        Proof::Fingerprint(expected) => return Err(changed(expected.clone(), None)),
        Proof::Known { file, ask } => (file.as_deref(), *ask),
    };
    let Some(file) = file else {
        return Err(Error::Usage(
            "there is no configuration directory to keep the host's fingerprint in: give \
             --fingerprint, --ca or --config"
                .to_owned(),
        ));
    };
    let known = known_hosts::find(file, name)
        .map_err(|source| unreadable("the fingerprints", "--config", file, source))?;
    match known {
        Some(known) if known == shown => Ok(()),
        Some(known) => Err(changed(known, Some(file))),
        None if ask => {
            let (name, shown) = (name.to_owned(), shown.to_owned());
            Err(Error::FirstContact { name, shown, file: file.to_owned() })
        }
        None => {
            eprintln!(
                "{own}: first contact with {name}; its fingerprint is {shown}\n{own}: compare it \
                 with what `{} fingerprint` says there; from now on no other is accepted",
                program::host(),
                own = program::own()
            );
            known_hosts::add(file, name, shown)
        }
    }
}

fn authority(file: &Path, provider: &Arc<CryptoProvider>) -> Result<ByFile, Error> {
    let bad = |error: String| {
        Error::Usage(format!("{} holds no certificate to trust: {error}", file.display()))
    };
    let text = std::fs::read(file)
        .map_err(|source| unreadable("the certificate", "--ca", file, source))?;
    let certificates = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(|error| bad(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in &certificates {
        roots.add(certificate.clone()).map_err(|error| bad(error.to_string()))?;
    }
    let vouched =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
            .build()
            .map_err(|error| bad(error.to_string()))?;
    Ok(ByFile { certificates, vouched })
}

fn unreadable(what: &'static str, option: &'static str, file: &Path, source: io::Error) -> Error {
    Error::ReadFile { what, option, file: file.to_owned(), source }
}

/// As the host shows it.
fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    let digest = ::ring::digest::digest(&::ring::digest::SHA256, certificate);
    let bytes: Vec<_> = digest.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
    format!("SHA256:{}", bytes.join(":"))
}

/// Takes a certificate, as long as the host holds its key.
#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    /// `None` takes any for now: its fingerprint is compared later.
    by_file: Option<ByFile>,
}

/// Takes a certificate that the file holds, whatever names it has, or one that is vouched for and
/// has the right name.
#[derive(Debug)]
struct ByFile {
    certificates: Vec<CertificateDer<'static>>,
    vouched: Arc<WebPkiServerVerifier>,
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
        match &self.by_file {
            Some(ByFile { certificates, vouched }) if !certificates.contains(certificate) => {
                vouched.verify_server_cert(certificate, chain, name, ocsp, now)
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
