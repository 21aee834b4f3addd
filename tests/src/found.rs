//! Where a tool is. The build script looks in the same places, so that this imports nothing.

use std::{
    env,
    path::{Path, PathBuf},
};

/// The file of a tool, in the folders of `PATH` and in those of the system's owner.
#[must_use]
pub fn find(tool: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    let sbin = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    let name = Path::new(tool).with_extension(env::consts::EXE_EXTENSION);
    env::split_paths(&path).chain(sbin).map(|folder| folder.join(&name)).find(|file| file.is_file())
}
