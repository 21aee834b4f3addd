//! The key file in the state directory.

use std::path::{Path, PathBuf};

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
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The directory or a file is not private, or cannot be accessed.
    #[error(transparent)]
    Private(#[from] PrivateError),
    /// The file cannot be parsed.
    #[error(
        "cannot parse {}: {}; correct the file, or remove it and add new keys",
        path.display(),
        source.message().trim().replace('\n', ", ")
    )]
    Bad {
        /// The file.
        path: PathBuf,
        /// The cause, without the line, which may hold a hash.
        source: toml::de::Error,
    },
    /// The keys cannot be formatted.
    #[error("cannot format the keys: {0}")]
    Unwritable(#[from] toml::ser::Error),
    /// The change itself failed.
    #[error(transparent)]
    Key(#[from] KeyError),
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
        match private::read(&path)? {
            Some(text) => Keys::parse(&text).map_err(|mut source| {
                source.set_input(None);
                KeyFileError::Bad { path, source }
            }),
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
        private::directory(&self.folder)?;
        // Released when the file closes.
        let _lock = private::lock(&self.folder.join(LOCK))?;
        let mut keys = self.read()?;
        let done = change(&mut keys)?;
        private::write(&self.path(), &keys.to_text()?)?;
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

#[cfg(test)]
mod tests {
    use std::{error::Error, fs, io};

    use super::*;
    use crate::keys::Role;

    fn root_cause(error: &KeyFileError) -> &(dyn Error + 'static) {
        let mut cause: &(dyn Error + 'static) = error;
        while let Some(source) = cause.source() {
            cause = source;
        }
        cause
    }

    #[test]
    fn unusable_folder_error_keeps_its_cause() {
        let temp = tempfile::tempdir().unwrap();
        let folder = temp.path().join("file");
        fs::write(&folder, b"").unwrap();
        let file = KeyFile::new(folder.join("state"));
        let error = file.change(|keys| keys.revoke("a")).unwrap_err();
        assert!(root_cause(&error).is::<io::Error>(), "{error:?}");
    }

    #[test]
    fn parse_error_hides_the_line_of_the_file() {
        let temp = tempfile::tempdir().unwrap();
        let file = KeyFile::new(temp.path().to_owned());
        private::write(&file.path(), "[[key]]\nhash = 'c0ffee").unwrap();
        let error = file.read().unwrap_err();
        let cause = root_cause(&error);
        assert!(cause.is::<toml::de::Error>(), "{cause:?}");
        assert!(!format!("{error} {cause} {error:?}").contains("c0ffee"), "{error:?}");
    }

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
        use std::os::unix::fs::PermissionsExt;
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
