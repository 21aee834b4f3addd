//! Makes private copies of libraries, so that the bytes that are probed are the bytes that are
//! loaded.
//!
//! A library is never loaded from the plugins folder: the loader may return old code for a
//! known path, overwriting a mapped file causes a bus error, and on Windows a loaded file can be
//! neither replaced nor removed.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use platform::LIBRARY_EXTENSION;

use super::{
    deferred_delete::DeferredDelete, kind::FileKind, object_header, trust_policy::TrustPolicy,
};
use crate::load_error::Refusal;

/// The largest library that is accepted, in bytes. The manager handles no other plugin while it
/// copies.
const MOST: u64 = 1 << 30;

/// The directory of private copies; emptied when it is opened and when the host ends.
pub struct ShadowDir {
    path: PathBuf,
    next: AtomicU64,
    deferred: DeferredDelete,
}

/// A private copy of a library. Its file exists until [`hide`](Shadow::hide); its content can be
/// copied again until this drops.
#[derive(Debug)]
pub struct Shadow {
    path: PathBuf,
    kind: FileKind,
    hash: blake3::Hash,
    /// On Unix it keeps the content after the file is unlinked.
    content: File,
    deferred: DeferredDelete,
}

impl ShadowDir {
    /// Makes the directory, or empties the one that an earlier host has left.
    ///
    /// # Errors
    /// The directory cannot be made, read or emptied.
    pub fn open(path: PathBuf) -> io::Result<Self> {
        match platform::retry_while_in_use(|| fs::remove_dir_all(&path)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // A copy that is still in use must not keep the host from serving.
            Err(error) if platform::is_in_use(&error) => {}
            removed => removed?,
        }
        fs::create_dir_all(&path)?;
        // The loader needs a path with a separator.
        let path = fs::canonicalize(path)?;
        let deferred = DeferredDelete::default();
        for file in fs::read_dir(&path)? {
            deferred.remove(&file?.path());
        }
        Ok(Self { path, next: AtomicU64::new(1), deferred })
    }

    /// Removes the files that could not be removed before.
    pub fn tidy(&self) {
        self.deferred.clear();
    }

    /// Copies a plugin's file under a name that has never been used.
    ///
    /// # Errors
    /// It is not a regular file, is empty, too large, incomplete or built for another system,
    /// changes meanwhile, cannot be read or copied, or other users could have written it.
    pub fn copy(
        &self,
        file: &Path,
        kind: FileKind,
        trust_policy: &TrustPolicy,
    ) -> Result<Shadow, Refusal> {
        let unreadable = |operation| move |error| Refusal::unreadable(operation, &error);
        // Checked before it is opened: opening a device may have effects.
        check_is_regular(&fs::metadata(file).map_err(unreadable("access it"))?)?;
        let source = match platform::open_complete(file) {
            // Its writer has not finished.
            Err(error) if platform::is_in_use(&error) => return Err(Refusal::InUse),
            opened => opened.map_err(unreadable("open it"))?,
        };
        let before = source.metadata().map_err(unreadable("access it"))?;
        // The path may lead to another file by now.
        check_is_regular(&before)?;
        trust_policy.check_file(file, &before)?;
        if before.len() > MOST {
            return Err(Refusal::TooLarge { bytes: before.len(), most: MOST });
        }
        // Not more than its length: another process may append faster than this copies.
        let shadow = self.write(&source, before.len(), Name::of(file, kind))?;
        let after = source.metadata().map_err(unreadable("access it"))?;
        if before.len() != after.len() || before.modified().ok() != after.modified().ok() {
            return Err(Refusal::Unsettled);
        }
        if after.len() == 0 {
            return Err(Refusal::NotAFile { what: "an empty file".into() });
        }
        let start = shadow.start().map_err(unreadable("read its copy"))?;
        if kind == FileKind::Executable {
            return Ok(shadow);
        }
        if let Some(what) = object_header::foreign_format(&start) {
            return Err(Refusal::OtherKind { what });
        }
        if object_header::is_cut_short(&start, after.len()) {
            return Err(Refusal::Truncated);
        }
        Ok(shadow)
    }

    /// Copies a copy, whether it is hidden or not.
    ///
    /// # Errors
    /// The copy cannot be read or copied.
    pub fn copy_again(&self, shadow: &Shadow) -> Result<Shadow, Refusal> {
        let stem = shadow.path.file_stem().unwrap_or_default().to_string_lossy();
        let stem = stem.split('.').next().unwrap_or_default().to_owned();
        let extension = shadow.path.extension().unwrap_or_default().to_string_lossy().into_owned();
        self.write(&shadow.content, MOST, Name { stem, extension, kind: shadow.kind })
    }

    fn write(&self, source: &File, most: u64, name: Name) -> Result<Shadow, Refusal> {
        let kind = name.kind;
        let (path, target) =
            self.make(&name).map_err(|error| Refusal::unreadable("copy it", &error))?;
        let written = write(source, most, target)
            .and_then(|hash| Ok((hash, platform::retry_while_in_use(|| File::open(&path))?)));
        match written {
            Ok((hash, content)) => {
                Ok(Shadow { path, kind, hash, content, deferred: self.deferred.clone() })
            }
            Err(error) => {
                self.deferred.remove(&path);
                Err(Refusal::unreadable("copy it", &error))
            }
        }
    }

    /// Makes a file with a name that was never used, also not by a copy of an earlier host.
    fn make(&self, name: &Name) -> io::Result<(PathBuf, File)> {
        let Name { stem, extension, kind } = name;
        let mut options = File::options();
        options.write(true).create_new(true);
        #[cfg(unix)]
        if *kind == FileKind::Executable {
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o700);
        }
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let file = match (kind, extension.as_str()) {
                (FileKind::Executable, "") => format!("{stem}.{number}"),
                _ => format!("{stem}.{number}.{extension}"),
            };
            let path = self.path.join(file);
            match options.open(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => return made.map(|file| (path, file)),
            }
        }
    }
}

/// The name of a copy, without its number.
struct Name {
    stem: String,
    extension: String,
    kind: FileKind,
}

impl Name {
    fn of(file: &Path, kind: FileKind) -> Self {
        let text = |part: Option<&std::ffi::OsStr>| {
            part.unwrap_or_default().to_string_lossy().into_owned()
        };
        let extension = match kind {
            FileKind::Library => LIBRARY_EXTENSION.to_owned(),
            // Some interpreters go by it, and Windows does.
            FileKind::Executable => text(file.extension()),
        };
        Self { stem: text(file.file_stem()), extension, kind }
    }
}

impl Drop for ShadowDir {
    fn drop(&mut self) {
        // The next host that opens the directory removes the rest.
        let _ = platform::retry_while_in_use(|| fs::remove_dir_all(&self.path));
    }
}

impl Shadow {
    /// Returns the path of the copy.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the kind of the file.
    pub fn kind(&self) -> FileKind {
        self.kind
    }

    /// Returns the first bytes of its content, at least as many as any check needs.
    ///
    /// # Errors
    /// The copy cannot be read.
    pub fn first_bytes(&self) -> io::Result<Vec<u8>> {
        (&self.content).seek(SeekFrom::Start(0))?;
        self.start()
    }

    /// Returns the hash of its content.
    pub fn hash(&self) -> blake3::Hash {
        self.hash
    }

    /// Returns its content; seek to the start before reading.
    pub fn content(&self) -> &File {
        &self.content
    }

    fn start(&self) -> io::Result<Vec<u8>> {
        let mut start = Vec::with_capacity(object_header::LENGTH);
        (&self.content).take(object_header::LENGTH as u64).read_to_end(&mut start)?;
        Ok(start)
    }

    /// Unlinks the file, if the system allows that for a file in use. The content remains.
    pub fn hide(&self) {
        if cfg!(unix) {
            // The file is removed with the directory at the latest.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Drop for Shadow {
    fn drop(&mut self) {
        self.deferred.remove(&self.path);
    }
}

/// Checks that this is a regular file.
///
/// # Errors
/// It is a directory, or a special file.
pub fn check_is_regular(file: &fs::Metadata) -> Result<(), Refusal> {
    if file.is_file() {
        return Ok(());
    }
    let what = if file.is_dir() { "a directory" } else { "a special file" };
    Err(Refusal::NotAFile { what: what.into() })
}

fn write(mut source: &File, most: u64, mut target: File) -> io::Result<blake3::Hash> {
    source.seek(SeekFrom::Start(0))?;
    let mut source = source.take(most);
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 256 << 10];
    loop {
        match source.read(&mut buffer) {
            Ok(0) => return Ok(hasher.finalize()),
            Ok(read) => {
                hasher.update(&buffer[..read]);
                target.write_all(&buffer[..read])?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trust::PluginTrust;

    fn any() -> TrustPolicy {
        TrustPolicy::new(&PluginTrust { allow_insecure_plugins: true, plugin_key: None }).unwrap()
    }

    #[test]
    fn copies_have_names_of_their_own_and_go() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("libx.so");
        fs::write(&file, b"code").unwrap();
        let dir = ShadowDir::open(temp.path().join("copies")).unwrap();
        let (one, two) = (
            dir.copy(&file, FileKind::Library, &any()).unwrap(),
            dir.copy(&file, FileKind::Library, &any()).unwrap(),
        );
        assert_ne!(one.path(), two.path());
        assert_eq!((one.hash(), fs::read(one.path()).unwrap()), (two.hash(), b"code".to_vec()));
        let path = one.path().to_owned();
        drop(one);
        assert!(!path.exists() && two.path().exists());
        let path = two.path().to_owned();
        drop(dir);
        assert!(cfg!(windows) || !path.exists());
        drop(two);
        assert!(!path.exists());
    }

    #[cfg(windows)]
    #[test]
    fn a_copy_that_somebody_has_goes_later() {
        use std::os::windows::fs::OpenOptionsExt;
        use windows_sys::Win32::Storage::FileSystem::FILE_SHARE_READ;
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("x.dll");
        fs::write(&file, b"code").unwrap();
        let dir = ShadowDir::open(temp.path().join("copies")).unwrap();
        let copy = dir.copy(&file, FileKind::Library, &any()).unwrap();
        let path = copy.path().to_owned();
        let searched = File::options().read(true).share_mode(FILE_SHARE_READ).open(&path).unwrap();
        drop(copy);
        dir.tidy();
        assert!(path.exists());
        drop(searched);
        dir.tidy();
        assert!(!path.exists());
    }

    #[cfg(windows)]
    #[test]
    fn leftover_copy_in_use_is_skipped() {
        use std::os::windows::fs::OpenOptionsExt;
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("x.dll");
        fs::write(&file, b"code").unwrap();
        let copies = temp.path().join("copies");
        fs::create_dir(&copies).unwrap();
        let left = [copies.join("x.1.dll"), copies.join("x.2.dll")];
        left.iter().for_each(|left| fs::write(left, b"old").unwrap());
        let held = File::options().read(true).share_mode(0).open(&left[0]).unwrap();
        let dir = ShadowDir::open(copies).unwrap();
        assert_eq!(left.each_ref().map(|left| left.exists()), [true, false]);
        let copy = dir.copy(&file, FileKind::Library, &any()).unwrap();
        assert_eq!(fs::read(copy.path()).unwrap(), b"code");
        drop(held);
        dir.tidy();
        assert!(!left[0].exists() && copy.path().exists());
    }

    #[test]
    fn a_hidden_copy_can_be_copied_again() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("libx.so");
        fs::write(&file, b"code").unwrap();
        let dir = ShadowDir::open(temp.path().join("copies")).unwrap();
        let one = dir.copy(&file, FileKind::Library, &any()).unwrap();
        one.hide();
        fs::remove_file(&file).unwrap();
        for _ in 0..2 {
            let again = dir.copy_again(&one).unwrap();
            assert_eq!(fs::read(again.path()).unwrap(), b"code");
            assert_eq!(again.hash(), one.hash());
        }
    }

    // Other systems may need as much room as the copy has.
    #[cfg(unix)]
    #[test]
    fn too_large_library_is_not_copied() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("large.so");
        File::create(&file).unwrap().set_len(1 << 40).unwrap();
        let dir = ShadowDir::open(temp.path().join("copies")).unwrap();
        let refusal = dir.copy(&file, FileKind::Library, &any()).unwrap_err();
        assert_eq!(refusal, Refusal::TooLarge { bytes: 1 << 40, most: MOST });
        assert_eq!(
            refusal.to_string(),
            "it has 1099511627776 bytes, more than the limit of 1073741824"
        );
    }

    #[test]
    fn non_file_is_rejected() {
        let temp = tempfile::tempdir().unwrap();
        let dir = ShadowDir::open(temp.path().join("copies")).unwrap();
        let empty = temp.path().join("empty.so");
        fs::write(&empty, b"").unwrap();
        for (path, said) in [
            (temp.path().to_owned(), "directory"),
            (empty, "empty"),
            (temp.path().join("none.so"), "access"),
        ] {
            let refusal = dir.copy(&path, FileKind::Library, &any()).unwrap_err().to_string();
            assert!(refusal.contains(said), "{refusal}");
        }
        assert_eq!(fs::read_dir(&dir.path).unwrap().count(), 0);
    }
}
