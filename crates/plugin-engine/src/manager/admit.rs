//! What is new in a file: its private copy, before any of its code is run.

use std::path::Path;

use super::{Manager, file_name};
use crate::{
    files::{folder, shadow_copy::Shadow},
    load_error::Refusal,
};

impl Manager {
    /// Copies a file and sees that its content may be run; `None` where it is gone again, or holds
    /// what it held before and is not to be taken `anew`.
    ///
    /// A refusal for what is around the content, such as rights or signature, leaves it open what
    /// becomes of the content: what is known of the one before stays known.
    pub(super) fn admit(&mut self, path: &Path, anew: bool) -> Result<Option<Shadow>, Refusal> {
        let admitted = self.trust_policy.folder(&self.context.settings.plugins);
        let shadow = match admitted.and_then(|()| self.shadows.copy(path, &self.trust_policy)) {
            Ok(shadow) => shadow,
            // It went again, and a message about that is on its way.
            Err(_) if folder::is_gone(path) && path.symlink_metadata().is_err() => return Ok(None),
            Err(refusal) => {
                if !matches!(refusal, Refusal::Insecure(_)) {
                    self.files.remove(path);
                }
                return Err(refusal);
            }
        };
        if !anew && self.files.get(path).is_some_and(|seen| seen.hash == shadow.hash()) {
            log::debug!("{} was touched but is the same", file_name(path));
            return Ok(None);
        }
        self.trust_policy.content(path, shadow.content())?;
        Ok(Some(shadow))
    }
}
