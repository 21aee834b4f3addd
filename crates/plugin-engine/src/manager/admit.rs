//! Copies a file and decides if its content may be run.

use std::path::Path;

use super::{FileRecord, Manager, RetryOn, file_name};
use crate::{
    files::{
        folder,
        kind::{self, FileKind, NoPlugin},
        shadow_copy::Shadow,
    },
    load_error::Refusal,
};

impl Manager {
    /// Returns the kind of a file in the plugins folder.
    pub(super) fn kind_of(&self, path: &Path) -> Result<FileKind, NoPlugin> {
        let interprets =
            |extension: &str| self.context.plugin_settings.interpreter(extension).is_some();
        kind::kind_of(path, &interprets)
    }

    /// Copies a file and checks that its content may be run. Returns `None` if the file is gone
    /// again, or has its earlier content and is not to be loaded `anew`.
    ///
    /// A refusal for the circumstances of the content, such as rights or signature, says nothing
    /// about the content: the record of the earlier content stays.
    pub(super) fn admit(&mut self, path: &Path, anew: bool) -> Result<Option<Shadow>, Refusal> {
        let admitted = self.trust_policy.check_folder(&self.context.settings.plugins);
        let kind = match self.kind_of(path) {
            Ok(kind) => kind,
            Err(NoPlugin::Other) => return Ok(None),
            Err(NoPlugin::Mistaken(what)) => {
                // Reported once, as long as the reason stays.
                let hash = blake3::hash(what.as_bytes());
                let seen = FileRecord { hash, waits: RetryOn::No };
                let before = self.files.insert(path.to_owned(), seen);
                if !anew && before.is_some_and(|before| before.hash == hash) {
                    return Ok(None);
                }
                return Err(Refusal::OtherKind { what });
            }
        };
        let copied = admitted.and_then(|()| self.shadows.copy(path, kind, &self.trust_policy));
        let shadow = match copied {
            Ok(shadow) => shadow,
            // It was removed again, and a message about that is on its way.
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
        self.trust_policy.check_content(path, shadow.content())?;
        Ok(Some(shadow))
    }
}
