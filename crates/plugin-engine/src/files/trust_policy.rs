//! Decides whether a library may run: by its owner, its permissions and its signature.

use std::{
    fs::{self, File, Metadata},
    path::Path,
};

use crate::{
    load_error::Refusal,
    trust::{
        PluginTrust,
        permissions::Insecure,
        signature::{PluginKey, PluginKeyError},
    },
};

/// The conditions that a library must meet before any of its code is run.
#[derive(Debug)]
pub struct TrustPolicy {
    allow_insecure: bool,
    key: Option<PluginKey>,
}

/// The reason for which the host cannot decide about libraries at all.
#[derive(Debug, thiserror::Error)]
pub enum TrustPolicyError {
    /// Other users could put libraries into the plugins folder.
    #[error("cannot trust the plugins folder: {0}")]
    Folder(#[from] Insecure),
    /// The key to verify signatures with cannot be read.
    #[error(transparent)]
    Key(#[from] PluginKeyError),
}

impl TrustPolicy {
    /// Makes the policy that the flags ask for.
    ///
    /// # Errors
    /// The key cannot be read.
    pub fn new(flags: &PluginTrust) -> Result<Self, TrustPolicyError> {
        let key = flags.plugin_key.as_deref().map(PluginKey::read).transpose()?;
        Ok(Self { allow_insecure: flags.allow_insecure_plugins, key })
    }

    /// Makes the policy that the flags ask for, for a host that starts with this plugins folder,
    /// which may not exist yet.
    ///
    /// # Errors
    /// The key cannot be read, or other users could put libraries into the folder.
    pub fn for_folder(folder: &Path, flags: &PluginTrust) -> Result<Self, TrustPolicyError> {
        let trust_policy = Self::new(flags)?;
        if let Ok(data) = fs::metadata(folder) {
            trust_policy.check_permissions(folder, &data)?;
        }
        Ok(trust_policy)
    }

    /// Checks the plugins folder as it is now.
    ///
    /// # Errors
    /// Other users could put libraries into it, or it cannot be accessed.
    pub fn check_folder(&self, folder: &Path) -> Result<(), Refusal> {
        // A temporary failure: the file is not to blame, and does not change when it is over.
        let data = fs::metadata(folder)
            .map_err(|error| Refusal::probe_failed("access the plugins folder", &error))?;
        self.check_permissions(folder, &data).map_err(Refusal::Insecure)
    }

    /// Returns true if every plugin needs a signature.
    #[must_use]
    pub fn requires_signatures(&self) -> bool {
        self.key.is_some()
    }

    /// Checks a library's opened file.
    ///
    /// # Errors
    /// Other users could have written it.
    pub fn check_file(&self, path: &Path, opened: &Metadata) -> Result<(), Refusal> {
        self.check_permissions(path, opened).map_err(Refusal::Insecure)
    }

    /// Checks the content of a library's private copy.
    ///
    /// # Errors
    /// The signature beside the library's file is missing or does not match the content.
    pub fn check_content(&self, path: &Path, copy: &File) -> Result<(), Refusal> {
        let verified = self.key.as_ref().map(|key| key.verify(path, copy));
        verified.unwrap_or(Ok(())).map_err(Refusal::Signature)
    }

    fn check_permissions(&self, path: &Path, data: &Metadata) -> Result<(), Insecure> {
        if self.allow_insecure { Ok(()) } else { Insecure::check(path, data) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        files::{kind::FileKind, shadow_copy::ShadowDir},
        trust::signature::{BadSignature, signature_of},
    };

    const KEY: &str = "untrusted comment: minisign public key E7620F1842B4E81F
RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";

    /// The signature of the four bytes "test".
    const SIGNATURE: &str = "untrusted comment: signature from minisign secret key
RUQf6LRCGA9i559r3g7V1qNyJDApGip8MfqcadIgT9CuhV3EMhHoN1mGTkUidF/z7SrlQgXdy8ofjb7bNJJylDOocrCo8KLzZwo=
trusted comment: timestamp:1556193335\tfile:test
y/rUw2y8/hOUYjZU71eHp/Wo1KZ40fGy2VJEDl34XMJM+TX48Ss/17u3IvIfbVR1FkZZSNCisQbuQY+bHwhEBg==";

    /// The legacy signature of the same bytes.
    const LEGACY: &str = "untrusted comment: signature from minisign secret key
RWQf6LRCGA9i59SLOFxz6NxvASXDJeRtuZykwQepbDEGt87ig1BNpWaVWuNrm73YiIiJbq71Wi+dP9eKL8OC351vwIasSSbXxwA=
trusted comment: timestamp:1555779966\tfile:test
QtKMXWyYcwdpZAlPF7tE2ENJkRd1ujvKjlj1m9RtHTBnZPa5WKU5uWRs5GoP5M/VqE81QFuMKI5k/SfNQUaOAA==";

    #[test]
    fn the_private_copy_is_what_is_verified() {
        let temp = tempfile::tempdir().unwrap();
        let (key, file) = (temp.path().join("key.pub"), temp.path().join("libx.so"));
        fs::write(&key, KEY).unwrap();
        let flags = PluginTrust { allow_insecure_plugins: true, plugin_key: Some(key) };
        let trust_policy = TrustPolicy::new(&flags).unwrap();
        let dir = ShadowDir::open(temp.path().join("copies")).unwrap();
        let copy = |text| {
            fs::write(&file, text).unwrap();
            dir.copy(&file, FileKind::Library, &trust_policy).unwrap()
        };
        let (right, wrong) = (copy("test"), copy("tast"));
        fs::write(signature_of(&file), SIGNATURE).unwrap();
        assert_eq!(
            trust_policy.check_content(&file, right.content()),
            Ok(()),
            "the file is wrong by now"
        );
        fs::write(&file, "test").unwrap();
        let refused = Err(Refusal::Signature(BadSignature::Mismatch));
        assert_eq!(
            trust_policy.check_content(&file, wrong.content()),
            refused,
            "the file is right by now"
        );
        fs::write(signature_of(&file), LEGACY).unwrap();
        let refused = trust_policy.check_content(&file, right.content()).unwrap_err().to_string();
        assert!(refused.contains("legacy"), "{refused}");
    }
}
