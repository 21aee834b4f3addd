//! A folder in which the files before a repair or an import are kept.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use platform::durable::{Disk, RealDisk};

use super::write::file_in;
use crate::write::now;

/// A folder in which the files before a repair or an import are kept.
#[derive(Debug)]
pub struct Aside {
    path: PathBuf,
}

impl Aside {
    /// Makes the folder `PLUGIN.REASON.TIME` in the folder of the states.
    ///
    /// # Errors
    /// The disk is full or fails.
    pub fn make(folder: &Path, plugin: &str, reason: &str) -> io::Result<Self> {
        let mut time = now();
        loop {
            let path = file_in(folder, plugin, &format!("{reason}.{time}"));
            match make_private(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => time += 1,
                made => return made.map(|()| Self { path }),
            }
        }
    }

    /// Returns the folder's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Copies a file that is going to be changed.
    ///
    /// # Errors
    /// The disk is full or fails.
    pub fn copy(&self, file: &Path) -> io::Result<()> {
        let copy = self.path_for(file);
        fs::copy(file, &copy)?;
        RealDisk.flush(&File::options().write(true).open(copy)?)
    }

    /// Keeps a file whose name is going to be removed: as a link, so that a full disk does no harm.
    ///
    /// # Errors
    /// The disk fails.
    pub fn keep(&self, file: &Path) -> io::Result<()> {
        // Some file systems have no hard links.
        RealDisk.link(file, &self.path_for(file)).or_else(|_| self.copy(file))
    }

    /// Flushes the folder and its name, so that a power cut leaves what is in it.
    ///
    /// # Errors
    /// The disk fails.
    pub fn flush(&self) -> io::Result<()> {
        RealDisk.flush_folder(&self.path)?;
        self.path.parent().map_or(Ok(()), |folder| RealDisk.flush_folder(folder))
    }

    fn path_for(&self, file: &Path) -> PathBuf {
        self.path.join(file.file_name().unwrap_or_default())
    }
}

fn make_private(path: &Path) -> io::Result<()> {
    let builder = &mut fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(builder, 0o700);
    builder.create(path)
}
