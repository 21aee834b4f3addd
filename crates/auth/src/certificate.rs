//! The host's certificate for TLS.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use platform::durable;
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
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
#[derive(Debug)]
pub enum CertificateError {
    /// The state directory or a file in it is not private.
    Private(PrivateError),
    /// A file cannot be read.
    Read(PathBuf, io::Error),
    /// A file's content is wrong: its path, and the problem.
    Bad(PathBuf, String),
    /// The certificate and the key cannot be used for TLS, or do not match.
    Unfit(rustls::Error),
    /// A certificate cannot be made.
    Make(String),
}

impl Certificate {
    /// Reads the host's own certificate from its state directory. It is made if there is none.
    ///
    /// # Errors
    /// It cannot be read, made or used, or other users have access to its files.
    pub fn own(folder: &Path) -> Result<Self, CertificateError> {
        private::directory(folder).map_err(CertificateError::Private)?;
        // Two hosts may share the directory. Released when the file closes.
        let _lock = private::lock(&folder.join(LOCK)).map_err(CertificateError::Private)?;
        let (certificate, key) = (folder.join(CERTIFICATE), folder.join(KEY));
        for draft in [&certificate, &key].map(|path| durable::draft_of(path)) {
            // A crash may have left a draft, which may hold a key.
            if let Err(error) = durable::remove(&draft) {
                log::warn!("cannot remove {}: {error}", draft.display());
            }
        }
        let read = |path: &Path| private::read(path).map_err(CertificateError::Private);
        let is_empty = |text: Option<String>| text.is_some_and(|text| text.is_empty());
        // Versions that did not flush the files could leave empty ones after a crash.
        if read(&certificate)?.is_none_or(|text| text.is_empty()) || is_empty(read(&key)?) {
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
        let secret = private::read(key)
            .map_err(CertificateError::Private)?
            .ok_or_else(|| bad_file(key, "the file is missing"))?;
        let secret = PrivateKeyDer::from_pem_slice(secret.as_bytes())
            .map_err(|error| bad_file(key, &error.to_string()))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|config| config.with_no_client_auth().with_single_cert(chain, secret))
            .map_err(CertificateError::Unfit)?;
        Ok(Self { config: Arc::new(config), fingerprint })
    }
}

/// Returns the certificates in a file, and the fingerprint of the first, which is the host's.
fn read_chain(file: &Path) -> Result<(Vec<CertificateDer<'static>>, String), CertificateError> {
    let text = fs::read(file).map_err(|error| CertificateError::Read(file.into(), error))?;
    let chain = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| bad_file(file, &error.to_string()))?;
    let first = chain.first().ok_or_else(|| bad_file(file, "there is no certificate in it"))?;
    let fingerprint = fingerprint(first);
    Ok((chain, fingerprint))
}

fn bad_file(path: &Path, what: &str) -> CertificateError {
    CertificateError::Bad(path.into(), what.into())
}

fn make_files(certificate: &Path, key: &Path) -> Result<(), CertificateError> {
    let failed = |error: rcgen::Error| CertificateError::Make(error.to_string());
    let pair = rcgen::KeyPair::generate().map_err(failed)?;
    let mut params =
        rcgen::CertificateParams::new(NAMES.map(str::to_owned).to_vec()).map_err(failed)?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, "dropin");
    let made = params.self_signed(&pair).map_err(failed)?;
    // The key is written first: a certificate without its key cannot be used.
    private::write(key, &pair.serialize_pem()).map_err(CertificateError::Private)?;
    private::write(certificate, &made.pem()).map_err(CertificateError::Private)
}

/// Returns `SHA256:` and the digest in hexadecimal digits, with colons, as other tools show it.
fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, certificate);
    let bytes: Vec<_> = digest.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
    format!("SHA256:{}", bytes.join(":"))
}

impl fmt::Display for CertificateError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Private(error) => error.fmt(out),
            Self::Read(path, error) => write!(out, "cannot read {}: {error}", path.display()),
            Self::Bad(path, what) => {
                write!(
                    out,
                    "cannot use {} for TLS: {what}; name PEM files with --tls-cert and --tls-key, \
                     or remove {CERTIFICATE} and {KEY} from the state directory to have new ones \
                     made",
                    path.display()
                )
            }
            Self::Unfit(error) => write!(out, "cannot use the TLS certificate and key: {error}"),
            Self::Make(error) => write!(out, "cannot make a certificate: {error}"),
        }
    }
}

impl std::error::Error for CertificateError {}

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
        assert!(matches!(Certificate::own(&folder), Err(CertificateError::Bad(..))));
        fs::remove_file(folder.join(CERTIFICATE)).unwrap();
        let second = Certificate::own(&folder).unwrap().fingerprint;
        assert_ne!(second, first);
        for empty in [CERTIFICATE, KEY] {
            fs::write(folder.join(empty), b"").unwrap();
            assert_ne!(Certificate::own(&folder).unwrap().fingerprint, second, "{empty}");
        }
    }
}
