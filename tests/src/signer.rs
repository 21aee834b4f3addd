//! A key pair that signs plugins.

use std::{fs, path::PathBuf};

use minisign::KeyPair;
use tempfile::TempDir;

use crate::built::library_name;

/// A key pair whose public half is in a file.
pub struct Signer {
    pub pair: KeyPair,
    pub folder: TempDir,
}

impl Default for Signer {
    fn default() -> Self {
        Self::new()
    }
}

impl Signer {
    /// Makes a key pair.
    ///
    /// # Panics
    /// The key cannot be written.
    #[must_use]
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let pair = KeyPair::generate_unencrypted_keypair().expect("a key pair can be made");
        let signer = Self { pair, folder };
        let public = signer.pair.pk.to_box().expect("a key has a form in text").to_bytes();
        fs::write(signer.file(), public).expect("a file can be written");
        signer
    }

    /// Returns the file with the public key.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("minisign.pub")
    }

    /// Returns the signature of this content, as of a file that nobody names.
    ///
    /// # Panics
    /// The content cannot be signed.
    #[must_use]
    pub fn sign(&self, content: &[u8]) -> Vec<u8> {
        self.sign_with(content, None)
    }

    /// Returns the signature of a file of this name and content, as minisign makes it.
    ///
    /// # Panics
    /// The content cannot be signed.
    #[must_use]
    pub fn sign_file(&self, name: &str, content: &[u8]) -> Vec<u8> {
        self.sign_with(content, Some(&format!("timestamp:1\tfile:{name}\thashed")))
    }

    fn sign_with(&self, content: &[u8], comment: Option<&str>) -> Vec<u8> {
        let signature = minisign::sign(None, &self.pair.sk, content, comment, None);
        signature.expect("a content can be signed").to_bytes()
    }
}

/// Returns the name of the signature of a package's library.
#[must_use]
pub fn signature_name(package: &str) -> String {
    format!("{}.minisig", library_name(package))
}
