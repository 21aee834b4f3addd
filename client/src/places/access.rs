//! How to connect safely: over TLS or not, who the host must be, and the key that lets in.

use std::path::{Path, PathBuf};

use crate::{
    cli::args::Connection,
    error::Error,
    places::{kind::Kind, settings::Entry},
};

/// How to connect safely.
#[derive(Clone)]
pub struct Access {
    /// `None` for a plain connection.
    pub tls: Option<Proof>,
    /// Shown to the host, once it has proved itself.
    pub key: Option<Vec<u8>>,
}

/// How the host proves itself.
#[derive(Clone)]
pub enum Proof {
    /// By a certificate of this fingerprint.
    Fingerprint(String),
    /// By a certificate that one in this file vouches for.
    Authority(PathBuf),
    /// By the same certificate as the first time.
    Known {
        /// The file that keeps it.
        file: Option<PathBuf>,
        /// At first sight a person is to say whether it is the right one, before anything is sent.
        ask: bool,
    },
}

impl Access {
    /// Gathers what flags, environment (`key`) and settings (`entry`) say. The settings of a `named`
    /// place win over the environment: a key that is set for another host is not shown to this one. A
    /// `person` can be asked.
    pub fn new(
        kind: Kind,
        entry: &Entry,
        flags: &Connection,
        key: Option<&str>,
        known: Option<PathBuf>,
        named: bool,
        person: bool,
    ) -> Result<Self, Error> {
        let proof = match (&flags.fingerprint, &flags.ca, &entry.fingerprint, &entry.ca) {
            (Some(fingerprint), ..) => Proof::Fingerprint(fingerprint.clone()),
            (None, Some(file), ..) => Proof::Authority(file.clone()),
            (None, None, Some(fingerprint), _) => Proof::Fingerprint(fingerprint.clone()),
            (None, None, None, Some(file)) => Proof::Authority(file.clone()),
            (None, None, None, None) => Proof::Known { file: known, ask: person },
        };
        let proved = flags.fingerprint.is_some() || flags.ca.is_some();
        let tls = flags.tls || proved || (!flags.plain && by_itself(kind, entry));
        let of_entry = || -> Result<_, Error> {
            Ok(match (&entry.key, &entry.key_file) {
                (Some(key), _) => Some(key.clone()),
                (None, Some(file)) => Some(read_key(file)?),
                (None, None) => None,
            })
        };
        let of_environment = key.map(str::to_owned);
        let key = match (&flags.key, &flags.key_file) {
            (Some(key), _) => Some(key.clone()),
            (None, Some(file)) => Some(read_key(file)?),
            (None, None) if named => of_entry()?.or(of_environment),
            (None, None) if of_environment.is_some() => of_environment,
            (None, None) => of_entry()?,
        };
        let key = key.map(|key| key.trim().as_bytes().to_vec()).filter(|key| !key.is_empty());
        Ok(Self { tls: tls.then_some(proof), key })
    }

    /// The first command: chooses RESP3, and logs in where there is a key.
    pub fn greeting(&self) -> Vec<Vec<u8>> {
        let mut words = vec![b"HELLO".to_vec(), b"3".to_vec()];
        if let Some(key) = &self.key {
            words.extend([b"AUTH".to_vec(), b"default".to_vec(), key.clone()]);
        }
        words
    }
}

/// Whether a connection uses TLS where no flag says anything.
pub fn by_itself(kind: Kind, entry: &Entry) -> bool {
    let proved = entry.fingerprint.is_some() || entry.ca.is_some();
    entry.tls.unwrap_or(proved || kind != Kind::Same)
}

fn read_key(file: &Path) -> Result<String, Error> {
    std::fs::read_to_string(file).map_err(|source| Error::ReadFile {
        what: "the key",
        option: "--key-file",
        file: file.to_owned(),
        source,
    })
}
