//! Keeps the private copies that are still to be removed.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Copies that could not be removed yet: Windows refuses to remove a file that is loaded, or that a
/// virus scanner has open.
#[derive(Clone, Debug, Default)]
pub struct DeferredDelete(Arc<Mutex<Vec<PathBuf>>>);

impl DeferredDelete {
    /// Removes a file, now or at a later [`clear`](Self::clear).
    pub fn remove(&self, path: &Path) {
        if !is_gone(path) {
            self.paths().push(path.to_owned());
        }
    }

    /// Removes the files that could not be removed before.
    pub fn clear(&self) {
        self.paths().retain(|path| !is_gone(path));
    }

    fn paths(&self) -> MutexGuard<'_, Vec<PathBuf>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_gone(path: &Path) -> bool {
    match fs::remove_file(path) {
        Err(error) => error.kind() == io::ErrorKind::NotFound,
        Ok(()) => true,
    }
}
