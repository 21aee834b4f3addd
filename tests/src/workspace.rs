//! Crates of an author's: a copy of the workspace, and the template filled in.

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Output,
    sync::OnceLock,
};

use crate::built;

/// How cargo builds crates outside of the workspace: offline, and with the workspace's profile, so
/// that what both depend on is built once.
pub(crate) const VARIABLES: [(&str, &str); 2] =
    [("CARGO_NET_OFFLINE", "true"), ("CARGO_PROFILE_DEV_DEBUG", "line-tables-only")];

/// The checkout that the tests are of.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A copy of the workspace, which nobody else uses until this drops.
#[cfg(unix)]
pub struct Checkout {
    folder: PathBuf,
    _alone: Alone,
}

#[cfg(unix)]
impl Checkout {
    /// Copies what cargo and xtask need of the workspace, with this plugins folder. Always to the
    /// same place, and no file seems newer than it is, so that cargo knows what it has built before.
    ///
    /// # Panics
    /// Where it cannot be copied.
    #[must_use]
    pub fn copy(plugins: &Path) -> Self {
        let alone = alone();
        // Not inside of where it is built: cargo would take its files for what it has made itself.
        let to = target().with_file_name("authors-workspace");
        match fs::remove_dir_all(&to) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{to:?}: {error}"),
            _ => fs::create_dir_all(&to).expect("a folder can be made"),
        }
        std::os::unix::fs::symlink(plugins, to.join("plugins")).expect("a link can be made");
        for file in ["Cargo.toml", "Cargo.lock"] {
            copy_file(&root().join(file), &to.join(file));
        }
        let parts = [
            "bench",
            "client",
            "crates",
            "examples",
            "host",
            "plugin-api",
            "plugins",
            "templates",
            "tests",
            "xtask",
        ];
        for part in parts {
            each_file(&root().join(part), &to.join(part), &|from, to| {
                let is_library =
                    from.extension().is_some_and(|end| end == env::consts::DLL_EXTENSION);
                if !is_library && !is_built(from) {
                    copy_file(from, to);
                }
            });
        }
        Self { folder: to, _alone: alone }
    }

    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The variables by which xtask works in this copy, offline.
    #[must_use]
    pub fn variables(&self) -> [(&'static str, PathBuf); 3] {
        [
            ("CARGO_MANIFEST_DIR", self.folder.join("xtask")),
            ("CARGO_TARGET_DIR", target()),
            ("CARGO_NET_OFFLINE", "true".into()),
        ]
    }

    /// Runs xtask in this copy.
    ///
    /// # Panics
    /// Where it cannot be started.
    #[must_use]
    pub fn xtask(&self, arguments: &[&str]) -> Output {
        let mut command = std::process::Command::new(built::program("xtask"));
        command.args(arguments).envs(self.variables()).output().expect("xtask can be started")
    }
}

/// Fills the plugin template in, as somebody does who has no workspace around it.
///
/// # Panics
/// Where it cannot be copied.
pub fn from_template(to: &Path, name: &str) {
    copy_crate("templates/plugin", to, &[("{{project-name}}", name)], "{{plugin_api}}");
}

/// Copies an example's crate, as somebody does who takes it out of the checkout.
///
/// # Panics
/// Where it cannot be copied.
pub fn from_example(to: &Path, name: &str) {
    copy_crate(&format!("examples/{name}"), to, &[], "../../plugin-api");
}

/// Copies a crate of the checkout, with these texts replaced, and the path of `plugin-api`.
fn copy_crate(from: &str, to: &Path, replaced: &[(&str, &str)], api: &str) {
    let path = fs::canonicalize(root().join("plugin-api")).expect("it is there");
    let path = path.to_str().expect("its path is text").to_owned();
    each_file(&root().join(from), to, &|from, to| {
        if is_built(from) {
            return;
        }
        let mut text = fs::read_to_string(from).expect("its files are text");
        for (old, new) in replaced.iter().chain([&(api, &*path)]) {
            text = text.replace(old, new);
        }
        fs::write(to, text).expect("a file can be written");
    });
    // Without it cargo would ask the registry which versions there are.
    fs::copy(root().join("Cargo.lock"), to.join("Cargo.lock")).expect("a file can be copied");
}

/// Returns true for a file that cargo has built inside of a crate.
fn is_built(path: &Path) -> bool {
    path.strip_prefix(root()).is_ok_and(|inside| inside.iter().any(|part| part == "target"))
}

/// Runs cargo on a crate, offline, with what the tests have built already within its reach.
///
/// # Panics
/// Where cargo cannot be started.
#[must_use]
pub fn cargo(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = built::cargo();
    command.args(arguments).current_dir(folder);
    command.envs(VARIABLES).env("CARGO_TARGET_DIR", target());
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
    static SEEDED: OnceLock<()> = OnceLock::new();
    SEEDED.get_or_init(|| seed(&built::output(), &target().join("debug")));
    Alone { _lock: lock }
}

/// Where crates of an author's are built: apart from what the tests start.
#[must_use]
pub fn target() -> PathBuf {
    let output = built::library("text");
    output.ancestors().nth(2).expect("a target directory").join("authors")
}

/// Gives cargo what it has built in one folder in another as well. Cargo compiles there only what
/// differs in source, features or profile.
fn seed(from: &Path, to: &Path) {
    let lock = File::open(from.join(".cargo-lock")).expect("cargo has built here");
    // No cargo may be at work there.
    lock.lock_shared().expect("a file can be locked");
    for part in [".fingerprint", "build", "deps"] {
        each_file(&from.join(part), &to.join(part), &|from, to| {
            let look =
                |path: &Path| fs::metadata(path).map(|data| (data.len(), data.modified().ok()));
            if look(from).ok() == look(to).ok() {
                return;
            }
            match fs::remove_file(to) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    panic!("{to:?}: {error}")
                }
                _ => {}
            }
            // Compiler and linker replace their files, while cargo writes over its own.
            let name = from.file_name().unwrap_or_default().to_string_lossy();
            let is_compiled = part == "deps" || name.replace('_', "-").starts_with("build-script-");
            if is_compiled && !name.ends_with(".d") {
                fs::hard_link(from, to).expect("a file can be linked");
            } else {
                copy_file(from, to);
            }
        });
    }
}

/// Does this for each file of a folder, with where it belongs in another.
fn each_file(from: &Path, to: &Path, act: &dyn Fn(&Path, &Path)) {
    // Where it is there already it is added to.
    fs::create_dir_all(to).expect("a folder can be made");
    for entry in fs::read_dir(from).expect("a folder can be read") {
        let path = entry.expect("a folder can be read").path();
        let target = to.join(path.file_name().expect("it has a name"));
        if path.is_dir() {
            each_file(&path, &target, act);
        } else {
            act(&path, &target);
        }
    }
}

/// Copies a file and the time of its last change.
fn copy_file(from: &Path, to: &Path) {
    fs::copy(from, to).expect("a file can be copied");
    let changed = fs::metadata(from).and_then(|data| data.modified()).expect("files have times");
    let file = File::options().append(true).open(to).expect("a file can be opened");
    file.set_modified(changed).expect("the time of a file can be set");
}
