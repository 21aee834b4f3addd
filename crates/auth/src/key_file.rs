//! The file that keeps the keys.

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
/// What is locked while the file is changed.
const LOCK: &str = "keys.lock";

/// Where the keys are kept.
#[derive(Clone, Debug)]
pub struct KeyFile {
    folder: PathBuf,
}

/// Why keys cannot be read or changed.
#[derive(Debug)]
pub enum KeyFileError {
    /// The directory or file is not private, or the system refused it.
    Private(PrivateError),
    /// The file cannot be understood.
    Bad(PathBuf, toml::de::Error),
    /// The keys cannot be written as text.
    Unwritable(toml::ser::Error),
    /// The change is refused.
    Key(KeyError),
}

impl KeyFile {
    /// The keys in this state directory.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Reads the keys; there are none where there is no file.
    ///
    /// # Errors
    /// Where others can look into it, or it cannot be read.
    pub fn read(&self) -> Result<Keys, KeyFileError> {
        let path = self.path();
        match private::read(&path).map_err(KeyFileError::Private)? {
            Some(text) => Keys::parse(&text).map_err(|error| KeyFileError::Bad(path, error)),
            None => Ok(Keys::default()),
        }
    }

    /// Changes the keys, one who does so at a time.
    ///
    /// # Errors
    /// As [`read`](Self::read), and where the change is refused or cannot be written.
    pub fn change<T>(
        &self,
        change: impl FnOnce(&mut Keys) -> Result<T, KeyError>,
    ) -> Result<T, KeyFileError> {
        private::directory(&self.folder).map_err(KeyFileError::Private)?;
        // Given back when the file closes.
        let _lock = private::lock(&self.folder.join(LOCK)).map_err(KeyFileError::Private)?;
        let mut keys = self.read()?;
        let done = change(&mut keys).map_err(KeyFileError::Key)?;
        let text = keys.to_text().map_err(KeyFileError::Unwritable)?;
        private::write(&self.path(), &text).map_err(KeyFileError::Private)?;
        Ok(done)
    }

    /// The state directory.
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
            // Not the line itself, which the whole message shows.
            Self::Bad(path, error) => write!(
                out,
                "{} cannot be understood: {}; correct it, or remove it and make the keys anew",
                path.display(),
                error.message().trim().replace('\n', ", ")
            ),
            Self::Unwritable(error) => write!(out, "the keys cannot be written: {error}"),
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
