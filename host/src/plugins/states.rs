//! Saved state on disk: one file for each plugin, replaced as a whole.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::PathBuf,
    time::Instant,
};

use crate::platform;

/// Where plugins' saved state lies.
pub struct States {
    folder: PathBuf,
}

impl States {
    /// In this folder, which is made on first use.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The state that was kept last; `None` where there is none.
    ///
    /// # Errors
    /// The system's, where there is one that cannot be read.
    pub fn load(&self, plugin: &str) -> io::Result<Option<Vec<u8>>> {
        match fs::read(self.file(plugin)) {
            Ok(state) => Ok(Some(state)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Keeps a state. A crash at any moment leaves either this one or the one before. Where somebody
    /// else has the file it is tried again until the deadline.
    ///
    /// # Errors
    /// The system's; the state before is still there.
    pub fn keep(&self, plugin: &str, state: &[u8], deadline: Instant) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let file = self.file(plugin);
        let draft = file.with_extension("draft");
        let mut writer = platform::persist_until(deadline, || File::create(&draft))?;
        writer.write_all(state)?;
        // The name must not reach the disk before the content.
        writer.sync_all()?;
        drop(writer);
        platform::persist_until(deadline, || fs::rename(&draft, &file)).map_err(|error| {
            let (draft, file) = (draft.display(), file.display());
            let words = format!("{error}; it is in {draft}, and would have become {file}");
            io::Error::new(error.kind(), words)
        })?;
        if cfg!(unix) {
            File::open(&self.folder)?.sync_all()?;
        }
        Ok(())
    }

    /// How large the state is that was kept last, in bytes.
    #[must_use]
    pub fn size(&self, plugin: &str) -> Option<u64> {
        fs::metadata(self.file(plugin)).ok().map(|file| file.len())
    }

    /// Where a plugin's state is kept.
    // A plugin's name has no dot, so neither file of one can be another's.
    #[must_use]
    pub fn file(&self, plugin: &str) -> PathBuf {
        self.folder.join(format!("{plugin}.state"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_state_is_kept() {
        let temp = tempfile::tempdir().unwrap();
        let states = States::new(temp.path().join("state"));
        assert_eq!(states.load("store").unwrap(), None);
        states.keep("store", b"one", Instant::now()).unwrap();
        states.keep("store", b"two", Instant::now()).unwrap();
        assert_eq!(states.load("store").unwrap(), Some(b"two".to_vec()));
        assert_eq!((states.size("store"), states.size("text")), (Some(3), None));
    }

    #[test]
    fn a_crash_while_writing_leaves_the_state_before() {
        let temp = tempfile::tempdir().unwrap();
        let states = States::new(temp.path().to_owned());
        states.keep("store", b"whole", Instant::now()).unwrap();
        // What a crash between the two steps leaves behind.
        fs::write(temp.path().join("store.draft"), b"ha").unwrap();
        assert_eq!(states.load("store").unwrap(), Some(b"whole".to_vec()));
        states.keep("store", b"next", Instant::now()).unwrap();
        assert_eq!(states.load("store").unwrap(), Some(b"next".to_vec()));
    }

    #[cfg(windows)]
    #[test]
    fn a_state_that_cannot_be_replaced_is_where_the_error_says() {
        use std::os::windows::fs::OpenOptionsExt;
        use windows_sys::Win32::Storage::FileSystem::FILE_SHARE_READ;
        let temp = tempfile::tempdir().unwrap();
        let states = States::new(temp.path().to_owned());
        states.keep("store", b"one", Instant::now()).unwrap();
        let file = states.file("store");
        let held = File::options().read(true).share_mode(FILE_SHARE_READ).open(file).unwrap();
        let error = states.keep("store", b"two", Instant::now()).unwrap_err().to_string();
        assert!(error.contains("store.draft"), "{error}");
        drop(held);
        assert_eq!(states.load("store").unwrap(), Some(b"one".to_vec()));
        states.keep("store", b"two", Instant::now()).unwrap();
        assert_eq!(states.load("store").unwrap(), Some(b"two".to_vec()));
    }
}
