//! The directory that one running host has to itself.

use std::{
    fmt,
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

use crate::access::private::{self, PrivateError};

/// `<state directory>/<port>`, locked while this lives.
pub struct StateDir {
    path: PathBuf,
    // The lock goes when the file closes, however the process ends.
    _lock: File,
}

/// Why there is no state directory to work in.
#[derive(Debug)]
pub enum StateDirError {
    /// The user has none, and none was named.
    Unknown,
    /// Another host has it.
    Taken(PathBuf),
    /// It is not this user's alone.
    Private(PrivateError),
    /// The system refused it.
    Io(&'static str, PathBuf, io::Error),
}

impl StateDir {
    /// Makes the directory and locks it.
    ///
    /// # Errors
    /// Where it cannot be made or another host holds it.
    pub fn lock(root: Option<PathBuf>, port: u16) -> Result<Self, StateDirError> {
        let root = root.ok_or(StateDirError::Unknown)?;
        private::directory(&root).map_err(StateDirError::Private)?;
        let path = root.join(port.to_string());
        fs::create_dir_all(&path)
            .map_err(|error| StateDirError::Io("make", path.clone(), error))?;
        let lock = path.join("lock");
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock)
            .map_err(|error| StateDirError::Io("open", lock.clone(), error))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { path, _lock: file }),
            Err(TryLockError::WouldBlock) => Err(StateDirError::Taken(path)),
            Err(TryLockError::Error(error)) => Err(StateDirError::Io("lock", lock, error)),
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl fmt::Display for StateDirError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => {
                out.write_str("no state directory: the user has none, so name one with --state-dir")
            }
            Self::Taken(path) => write!(
                out,
                "another host is using the state directory {}; end it, or name another with \
                 --state-dir",
                path.display()
            ),
            Self::Private(error) => error.fmt(out),
            Self::Io(operation, path, error) => {
                write!(out, "cannot {operation} {}: {error}", path.display())
            }
        }
    }
}

impl std::error::Error for StateDirError {}

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
        drop(first);
        assert!(StateDir::lock(root(), 5000).is_ok());
    }
}
