//! What a library must show before any of its code is run.

use std::{
    fmt,
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

/// What a library must show before any of its code is run.
#[derive(Debug)]
pub struct TrustPolicy {
    allow_insecure: bool,
    key: Option<PluginKey>,
}

/// Why no library can be admitted.
#[derive(Debug)]
pub enum TrustPolicyError {
    /// Others could put libraries into the plugins folder.
    Folder(Insecure),
    /// There is no key to verify signatures with.
    Key(PluginKeyError),
}

impl TrustPolicy {
    /// As the flags say.
    ///
    /// # Errors
    /// Where the key cannot be read.
    pub fn new(flags: &PluginTrust) -> Result<Self, TrustPolicyError> {
        let key = flags.plugin_key.as_deref().map(PluginKey::read).transpose();
        let key = key.map_err(TrustPolicyError::Key)?;
        Ok(Self { allow_insecure: flags.allow_insecure_plugins, key })
    }

    /// As the flags say, for a host that starts with this plugins folder, there or not.
    ///
    /// # Errors
    /// Where the key cannot be read, or others could put libraries into the folder.
    pub fn for_folder(folder: &Path, flags: &PluginTrust) -> Result<Self, TrustPolicyError> {
        let trust_policy = Self::new(flags)?;
        if let Ok(data) = fs::metadata(folder) {
            trust_policy.secure(folder, &data).map_err(TrustPolicyError::Folder)?;
        }
        Ok(trust_policy)
    }

    /// Checks the plugins folder as it is now.
    ///
    /// # Errors
    /// Where others could put libraries into it, or it cannot be looked at.
    pub fn folder(&self, folder: &Path) -> Result<(), Refusal> {
        // Whatever it is, the file is not to blame, and does not change when it is over.
        let data = fs::metadata(folder)
            .map_err(|error| Refusal::probe_failed("look at the plugins folder", &error))?;
        self.secure(folder, &data).map_err(Refusal::Insecure)
    }

    /// Checks a library's file, as it has been opened.
    ///
    /// # Errors
    /// Where others could have written it.
    pub fn file(&self, path: &Path, opened: &Metadata) -> Result<(), Refusal> {
        self.secure(path, opened).map_err(Refusal::Insecure)
    }

    /// Checks what a library's private copy holds.
    ///
    /// # Errors
    /// Where the signature beside the library's file does not vouch for it.
    pub fn content(&self, path: &Path, copy: &File) -> Result<(), Refusal> {
        let verified = self.key.as_ref().map(|key| key.verify(path, copy));
        verified.unwrap_or(Ok(())).map_err(Refusal::Signature)
    }

    fn secure(&self, path: &Path, data: &Metadata) -> Result<(), Insecure> {
        if self.allow_insecure { Ok(()) } else { Insecure::check(path, data) }
    }
}

impl fmt::Display for TrustPolicyError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(insecure) => write!(out, "cannot trust the plugins folder: {insecure}"),
            Self::Key(error) => error.fmt(out),
        }
    }
}

impl std::error::Error for TrustPolicyError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        files::shadow_copy::ShadowDir,
        trust::signature::{BadSignature, signature_of},
    };

    const KEY: &str = "untrusted comment: minisign public key E7620F1842B4E81F
RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";

    /// Of the four bytes "test".
    const SIGNATURE: &str = "untrusted comment: signature from minisign secret key
RUQf6LRCGA9i559r3g7V1qNyJDApGip8MfqcadIgT9CuhV3EMhHoN1mGTkUidF/z7SrlQgXdy8ofjb7bNJJylDOocrCo8KLzZwo=
trusted comment: timestamp:1556193335\tfile:test
y/rUw2y8/hOUYjZU71eHp/Wo1KZ40fGy2VJEDl34XMJM+TX48Ss/17u3IvIfbVR1FkZZSNCisQbuQY+bHwhEBg==";

    /// Of the same, in the legacy way.
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
            dir.copy(&file, &trust_policy).unwrap()
        };
        let (right, wrong) = (copy("test"), copy("tast"));
        fs::write(signature_of(&file), SIGNATURE).unwrap();
        assert_eq!(
            trust_policy.content(&file, right.content()),
            Ok(()),
            "the file is wrong by now"
        );
        fs::write(&file, "test").unwrap();
        let refused = Err(Refusal::Signature(BadSignature::Mismatch));
        assert_eq!(
            trust_policy.content(&file, wrong.content()),
            refused,
            "the file is right by now"
        );
        fs::write(signature_of(&file), LEGACY).unwrap();
        let refused = trust_policy.content(&file, right.content()).unwrap_err().to_string();
        assert!(refused.contains("legacy"), "{refused}");
    }
}
