//! The host's certificate for TLS.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use platform::durable;
use rustls::{
    ServerConfig,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
};

use super::private::{self, PrivateError};

/// The certificate's file in the state directory. It is no secret: clients may have a copy.
const CERTIFICATE: &str = "tls-cert.pem";
const KEY: &str = "tls-key.pem";
const LOCK: &str = "tls.lock";

/// The names in a certificate that the host makes. Clients check its fingerprint, not these.
const NAMES: [&str; 4] = ["dropin", "localhost", "127.0.0.1", "::1"];

/// The host's certificate for TLS.
pub struct Certificate {
    /// The configuration of each TLS connection.
    pub config: Arc<ServerConfig>,
    /// The certificate's fingerprint, which people compare: `SHA256:` and hexadecimal digits.
    pub fingerprint: String,
}

/// The reason for which the certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The state directory or a file in it is not private.
    #[error(transparent)]
    Private(#[from] PrivateError),
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A file's content is wrong.
    #[error(
        "cannot use {} for TLS: {source}; name PEM files with --tls-cert and --tls-key, or remove \
         {CERTIFICATE} and {KEY} from the state directory to have new ones made",
        path.display()
    )]
    Bad {
        /// The file.
        path: PathBuf,
        /// The problem.
        source: PemFileError,
    },
    /// The certificate and the key cannot be used for TLS, or do not match.
    #[error("cannot use the TLS certificate and key: {0}")]
    Unfit(#[from] rustls::Error),
    /// A certificate cannot be made.
    #[error("cannot make a certificate: {0}")]
    Make(#[from] rcgen::Error),
}

/// The reason for which a PEM file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PemFileError {
    /// There is no file.
    #[error("the file is missing")]
    Missing,
    /// The file has no certificate.
    #[error("there is no certificate in it")]
    NoCertificate,
    /// The file cannot be parsed.
    #[error("{0}")]
    Pem(#[from] pem::Error),
}

impl Certificate {
    /// Reads the host's own certificate from its state directory. It is made if there is none.
    ///
    /// # Errors
    /// It cannot be read, made or used, or other users have access to its files.
    pub fn own(folder: &Path) -> Result<Self, CertificateError> {
        private::directory(folder)?;
        // Two hosts may share the directory. Released when the file closes.
        let _lock = private::lock(&folder.join(LOCK))?;
        let (certificate, key) = (folder.join(CERTIFICATE), folder.join(KEY));
        for draft in [&certificate, &key].map(|path| durable::draft_of(path)) {
            // A crash may have left a draft, which may hold a key.
            if let Err(error) = durable::remove(&draft) {
                log::warn!("cannot remove {}: {error}", draft.display());
            }
        }
        let is_empty = |text: Option<String>| text.is_some_and(|text| text.is_empty());
        // Versions that did not flush the files could leave empty ones after a crash.
        if private::read(&certificate)?.is_none_or(|text| text.is_empty())
            || is_empty(private::read(&key)?)
        {
            make_files(&certificate, &key)?;
        }
        Self::named(&certificate, &key)
    }

    /// Returns the fingerprint of the first certificate in a file.
    ///
    /// # Errors
    /// The file cannot be read, or holds no certificate.
    pub fn fingerprint_of(file: &Path) -> Result<String, CertificateError> {
        read_chain(file).map(|(_, fingerprint)| fingerprint)
    }

    /// Reads a certificate and its key from named files.
    ///
    /// # Errors
    /// They cannot be read or used, or other users have access to the key.
    pub fn named(certificate: &Path, key: &Path) -> Result<Self, CertificateError> {
        let (chain, fingerprint) = read_chain(certificate)?;
        let secret = private::read(key)?.ok_or_else(|| bad_file(key, PemFileError::Missing))?;
        let secret = PrivateKeyDer::from_pem_slice(secret.as_bytes())
            .map_err(|error| bad_file(key, error))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|config| config.with_no_client_auth().with_single_cert(chain, secret))?;
        Ok(Self { config: Arc::new(config), fingerprint })
    }
}

/// Returns the certificates in a file, and the fingerprint of the first, which is the host's.
fn read_chain(file: &Path) -> Result<(Vec<CertificateDer<'static>>, String), CertificateError> {
    let text = fs::read(file)
        .map_err(|source| CertificateError::Read { path: file.to_owned(), source })?;
    let chain = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| bad_file(file, error))?;
    let first = chain.first().ok_or_else(|| bad_file(file, PemFileError::NoCertificate))?;
    let fingerprint = fingerprint(first);
    Ok((chain, fingerprint))
}

fn bad_file(path: &Path, problem: impl Into<PemFileError>) -> CertificateError {
    CertificateError::Bad { path: path.to_owned(), source: problem.into() }
}

fn make_files(certificate: &Path, key: &Path) -> Result<(), CertificateError> {
    let pair = rcgen::KeyPair::generate()?;
    let mut params = rcgen::CertificateParams::new(NAMES.map(str::to_owned).to_vec())?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, "dropin");
    let made = params.self_signed(&pair)?;
    // The key is written first: a certificate without its key cannot be used.
    private::write(key, &pair.serialize_pem())?;
    Ok(private::write(certificate, &made.pem())?)
}

/// Returns `SHA256:` and the digest in hexadecimal digits, with colons, as other tools show it.
fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, certificate);
    let bytes: Vec<_> = digest.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
    format!("SHA256:{}", bytes.join(":"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificate_is_created_once_and_then_reused() {
        let temp = tempfile::tempdir().unwrap();
        let folder = temp.path().join("state");
        let first = Certificate::own(&folder).unwrap().fingerprint;
        assert_eq!(Certificate::own(&folder).unwrap().fingerprint, first);
        assert_eq!((first.len(), &first[..7]), (7 + 32 * 3 - 1, "SHA256:"));
        fs::remove_file(folder.join(KEY)).unwrap();
        assert!(matches!(Certificate::own(&folder), Err(CertificateError::Bad { .. })));
        fs::remove_file(folder.join(CERTIFICATE)).unwrap();
        let second = Certificate::own(&folder).unwrap().fingerprint;
        assert_ne!(second, first);
        for empty in [CERTIFICATE, KEY] {
            fs::write(folder.join(empty), b"").unwrap();
            assert_ne!(Certificate::own(&folder).unwrap().fingerprint, second, "{empty}");
        }
    }
}
