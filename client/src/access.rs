//! How to connect safely: over TLS or not, who the host must be, and the key that lets in.

use crate::args::{Args, Place};
use crate::error::Error;
use std::path::PathBuf;

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
    /// By the same certificate as the first time, which this file keeps.
    Known(Option<PathBuf>),
}

impl Access {
    /// Gathers what flags, environment (`key`) and settings (`entry_key`) say.
    pub fn new(
        place: Place,
        args: &Args,
        key: Option<&str>,
        entry_key: Option<&str>,
        known: Option<PathBuf>,
    ) -> Result<Self, Error> {
        let proved = args.fingerprint.is_some() || args.ca.is_some();
        let tls = args.tls || proved || (!args.plain && place != Place::Same);
        let proof = match (&args.fingerprint, &args.ca) {
            (Some(fingerprint), _) => Proof::Fingerprint(fingerprint.clone()),
            (None, Some(file)) => Proof::Authority(file.clone()),
            (None, None) => Proof::Known(known),
        };
        let key = match (&args.key, &args.key_file) {
            (Some(key), _) => Some(key.clone()),
            (None, Some(file)) => Some(
                std::fs::read_to_string(file)
                    .map_err(|source| Error::ReadFile { file: file.clone(), source })?,
            ),
            (None, None) => key.or(entry_key).map(str::to_owned),
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
