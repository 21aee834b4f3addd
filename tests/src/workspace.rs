//! Crates of a plugin author: a copy of the workspace, and the filled-in template.

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Output,
    sync::OnceLock,
};

use crate::built;

/// Cargo's settings for crates outside the workspace: offline, and with the workspace's profile, so
/// that shared dependencies are built once.
pub(crate) const VARIABLES: [(&str, &str); 2] =
    [("CARGO_NET_OFFLINE", "true"), ("CARGO_PROFILE_DEV_DEBUG", "line-tables-only")];

/// Returns the root of the checkout under test.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A copy of the workspace that no other test uses until it is dropped.
#[cfg(unix)]
pub struct Checkout {
    folder: PathBuf,
    _alone: ExclusiveBuild,
}

#[cfg(unix)]
impl Checkout {
    /// Copies the parts of the workspace that cargo and xtask need, with this plugins folder. The
    /// destination is always the same and modification times are kept, so that cargo reuses earlier
    /// builds.
    ///
    /// # Panics
    /// The workspace cannot be copied.
    #[must_use]
    pub fn copy(plugins: &Path) -> Self {
        let exclusive_build = exclusive_build();
        // Not inside the target folder: cargo would treat the files as its own output.
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
            "sdk",
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
        Self { folder: to, _alone: exclusive_build }
    }

    /// Returns its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the variables with which xtask works in this copy, offline.
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
    /// Xtask cannot be started.
    #[must_use]
    pub fn xtask(&self, arguments: &[&str]) -> Output {
        let mut command = std::process::Command::new(built::program("xtask"));
        command.args(arguments).envs(self.variables()).output().expect("xtask can be started")
    }
}

/// Copies the templates, and the modules that they need, into a folder.
///
/// # Panics
/// They cannot be copied.
pub fn copy_templates(to: &Path) {
    for part in ["templates", "sdk"] {
        each_file(&root().join(part), &to.join(part), &copy_file);
    }
}

/// Fills in the plugin template for an author without a workspace.
///
/// # Panics
/// The template cannot be copied.
pub fn from_template(to: &Path, name: &str) {
    copy_crate("templates/plugin", to, &[("{{project-name}}", name)], "{{plugin_api}}");
}

/// Copies an example's crate out of the checkout.
///
/// # Panics
/// The example cannot be copied.
pub fn from_example(to: &Path, name: &str) {
    copy_crate(&format!("examples/{name}"), to, &[], "../../plugin-api");
}

/// Copies a crate of the checkout, and replaces these texts and the path of `plugin-api`.
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
    // Without it cargo would ask the registry for versions.
    fs::copy(root().join("Cargo.lock"), to.join("Cargo.lock")).expect("a file can be copied");
}

/// Returns true for a file that cargo has built inside a crate.
fn is_built(path: &Path) -> bool {
    path.strip_prefix(root()).is_ok_and(|inside| inside.iter().any(|part| part == "target"))
}

/// Runs cargo on a crate, offline, with the tests' own build output available to it.
///
/// # Panics
/// Cargo cannot be started.
#[must_use]
pub fn cargo(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = built::cargo();
    command.args(arguments).current_dir(folder);
    command.envs(VARIABLES).env("CARGO_TARGET_DIR", target());
    let _alone = exclusive_build();
    command.output().expect("cargo can be started")
}

/// Exclusive use of [`target`] across processes, until it is dropped.
pub struct ExclusiveBuild {
    _lock: File,
}

/// Waits for exclusive use of [`target`]. Cargo holds a lock of its own there while it builds, and
/// waiting for that one would count against a test's time limit.
///
/// # Panics
/// The file system has no locks.
#[must_use]
pub fn exclusive_build() -> ExclusiveBuild {
    let path = target().with_extension("lock");
    let lock = File::create(path).expect("a file can be written");
    lock.lock().expect("a file can be locked");
    static SEEDED: OnceLock<()> = OnceLock::new();
    SEEDED.get_or_init(|| seed(&built::output(), &target().join("debug")));
    ExclusiveBuild { _lock: lock }
}

/// Returns the folder in which an author's crates are built, separate from the programs that the
/// tests start.
#[must_use]
pub fn target() -> PathBuf {
    let output = built::library("text");
    output.ancestors().nth(2).expect("a target directory").join("authors")
}

/// Makes cargo's build output of one folder available in another. Cargo then compiles only crates
/// that differ in source, features or profile.
fn seed(from: &Path, to: &Path) {
    let lock = File::open(from.join(".cargo-lock")).expect("cargo has built here");
    // No cargo may be running there.
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
            // Compiler and linker replace their files, while cargo overwrites its own in place.
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

/// Calls `act` for each file of a folder, with its destination in another.
fn each_file(from: &Path, to: &Path, act: &dyn Fn(&Path, &Path)) {
    // An existing folder is added to.
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

/// Copies a file with its modification time.
fn copy_file(from: &Path, to: &Path) {
    fs::copy(from, to).expect("a file can be copied");
    let changed = fs::metadata(from).and_then(|data| data.modified()).expect("files have times");
    let file = File::options().append(true).open(to).expect("a file can be opened");
    file.set_modified(changed).expect("the time of a file can be set");
}
