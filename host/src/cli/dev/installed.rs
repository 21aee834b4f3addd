//! The plugin's file in the plugins folder.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The file that the host serves, a copy of the one under development.
pub(super) struct Installed {
    folder: PathBuf,
    /// The file's name, once it is there.
    name: Option<String>,
}

impl Installed {
    /// Makes the record of a plugins folder in which the plugin is not installed yet.
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder, name: None }
    }

    /// Returns the plugins folder.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns whether the file of this name is the plugin's.
    pub(super) fn is(&self, name: &str) -> bool {
        self.name.as_deref() == Some(name)
    }

    /// Copies a file with its rights into the plugins folder under a temporary name, and renames
    /// it. Returns whether its bytes differ from those of the file before.
    pub(super) fn replace(&mut self, file: &Path) -> io::Result<bool> {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let target = self.folder.join(&name);
        let bytes = fs::read(file)?;
        let same = fs::read(&target).is_ok_and(|before| before == bytes);
        // The first one is written even if it is the same, so that `name` is its name.
        if same && self.name.is_some() {
            return Ok(false);
        }
        let beside = self.folder.join(format!(".{name}.new"));
        fs::write(&beside, bytes)?;
        close_to_others(&beside, fs::metadata(file)?.permissions())?;
        platform::retry_while_in_use(|| fs::rename(&beside, &target))?;
        if let Some(before) = self.name.replace(name).filter(|before| !self.is(before)) {
            // The package was renamed.
            platform::retry_while_in_use(|| fs::remove_file(self.folder.join(&before)))?;
        }
        Ok(!same)
    }
}

/// Gives a path these rights, without write access for other users: the host requires that, and a
/// umask may let the group write.
pub(super) fn close_to_others(path: &Path, rights: fs::Permissions) -> io::Result<()> {
    fs::set_permissions(path, platform::closed_to_others(rights))
}
