//! Finds the plugins in their folder.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use platform::LIBRARY_EXTENSION;

use super::kind::may_be_plugin;

/// The extension of a plugin built without `crate-type = ["cdylib"]`: refused with a reason instead
/// of ignored.
const ARCHIVE: &str = "rlib";

/// Returns true if the host treats a file of this path as a library: by its extension, unless it is
/// hidden.
#[must_use]
pub fn is_library(path: &Path) -> bool {
    let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
    !hidden
        && path.extension().is_some_and(|extension| {
            extension.eq_ignore_ascii_case(LIBRARY_EXTENSION) || extension == ARCHIVE
        })
}

/// Returns the files directly in the folder that may be plugins by their names, sorted.
///
/// # Errors
/// The folder is missing or cannot be read.
pub fn candidates(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if may_be_plugin(&path) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Returns true if a file certainly does not exist. Any error but "not found" leaves that open, and
/// is no reason to withdraw a plugin.
#[must_use]
pub fn is_gone(path: &Path) -> bool {
    path.try_exists().is_ok_and(|there| !there)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_end_as_the_platforms_do() {
        let temp = tempfile::tempdir().unwrap();
        let library = format!("liba.{LIBRARY_EXTENSION}");
        for name in [&library, "notes.txt", "libb.so.bak", &format!(".{library}"), "text~"] {
            fs::write(temp.path().join(name), b"x").unwrap();
        }
        fs::create_dir(temp.path().join("sources")).unwrap();
        let sources = temp.path().join("sources");
        assert_eq!(candidates(temp.path()).unwrap(), [temp.path().join(library), sources]);
        assert!(is_library(Path::new("plugins/libx.rlib")), "it is refused with a reason");
    }

    #[cfg(unix)]
    #[test]
    fn only_not_found_means_gone() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("liba.so");
        assert!(is_gone(&file));
        fs::write(&file, "code").unwrap();
        assert!(!is_gone(&file));
        assert!(!is_gone(&file.join("liba.so")), "a file in the way leaves it open");
    }
}
