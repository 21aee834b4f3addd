//! Tells the kinds of plugin files apart, by their names, rights and first bytes.

use std::{
    fs::{self, Metadata},
    io::Read,
    path::Path,
};

use super::folder::is_library;

/// The kind of a plugin's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A library, which the host or a worker process opens.
    Library,
    /// A program or a script that the system executes.
    Executable,
}

/// The reason for which a file is no plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoPlugin {
    /// It is not meant to be one.
    Other,
    /// It seems to be meant, but cannot be executed; the text has the remedy.
    Mistaken(String),
}

/// Endings of files that editors, downloads and builds leave, and of documents: never executed,
/// even where a file system gives every file the right.
const NEVER: [&str; 26] = [
    "bak", "cfg", "conf", "csv", "d", "html", "ini", "json", "lock", "log", "md", "minisig",
    "orig", "part", "pdb", "pub", "rlib", "swo", "swp", "swx", "tmp", "toml", "txt", "xml", "yaml",
    "yml",
];

/// The kinds of plugins, for people.
const PLUGINS: &str = if cfg!(windows) {
    "a plugin is a library (.dll), a program (.exe), or a script that starts with `#!` and whose \
     extension has an interpreter in host.toml"
} else if cfg!(target_os = "macos") {
    "a plugin is a library (.dylib), or a program or a script that starts with `#!`, either with \
     the right to be executed (chmod +x)"
} else {
    "a plugin is a library (.so), or a program or a script that starts with `#!`, either with the \
     right to be executed (chmod +x)"
};

/// Returns true if a file of this name may be a plugin.
#[must_use]
pub fn may_be_plugin(path: &Path) -> bool {
    is_library(path) || may_be_executable(path)
}

/// Returns true if a file of this name may be an executable plugin: it is not hidden, and no
/// document or dropping of an editor.
fn may_be_executable(path: &Path) -> bool {
    let Some(name) = path.file_name().map(|name| name.as_encoded_bytes()) else { return false };
    let dropped = name.starts_with(b".")
        || name.ends_with(b"~")
        || (name.starts_with(b"#") && name.ends_with(b"#"));
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let foreign = ["so", "dll", "dylib"].contains(&extension.as_str());
    !dropped && !foreign && !NEVER.contains(&extension.as_str())
}

/// Returns the kind of a file. `interprets` tells if an interpreter is configured for an extension.
///
/// # Errors
/// It is no plugin.
pub fn kind_of(path: &Path, interprets: &dyn Fn(&str) -> bool) -> Result<FileKind, NoPlugin> {
    if is_library(path) {
        return Ok(FileKind::Library);
    }
    if !may_be_executable(path) {
        return Err(NoPlugin::Other);
    }
    // A file that cannot be accessed is reported once it can be, or never.
    let data = fs::metadata(path).map_err(|_| NoPlugin::Other)?;
    let extension = path.extension().unwrap_or_default().to_string_lossy().into_owned();
    // Asked only where it matters: the settings file is read for the answer.
    let has_right = has_right(path, &data);
    let interpreted = !has_right && !extension.is_empty() && interprets(&extension);
    if !data.is_file() || data.len() == 0 || !(interpreted || has_right) {
        return Err(NoPlugin::Other);
    }
    let mut start = [0; 256];
    let read = fs::File::open(path).and_then(|mut file| file.read(&mut start));
    let start = read.ok().and_then(|read| start.get(..read)).ok_or(NoPlugin::Other)?;
    check_start(start, interpreted)?;
    Ok(FileKind::Executable)
}

/// Describes, for people, why a file is no plugin although nothing in it is wrong.
#[must_use]
pub fn explain_other(path: &Path) -> String {
    if !may_be_executable(path) {
        return format!(
            "its name is not that of a plugin: it is hidden, or ends as a document, a backup or \
             a library of another system; {PLUGINS}"
        );
    }
    let mut start = [0; 2];
    let read = fs::File::open(path).and_then(|mut file| file.read_exact(&mut start));
    let is_executable = fs::metadata(path).is_ok_and(|data| has_right(path, &data));
    if read.is_ok() && &start == b"#!" && !is_executable {
        if cfg!(windows) {
            return "no interpreter is configured for its extension: add one to the table \
                    [interpreters] of host.toml"
                .to_owned();
        }
        return format!(
            "it is a script, but must not be executed: run chmod +x {}",
            path.display()
        );
    }
    if fs::metadata(path).is_ok_and(|data| data.len() == 0) {
        return "it is empty".to_owned();
    }
    format!("it is neither a library nor an executable; {PLUGINS}")
}

/// Checks that the system can execute a file that starts like this.
fn check_start(start: &[u8], interpreted: bool) -> Result<(), NoPlugin> {
    let mistaken = |text: String| Err(NoPlugin::Mistaken(text));
    let native: &[&[u8]] = if cfg!(windows) {
        &[b"MZ"]
    } else {
        &[b"\x7fELF", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe"]
    };
    if native.iter().any(|magic| start.starts_with(magic)) {
        return Ok(());
    }
    let Some(line) = start.strip_prefix(b"#!") else {
        // A module that a script imports has no such line.
        if interpreted {
            return Err(NoPlugin::Other);
        }
        return mistaken(
            "it can be executed, but is neither a program for this system nor starts with `#!`: \
             add a first line such as `#!/usr/bin/env python3`, or take its right away (chmod -x)"
                .to_owned(),
        );
    };
    if cfg!(windows) {
        return Ok(());
    }
    let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
    if line.ends_with(b"\r") {
        return mistaken(
            "its lines end as on Windows, and the system looks for an interpreter whose name ends \
             with a carriage return: convert it (sed -i 's/\\r$//')"
                .to_owned(),
        );
    }
    let line = String::from_utf8_lossy(line);
    let Some(interpreter) = line.split_whitespace().next() else {
        return mistaken("its first line names no interpreter behind `#!`".to_owned());
    };
    if !Path::new(interpreter).exists() {
        return mistaken(format!(
            "its interpreter {interpreter} is not there: install it, or correct its first line"
        ));
    }
    Ok(())
}

/// Returns true if the system lets a file be executed.
fn has_right(path: &Path, data: &Metadata) -> bool {
    #[cfg(unix)]
    {
        let _ = path;
        std::os::unix::fs::PermissionsExt::mode(&data.permissions()) & 0o111 != 0
    }
    #[cfg(not(unix))]
    {
        let _ = data;
        path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("exe"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn droppings_and_documents_are_no_plugins() {
        for name in [
            ".greet.py",
            ".greet.py.swp",
            "greet.py.swp",
            "greet.py~",
            "#greet.py#",
            "greet.tmp",
            "README.md",
            "text.toml",
            "libx.so.minisig",
            "notes.txt",
            "x.part",
        ] {
            assert!(!may_be_executable(Path::new(name)), "{name}");
        }
        for name in ["greet", "greet.py", "greet.sh", "greet.exe", "a.b.c"] {
            assert!(may_be_executable(Path::new(name)), "{name}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn rights_and_first_bytes_make_an_executable() {
        use std::os::unix::fs::PermissionsExt;
        let temp = tempfile::tempdir().unwrap();
        let kind = |name: &str, content: &[u8], mode: u32| {
            let path = temp.path().join(name);
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            kind_of(&path, &|extension| extension == "js")
        };
        let script = b"#!/bin/sh\n";
        assert_eq!(kind("a.sh", script, 0o755), Ok(FileKind::Executable));
        assert_eq!(kind("a", b"\x7fELF\x02", 0o700), Ok(FileKind::Executable));
        assert_eq!(kind("b.sh", script, 0o644), Err(NoPlugin::Other));
        assert_eq!(kind("b.js", script, 0o644), Ok(FileKind::Executable), "it is configured");
        assert_eq!(kind("module.js", b"module", 0o644), Err(NoPlugin::Other));
        assert_eq!(kind("empty", b"", 0o755), Err(NoPlugin::Other));
        assert_eq!(kind("notes.txt", script, 0o755), Err(NoPlugin::Other));
        for (name, content, said) in [
            ("c", &b"echo hello"[..], "starts with `#!`"),
            ("d", b"#!/usr/bin/env python3\r\nprint()", "carriage return"),
            ("e", b"#!/usr/bin/nothing -x\n", "/usr/bin/nothing is not there"),
            ("f", b"#!  \n", "names no interpreter"),
        ] {
            match kind(name, content, 0o755) {
                Err(NoPlugin::Mistaken(text)) => assert!(text.contains(said), "{text}"),
                other => panic!("{name}: {other:?}"),
            }
        }
        for (name, content, said) in [
            ("g.sh", &script[..], "g.sh"),
            ("module.py", b"import os\n", "neither a library nor an executable; a plugin is"),
            ("notes.txt", script, "its name is not that of a plugin"),
            (".hidden", script, "its name is not that of a plugin"),
            ("blank", b"", "it is empty"),
            ("one", b"#", "neither a library nor an executable"),
        ] {
            assert_eq!(kind(name, content, 0o644), Err(NoPlugin::Other));
            let text = explain_other(&temp.path().join(name));
            assert!(text.contains(said), "{text}");
        }
        fs::create_dir(temp.path().join("folder")).unwrap();
        std::os::unix::fs::symlink("nowhere", temp.path().join("link")).unwrap();
        for name in ["folder", "link", "none"] {
            assert_eq!(kind_of(&temp.path().join(name), &|_| false), Err(NoPlugin::Other));
        }
    }
}
