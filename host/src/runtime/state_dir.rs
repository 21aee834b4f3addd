//! The state directory, which one running host locks.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

use auth::private::{self, PrivateError};
use platform::durable::{self, RealDisk};

/// The directory `<state directory>/<port>`, locked while this lives.
pub struct StateDir {
    path: PathBuf,
    is_new: bool,
    // The system releases the lock when the file closes, even after a crash.
    _lock: File,
}

/// The reason for which the state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateDirError {
    /// The user has no state directory, and none was named.
    #[error("no state directory: the user has none, so name one with --state-dir")]
    Unknown,
    /// Another host has locked it.
    #[error(
        "another host is using the state directory {}; end it, or name another with --state-dir",
        .0.display()
    )]
    Taken(PathBuf),
    /// It is not private to this user.
    #[error(transparent)]
    Private(#[from] PrivateError),
    /// A system call failed.
    #[error("cannot {operation} {}: {source}", path.display())]
    Io {
        /// The operation, as a verb.
        operation: &'static str,
        /// The directory or file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

impl StateDir {
    /// Makes the directory and locks it. Fails if another host holds the lock.
    pub fn lock(root: Option<PathBuf>, port: u16) -> Result<Self, StateDirError> {
        let root = root.ok_or(StateDirError::Unknown)?;
        private::directory(&root)?;
        let path = root.join(port.to_string());
        let is_new = !path.exists();
        durable::make_folder(&RealDisk, &path).map_err(failed("make", &path))?;
        let lock = path.join("lock");
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock)
            .map_err(failed("open", &lock))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { path, is_new, _lock: file }),
            Err(TryLockError::WouldBlock) => Err(StateDirError::Taken(path)),
            Err(TryLockError::Error(error)) => Err(failed("lock", &lock)(error)),
        }
    }

    /// Returns the directory of a port, which may not exist, without a lock.
    pub fn path_of(root: Option<PathBuf>, port: u16) -> Result<PathBuf, StateDirError> {
        Ok(root.ok_or(StateDirError::Unknown)?.join(port.to_string()))
    }

    /// Returns true if a host has locked the directory of a port.
    pub fn is_locked(path: &Path) -> bool {
        // A shared lock for a moment; the only way to find out on all systems.
        File::open(path.join("lock"))
            .is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }

    /// Returns the directory's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Logs the directory and, if it is new, the directories of other ports with saved state.
    /// `any_port` says that the port is 0.
    pub fn log_paths(&self, any_port: bool) {
        let path = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        log::info!("state is kept in {}", path.display());
        let others = if self.is_new { self.others_with_state() } else { Vec::new() };
        if !others.is_empty() {
            let others: Vec<_> = others.iter().map(|other| other.display().to_string()).collect();
            let why = if any_port {
                "with --port 0 every start has a folder of its own"
            } else {
                "each port has a folder of its own, so start with that port to use it"
            };
            log::warn!(
                "{} is new and has no saved state, while there is some in {}: {why}",
                path.display(),
                others.join(", ")
            );
        }
    }

    /// Returns the directories of other ports in which plugins have saved state.
    fn others_with_state(&self) -> Vec<PathBuf> {
        let own = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let entries = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten();
        let is_port = |path: &PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str());
            *path != own && name.is_some_and(|name| name.parse::<u16>().is_ok())
        };
        let has_state = |path: &PathBuf| {
            entries(&path.join("state"))
                .any(|file| file.path().extension().is_some_and(|extension| extension == "state"))
        };
        let root = own.parent().unwrap_or(&own);
        let folders = entries(root).map(|entry| entry.path());
        let mut others: Vec<_> = folders.filter(is_port).filter(has_state).collect();
        others.sort();
        others
    }
}

fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StateDirError {
    move |source| StateDirError::Io { operation, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_host_at_a_time() {
        let temp = tempfile::tempdir().unwrap();
        let root = || Some(temp.path().join("state"));
        let first = StateDir::lock(root(), 5000).unwrap();
        assert!(matches!(StateDir::lock(root(), 5000), Err(StateDirError::Taken(_))));
        assert!(StateDir::lock(root(), 5001).is_ok());
        let path = StateDir::path_of(root(), 5000).unwrap();
        assert_eq!((path.as_path(), StateDir::is_locked(&path)), (first.path(), true));
        drop(first);
        assert!(!StateDir::is_locked(&path));
        assert!(StateDir::lock(root(), 5000).is_ok());
    }

    #[test]
    fn saved_state_of_another_port_is_found() {
        let temp = tempfile::tempdir().unwrap();
        let root = || Some(temp.path().join("state"));
        let used = StateDir::lock(root(), 5000).unwrap();
        assert!(used.is_new);
        fs::create_dir(used.path().join("state")).unwrap();
        let new = StateDir::lock(root(), 5001).unwrap();
        assert!(new.others_with_state().is_empty(), "nothing is saved there");
        fs::write(used.path().join("state").join("store.state"), b"x").unwrap();
        assert_eq!(new.others_with_state(), [fs::canonicalize(used.path()).unwrap()]);
        assert!(used.others_with_state().is_empty());
        drop(used);
        assert!(!StateDir::lock(root(), 5000).unwrap().is_new);
    }
}
