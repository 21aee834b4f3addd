//! Replaces files as a whole, so that they survive a power cut.
//!
//! A replacement has four steps in this order: write a draft beside the file, flush the draft,
//! rename it, flush the folder. Without the last step the old file can come back after a power cut.
//!
//! No library does this: `tempfile` flushes nothing; `atomicwrites` flushes file and folder, but
//! leaves a folder of its own after a crash, and has no hook for progress, for retries while
//! another program has the file open, or for a step between flush and rename.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, Seek, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::retry_while_in_use_until;

/// The extension of a draft.
pub const DRAFT: &str = "draft";

/// The limit for retrying to replace a small file while another program has it open.
const TIMEOUT: Duration = Duration::from_secs(1);

/// The steps of a replacement, as the system does them. Tests record steps, or make one fail.
pub trait Disk: Send + Sync {
    /// Appends bytes to a draft, or to another file that grows.
    ///
    /// # Errors
    /// The disk is full or fails.
    fn write(&self, mut draft: &File, bytes: &[u8]) -> io::Result<()> {
        draft.write_all(bytes)
    }

    /// Flushes a draft to the disk.
    ///
    /// # Errors
    /// The disk is full or fails.
    fn flush(&self, draft: &File) -> io::Result<()> {
        draft.sync_all()
    }

    /// Flushes the content of a file that grows, and its length, to the disk.
    ///
    /// # Errors
    /// The disk is full or fails.
    fn flush_data(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    /// Makes a hard link to a file.
    ///
    /// # Errors
    /// The name is taken, or the file system has no hard links.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    /// Renames a file, and replaces a file at the new path.
    ///
    /// # Errors
    /// Another program has one of the files open (Windows), or the folder cannot be changed.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    /// Flushes a folder, so that its new names are on the disk. Does nothing on Windows, which
    /// keeps names in a journal and cannot flush folders, and on file systems that cannot either.
    ///
    /// # Errors
    /// The disk fails.
    fn flush_folder(&self, folder: &Path) -> io::Result<()> {
        if !cfg!(unix) {
            return Ok(());
        }
        match File::open(folder)?.sync_all() {
            Err(error)
                if [io::ErrorKind::InvalidInput, io::ErrorKind::Unsupported]
                    .contains(&error.kind()) =>
            {
                Ok(())
            }
            flushed => flushed,
        }
    }
}

/// The system's disk.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

impl Disk for RealDisk {}

/// A file that is written beside the file that it will replace; removed when this drops.
pub struct Draft<'a> {
    disk: &'a dyn Disk,
    path: PathBuf,
    /// `None` once it is flushed.
    file: Option<File>,
    is_placed: bool,
}

impl<'a> Draft<'a> {
    /// Makes an empty draft that only its owner can read; replaces one that a crash has left.
    ///
    /// # Errors
    /// The folder is missing or cannot be written, or another program has the draft open until
    /// `deadline`.
    pub fn create(disk: &'a dyn Disk, path: PathBuf, deadline: Instant) -> io::Result<Self> {
        let mut options = File::options();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = retry_while_in_use_until(deadline, || {
            remove(&path)?;
            options.open(&path)
        })?;
        Ok(Self { disk, path, file: Some(file), is_placed: false })
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// The disk is full or fails.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), |file| self.disk.write(file, bytes))
    }

    /// Replaces the first bytes; at least as many must have been written. Nothing may be appended
    /// behind.
    ///
    /// # Errors
    /// The disk is full or fails.
    pub fn replace_start(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(file) = self.file.as_mut() else { return Ok(()) };
        file.rewind()?;
        self.disk.write(file, bytes)
    }

    /// Flushes the draft to the disk and closes it.
    ///
    /// # Errors
    /// The disk is full or fails.
    pub fn flush(&mut self) -> io::Result<()> {
        self.file.take().map_or(Ok(()), |file| self.disk.flush(&file))
    }

    /// Flushes the draft, renames it to `target` and flushes the folder.
    ///
    /// # Errors
    /// Another program has the target open until `deadline`, the folder cannot be written, or the
    /// disk is full or fails.
    pub fn place(&mut self, target: &Path, deadline: Instant) -> io::Result<()> {
        self.flush()?;
        retry_while_in_use_until(deadline, || self.disk.rename(&self.path, target))?;
        self.is_placed = true;
        self.disk.flush_folder(folder_of(target))
    }

    /// Returns true if the draft has been renamed.
    pub fn is_placed(&self) -> bool {
        self.is_placed
    }
}

impl Drop for Draft<'_> {
    fn drop(&mut self) {
        if !self.is_placed {
            // Windows removes no file that is open.
            self.file = None;
            if let Err(error) = remove(&self.path) {
                log::warn!("cannot remove {}: {error}", self.path.display());
            }
        }
    }
}

/// Replaces a small file by one that only its owner can read.
///
/// # Errors
/// Any step fails; the file before is still there, unless only the flush of the folder failed.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace_on(&RealDisk, path, bytes)
}

/// Works as [`replace`], on this disk.
///
/// # Errors
/// As `replace`.
pub fn replace_on(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let deadline = Instant::now() + TIMEOUT;
    let mut draft = Draft::create(disk, draft_of(path), deadline)?;
    draft.write(bytes)?;
    draft.place(path, deadline)
}

/// Returns the path of a small file's draft.
#[must_use]
pub fn draft_of(path: &Path) -> PathBuf {
    let mut name = path.file_name().map_or_else(OsString::new, OsString::from);
    name.push(".");
    name.push(DRAFT);
    path.with_file_name(name)
}

/// Makes a folder and its missing parents, so that they survive a power cut.
///
/// # Errors
/// One of them cannot be made.
pub fn make_folder(disk: &dyn Disk, folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let above = folder_of(folder);
    make_folder(disk, above)?;
    match fs::create_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => {}
        made => made?,
    }
    disk.flush_folder(above)
}

/// Removes a file; a missing file is no error.
///
/// # Errors
/// The file cannot be removed.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Returns the parent of a path; `.` for a plain name.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Records the steps, and fails at one of them.
    #[derive(Default)]
    struct Recorder {
        steps: Mutex<Vec<String>>,
        fails_at: Option<&'static str>,
    }

    impl Recorder {
        fn note(&self, step: &str, path: Option<&Path>) -> io::Result<()> {
            let name = path.and_then(Path::file_name).unwrap_or_default().to_string_lossy();
            self.steps.lock().unwrap().push(format!("{step} {name}").trim_end().to_owned());
            match self.fails_at {
                Some(fails) if fails == step => Err(io::ErrorKind::StorageFull.into()),
                _ => Ok(()),
            }
        }
    }

    impl Disk for Recorder {
        fn write(&self, draft: &File, bytes: &[u8]) -> io::Result<()> {
            self.note("write", None)?;
            RealDisk.write(draft, bytes)
        }

        fn flush(&self, draft: &File) -> io::Result<()> {
            self.note("flush", None)?;
            RealDisk.flush(draft)
        }

        fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
            self.note("rename", Some(to))?;
            RealDisk.rename(from, to)
        }

        fn flush_folder(&self, folder: &Path) -> io::Result<()> {
            self.note("flush-folder", Some(folder))?;
            RealDisk.flush_folder(folder)
        }
    }

    #[test]
    fn the_folder_is_flushed_after_the_rename() {
        let temp = tempfile::tempdir().unwrap();
        let disk = Recorder::default();
        let folder = temp.path().join("keys");
        make_folder(&disk, &folder).unwrap();
        disk.steps.lock().unwrap().clear();
        replace_on(&disk, &folder.join("keys.toml"), b"one").unwrap();
        let steps = disk.steps.into_inner().unwrap();
        assert_eq!(steps, ["write", "flush", "rename keys.toml", "flush-folder keys"]);
        assert_eq!(fs::read(folder.join("keys.toml")).unwrap(), b"one");
    }

    #[test]
    fn new_folder_is_flushed_into_its_parent() {
        let temp = tempfile::tempdir().unwrap();
        let disk = Recorder::default();
        make_folder(&disk, &temp.path().join("a").join("b")).unwrap();
        let steps = disk.steps.into_inner().unwrap();
        assert_eq!(steps.len(), 2, "{steps:?}");
        assert_eq!(steps[1], "flush-folder a");
    }

    #[test]
    fn failed_replace_keeps_old_file_and_no_draft() {
        for fails in ["write", "flush", "rename"] {
            let temp = tempfile::tempdir().unwrap();
            let file = temp.path().join("keys.toml");
            replace(&file, b"one").unwrap();
            let disk = Recorder { fails_at: Some(fails), ..Recorder::default() };
            replace_on(&disk, &file, b"two").unwrap_err();
            assert_eq!(fs::read(&file).unwrap(), b"one", "{fails}");
            assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 1, "{fails}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_replaced_file_is_its_owners_alone() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("keys.toml");
        // The permissions of a draft that a crash has left must not be kept.
        fs::write(draft_of(&file), b"old").unwrap();
        replace(&file, b"new").unwrap();
        let data = fs::metadata(&file).unwrap();
        assert_eq!((crate::mode_for_others(&data), data.len()), (0, 3));
    }
}
