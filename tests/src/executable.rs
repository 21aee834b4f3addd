//! Executables in the plugins folder: the fixtures with values set in a copy, and other scripts.

use std::{
    fmt::Debug,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use crate::{files, host::Host, setup::Setup, workspace};

/// The permissions of an executable that only its user may change.
const EXECUTABLE: u32 = 0o755;

/// The text of a script.
#[derive(Clone)]
pub struct Script(String);

impl Script {
    /// Returns the fixture of this name, from `tests/fixtures/executables`.
    ///
    /// # Panics
    /// There is no such fixture.
    #[must_use]
    pub fn fixture(name: &str) -> Self {
        let path = workspace::root().join("tests/fixtures/executables").join(format!("{name}.py"));
        Self(fs::read_to_string(path).expect("there is such a fixture"))
    }

    /// Sets a value of a fixture, which it has in a line such as `NAME = "faulty"`.
    ///
    /// # Panics
    /// The fixture has no such value.
    #[must_use]
    pub fn set(self, name: &str, value: impl Debug) -> Self {
        let start = format!("{name} = ");
        let is_set = |line: &&str| line.starts_with(&start);
        assert_eq!(self.0.lines().filter(is_set).count(), 1, "the fixture has one '{name}'");
        let lines = self.0.lines().map(|line| match line.starts_with(&start) {
            true => format!("{start}{value:?}\n"),
            false => format!("{line}\n"),
        });
        Self(lines.collect())
    }
}

impl AsRef<[u8]> for Script {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// Sets the permissions of a file, as bits of `chmod`.
///
/// # Panics
/// There is no such file.
pub fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("the file is there");
}

impl Setup {
    /// Writes an executable into the plugins folder.
    #[must_use]
    pub fn executable(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        let setup = self.file(name, content.as_ref());
        set_mode(&setup.plugins_folder().join(name), EXECUTABLE);
        setup
    }
}

impl Host {
    /// Writes an executable into the plugins folder: a temporary name first, then renamed.
    ///
    /// # Panics
    /// The file cannot be written.
    pub fn place_executable(&self, name: &str, content: impl AsRef<[u8]>) {
        let beside = self.plugins_folder().join(format!(".{name}.new"));
        fs::write(&beside, content).expect("a file can be written");
        set_mode(&beside, EXECUTABLE);
        files::rename(&beside, self.executable(name));
    }

    /// Returns the path of a file in the plugins folder.
    #[must_use]
    pub fn executable(&self, name: &str) -> PathBuf {
        self.plugins_folder().join(name)
    }
}
