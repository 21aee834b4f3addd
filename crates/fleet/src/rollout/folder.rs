//! Writes files of the fleet into the plugins folder, as an operator would.
//!
//! The signature comes first, then the file under a hidden name, then its rename. The watch of the
//! plugins folder sees one complete file.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use plugin_engine::{files::folder::is_library, trust::signature::signature_of};

use super::error::RolloutError;

/// The folder of the files before, hidden in the plugins folder.
const BEFORE: &str = ".fleet-before";

/// Keeps a copy of the file that is about to be replaced, and of its signature; a file that is not
/// there leaves no copy.
///
/// # Errors
/// It cannot be copied.
pub fn keep_before(plugins: &Path, file: &str) -> Result<(), RolloutError> {
    let folder = plugins.join(BEFORE);
    platform::make_private_dir(&folder).map_err(failed("make", &folder))?;
    let (from, to) = (plugins.join(file), folder.join(file));
    for (from, to) in [(signature_of(&from), signature_of(&to)), (from, to)] {
        match fs::copy(&from, &to) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => remove(&to)?,
            copied => {
                copied.map_err(failed("copy", &from))?;
            }
        }
    }
    Ok(())
}

/// Writes a file and its signature into the plugins folder. `begin` is called just before the
/// host can see the file.
///
/// # Errors
/// They cannot be written; the file before is still there.
pub fn place(
    plugins: &Path,
    file: &str,
    content: &[u8],
    signature: &str,
    begin: impl FnOnce(),
) -> Result<(), RolloutError> {
    let path = plugins.join(file);
    let draft = plugins.join(format!(".{file}.fleet"));
    write(&draft, content, !is_library(&path))?;
    let signature_path = signature_of(&path);
    let signature_draft = plugins.join(format!(".{file}.minisig.fleet"));
    write(&signature_draft, signature.as_bytes(), false)?;
    begin();
    rename(&signature_draft, &signature_path)?;
    rename(&draft, &path)
}

/// Puts the kept copy of a file back, or removes the file if there was none.
///
/// # Errors
/// It cannot be read, written or removed.
pub fn put_back(plugins: &Path, file: &str) -> Result<(), RolloutError> {
    let path = plugins.join(file);
    let kept = plugins.join(BEFORE).join(file);
    let content = match fs::read(&kept) {
        Ok(content) => content,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            remove(&path)?;
            return remove(&signature_of(&path));
        }
        Err(error) => return Err(failed("read", &kept)(error)),
    };
    let kept_signature = signature_of(&kept);
    let signature = match fs::read_to_string(&kept_signature) {
        // The host did not serve that file either.
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        read => read.map_err(failed("read", &kept_signature))?,
    };
    place(plugins, file, &content, &signature, || ())
}

/// Reads a file of the plugins folder, with its signature.
///
/// # Errors
/// One of them cannot be read.
pub fn read(plugins: &Path, file: &str) -> Result<(Vec<u8>, String), RolloutError> {
    let path = plugins.join(file);
    let content = fs::read(&path).map_err(failed("read", &path))?;
    let path = signature_of(&path);
    let signature = fs::read_to_string(&path).map_err(failed("read", &path))?;
    Ok((content, signature))
}

fn write(path: &Path, content: &[u8], is_executable: bool) -> Result<(), RolloutError> {
    let written = fs::write(path, content).and_then(|()| {
        platform::set_program_rights(path, is_executable)?;
        fs::File::open(path)?.sync_all()
    });
    written.map_err(failed("write", path))
}

fn rename(from: &Path, to: &Path) -> Result<(), RolloutError> {
    platform::retry_while_in_use(|| fs::rename(from, to)).map_err(failed("write", to))
}

fn remove(path: &Path) -> Result<(), RolloutError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(failed("remove", path)),
    }
}

fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RolloutError {
    let path: PathBuf = path.to_owned();
    move |error| RolloutError::Folder {
        operation,
        path: path.display().to_string(),
        cause: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn placed_file_is_put_back() {
        let temp = tempfile::tempdir().unwrap();
        let plugins = temp.path();
        fs::write(plugins.join("greet"), "one").unwrap();
        fs::write(plugins.join("greet.minisig"), "signature one").unwrap();
        keep_before(plugins, "greet").unwrap();
        place(plugins, "greet", b"two", "signature two", || ()).unwrap();
        assert_eq!(read(plugins, "greet").unwrap(), (b"two".to_vec(), "signature two".into()));
        put_back(plugins, "greet").unwrap();
        assert_eq!(read(plugins, "greet").unwrap(), (b"one".to_vec(), "signature one".into()));
        assert_eq!(names(plugins), [".fleet-before", "greet", "greet.minisig"]);
    }

    #[test]
    fn file_without_one_before_is_removed() {
        let temp = tempfile::tempdir().unwrap();
        let plugins = temp.path();
        for _ in 0..2 {
            keep_before(plugins, "greet").unwrap();
            place(plugins, "greet", b"two", "signature", || ()).unwrap();
            put_back(plugins, "greet").unwrap();
            assert_eq!(names(plugins), [".fleet-before"]);
        }
    }

    #[cfg(unix)]
    #[test]
    fn programs_can_be_executed_and_nobody_else_writes() {
        use std::os::unix::fs::PermissionsExt;
        let temp = tempfile::tempdir().unwrap();
        let mode = |name: &str| {
            place(temp.path(), name, b"#!/bin/sh\n", "signature", || ()).unwrap();
            fs::metadata(temp.path().join(name)).unwrap().permissions().mode() & 0o777
        };
        assert_eq!(mode("greet.sh"), 0o755);
        assert_eq!(mode(&format!("libgreet.{}", platform::LIBRARY_EXTENSION)), 0o644);
    }
}
