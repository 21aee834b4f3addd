//! TLS, the verification of the host, and the key to log in with.

use std::path::{Path, PathBuf};

use crate::{
    error::Error,
    places::{
        connection_type::ConnectionType,
        place::{Place, Sources},
        settings::HostSettings,
    },
};

/// The protection of a connection.
#[derive(Clone)]
pub struct Security {
    /// The verification of the host; `None` for a connection without TLS.
    pub tls: Option<HostVerification>,
    /// The key to log in with. It is sent after the verification.
    pub key: Option<Vec<u8>>,
}

/// The way in which the host's certificate is verified.
#[derive(Clone)]
pub enum HostVerification {
    /// It has this fingerprint.
    Fingerprint(String),
    /// It is in this file, or signed by a certificate in it.
    Authority(PathBuf),
    /// It has the same fingerprint as at the first connection.
    KnownHosts {
        /// The file with the fingerprints.
        file: Option<PathBuf>,
        /// A person confirms a new fingerprint before anything is sent.
        can_ask: bool,
    },
}

impl Place<'_> {
    /// Returns the protection that flags, environment and settings ask for.
    ///
    /// The settings of a named place win over the environment, so that a key for another host is
    /// not sent to this one. With `can_ask`, a person can confirm a fingerprint.
    pub fn security(&self, sources: Sources<'_>, can_ask: bool) -> Result<Security, Error> {
        let flags = sources.flags;
        let is_verified = flags.fingerprint.is_some() || flags.ca.is_some();
        let is_default = !flags.plain && uses_tls_by_default(self.connection_type, self.host);
        let uses_tls = flags.tls || is_verified || is_default;
        Ok(Security {
            tls: uses_tls.then(|| self.verification(sources, can_ask)),
            key: self.key(sources)?,
        })
    }

    fn verification(&self, sources: Sources<'_>, can_ask: bool) -> HostVerification {
        let (flags, host) = (sources.flags, self.host);
        match (&flags.fingerprint, &flags.ca, &host.fingerprint, &host.ca) {
            (Some(fingerprint), ..) | (None, None, Some(fingerprint), _) => {
                HostVerification::Fingerprint(fingerprint.clone())
            }
            (None, Some(file), ..) | (None, None, None, Some(file)) => {
                HostVerification::Authority(file.clone())
            }
            (None, None, None, None) => HostVerification::KnownHosts {
                file: sources.file.map(|file| file.path.with_file_name("known_hosts")),
                can_ask,
            },
        }
    }

    fn key(&self, sources: Sources<'_>) -> Result<Option<Vec<u8>>, Error> {
        let flag = key_or_file(sources.flags.key.as_ref(), sources.flags.key_file.as_deref())?;
        let variable = sources.environment.text("DROPIN_KEY")?.map(str::to_owned);
        let setting = || key_or_file(self.host.key.as_ref(), self.host.key_file.as_deref());
        let key = match (flag, variable) {
            (Some(key), _) => Some(key),
            (None, variable) if self.name.is_some() => setting()?.or(variable),
            (None, Some(key)) => Some(key),
            (None, None) => setting()?,
        };
        Ok(key.map(|key| key.trim().as_bytes().to_vec()).filter(|key| !key.is_empty()))
    }
}

/// Returns true when connections to the host use TLS without any flag.
pub fn uses_tls_by_default(connection_type: ConnectionType, host: &HostSettings) -> bool {
    let is_verified = host.fingerprint.is_some() || host.ca.is_some();
    host.tls.unwrap_or(is_verified || connection_type != ConnectionType::Same)
}

fn key_or_file(key: Option<&String>, file: Option<&Path>) -> Result<Option<String>, Error> {
    match (key, file) {
        (Some(key), _) => Ok(Some(key.clone())),
        (None, Some(file)) => {
            std::fs::read_to_string(file).map(Some).map_err(|source| Error::ReadFile {
                content: "the key",
                option: "--key-file",
                file: file.to_owned(),
                source,
            })
        }
        (None, None) => Ok(None),
    }
}
