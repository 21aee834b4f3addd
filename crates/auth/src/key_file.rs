//! The key file in the state directory.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use super::{
    keys::{KeyError, Keys},
    private::{self, PrivateError},
};

/// The file's name in the state directory.
const NAME: &str = "keys.toml";
/// The name of the file that is locked while the key file is changed.
const LOCK: &str = "keys.lock";

/// The key file of a state directory.
#[derive(Clone, Debug)]
pub struct KeyFile {
    folder: PathBuf,
}

/// The reason for which the keys cannot be read or changed.
#[derive(Debug)]
pub enum KeyFileError {
    /// The directory or a file is not private, or cannot be accessed.
    Private(PrivateError),
    /// The file cannot be parsed.
    Bad(PathBuf, toml::de::Error),
    /// The keys cannot be formatted.
    Unwritable(toml::ser::Error),
    /// The change itself failed.
    Key(KeyError),
}

impl KeyFile {
    /// Returns the key file of this state directory, which need not exist.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Reads the keys. There are none if the file does not exist.
    ///
    /// # Errors
    /// The file cannot be read or parsed, or other users have access to it.
    pub fn read(&self) -> Result<Keys, KeyFileError> {
        let path = self.path();
        match private::read(&path).map_err(KeyFileError::Private)? {
            Some(text) => Keys::parse(&text).map_err(|error| KeyFileError::Bad(path, error)),
            None => Ok(Keys::default()),
        }
    }

    /// Changes the keys, under a lock that excludes other processes.
    ///
    /// # Errors
    /// As [`read`](Self::read); the change itself fails; the file cannot be locked or written.
    pub fn change<T>(
        &self,
        change: impl FnOnce(&mut Keys) -> Result<T, KeyError>,
    ) -> Result<T, KeyFileError> {
        private::directory(&self.folder).map_err(KeyFileError::Private)?;
        // Released when the file closes.
        let _lock = private::lock(&self.folder.join(LOCK)).map_err(KeyFileError::Private)?;
        let mut keys = self.read()?;
        let done = change(&mut keys).map_err(KeyFileError::Key)?;
        let text = keys.to_text().map_err(KeyFileError::Unwritable)?;
        private::write(&self.path(), &text).map_err(KeyFileError::Private)?;
        Ok(done)
    }

    /// Returns the state directory.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn path(&self) -> PathBuf {
        self.folder.join(NAME)
    }
}

impl fmt::Display for KeyFileError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Private(error) => error.fmt(out),
            // Only the message: the full error would show the line, which may hold a hash.
            Self::Bad(path, error) => write!(
                out,
                "cannot parse {}: {}; correct the file, or remove it and add new keys",
                path.display(),
                error.message().trim().replace('\n', ", ")
            ),
            Self::Unwritable(error) => write!(out, "cannot format the keys: {error}"),
            Self::Key(error) => error.fmt(out),
        }
    }
}

impl std::error::Error for KeyFileError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Role;

    #[test]
    fn changes_of_many_are_all_kept() {
        let temp = tempfile::tempdir().unwrap();
        let file = KeyFile::new(temp.path().join("state"));
        std::thread::scope(|scope| {
            for number in 0..8 {
                let file = &file;
                scope.spawn(move || {
                    let name = format!("key-{number}");
                    file.change(|keys| keys.add(&name, Role::User, Vec::new(), None)).unwrap();
                });
            }
        });
        assert_eq!(file.read().unwrap().list().len(), 8);
    }

    #[cfg(unix)]
    #[test]
    fn key_file_readable_by_others_is_rejected() {
        use std::{fs, os::unix::fs::PermissionsExt};
        let temp = tempfile::tempdir().unwrap();
        let folder = temp.path().join("state");
        let file = KeyFile::new(folder.clone());
        file.change(|keys| keys.add("a", Role::User, Vec::new(), None)).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&folder), mode(&file.path())), (0o700, 0o600));
        let set = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        set(&file.path(), 0o640);
        assert!(file.read().unwrap_err().to_string().contains("chmod go= "));
        set(&file.path(), 0o600);
        set(&folder, 0o755);
        let refused = file.change(|keys| keys.add("b", Role::User, Vec::new(), None));
        assert!(refused.unwrap_err().to_string().contains("chmod go= "));
        assert_eq!(file.read().unwrap().list().len(), 1);
    }
}
