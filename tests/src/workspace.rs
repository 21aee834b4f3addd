//! Crates of an author's: a copy of the workspace, and the template filled in.

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Output},
};

use crate::built;

/// The checkout that the tests are of.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Copies what cargo and xtask need of the workspace, with this plugins folder. Always to the same
/// place, so that cargo knows what it has built there before.
///
/// # Panics
/// Where it cannot be copied.
#[cfg(unix)]
#[must_use]
pub fn copy(plugins: &Path) -> PathBuf {
    // Not inside of where it is built: cargo would take its files for what it has made itself.
    let to = target().with_file_name("authors-workspace");
    match fs::remove_dir_all(&to) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{to:?}: {error}"),
        _ => fs::create_dir_all(&to).expect("a folder can be made"),
    }
    std::os::unix::fs::symlink(plugins, to.join("plugins")).expect("a link can be made");
    let parts = ["bench", "client", "host", "plugin-api", "plugins", "templates", "tests", "xtask"];
    for file in ["Cargo.toml", "Cargo.lock"] {
        fs::copy(root().join(file), to.join(file)).expect("a file can be copied");
    }
    for part in parts {
        copy_tree(&root().join(part), &to.join(part), &|text| text);
    }
    to
}

/// Fills the plugin template in, as somebody does who has no workspace around it.
///
/// # Panics
/// Where it cannot be copied.
pub fn from_template(to: &Path, name: &str) {
    let api = fs::canonicalize(root().join("plugin-api")).expect("it is there");
    let api = api.to_str().expect("its path is text").to_owned();
    copy_tree(&root().join("templates/plugin"), to, &|text| {
        text.replace("{{project-name}}", name).replace("{{plugin_api}}", &api)
    });
    // Without it cargo would ask the registry which versions there are.
    fs::copy(root().join("Cargo.lock"), to.join("Cargo.lock")).expect("a file can be copied");
}

/// Runs cargo on a crate, offline, with what the tests have built already within its reach.
///
/// # Panics
/// Where cargo cannot be started.
#[must_use]
pub fn cargo(folder: &Path, arguments: &[&str]) -> Output {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(arguments).arg("--offline").current_dir(folder);
    command.env("CARGO_TARGET_DIR", target());
    let _alone = alone();
    command.output().expect("cargo can be started")
}

/// The only use of [`target`], by whatever process, until this drops.
pub struct Alone {
    _lock: File,
}

/// Waits for the only use of [`target`]. Cargo holds a lock of its own there while it builds: who
/// waits for that one behind this one does not wait within a limit of the test's.
///
/// # Panics
/// Where the file system has no locks.
#[must_use]
pub fn alone() -> Alone {
    let path = target().with_extension("lock");
    let lock = File::create(path).expect("a file can be written");
    lock.lock().expect("a file can be locked");
    Alone { _lock: lock }
}

/// Where crates of an author's are built: apart from what the tests start.
#[must_use]
pub fn target() -> PathBuf {
    let output = built::library("text");
    output.ancestors().nth(2).expect("a target directory").join("authors")
}

fn copy_tree(from: &Path, to: &Path, change: &dyn Fn(String) -> String) {
    // Where it is there already it is added to.
    fs::create_dir_all(to).expect("a folder can be made");
    for entry in fs::read_dir(from).expect("a folder can be read") {
        let path = entry.expect("a folder can be read").path();
        let target = to.join(path.file_name().expect("it has a name"));
        if path.is_dir() {
            copy_tree(&path, &target, change);
        } else if path.extension().is_none_or(|end| end != env::consts::DLL_EXTENSION) {
            match fs::read_to_string(&path) {
                Ok(text) => fs::write(&target, change(text)).expect("a file can be written"),
                Err(_) => drop(fs::copy(&path, &target).expect("a file can be copied")),
            }
        }
    }
}
