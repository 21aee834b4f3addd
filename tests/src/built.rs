//! Built programs and libraries of the workspace.

use std::{
    env::{
        self,
        consts::{DLL_PREFIX, DLL_SUFFIX, EXE_SUFFIX},
    },
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use crate::{
    package_variables,
    wait::{LIMIT, wait_until},
};

/// Returns the folder of cargo's output in the profile of this test.
///
/// # Panics
/// This is not a test that cargo has built.
#[must_use]
pub fn output() -> PathBuf {
    let test = env::current_exe().expect("a test knows where it is");
    test.ancestors().nth(2).expect("a test lies in target/PROFILE/deps").to_owned()
}

/// Returns the path of a program.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    build();
    output().join(format!("{name}{EXE_SUFFIX}"))
}

/// Puts a program at another path, from which it can be started at once.
///
/// # Panics
/// The program cannot be put there.
pub fn install_program(name: &str, path: &Path) {
    let program = program(name);
    // A link where possible: a copy may still be open for writing in a child of another test.
    if fs::hard_link(&program, path).is_ok() {
        return;
    }
    fs::copy(&program, path).expect("a program can be copied");
    wait_until("the copy can be started", LIMIT, || {
        let started = Command::new(path).arg("--version").output();
        !started.is_err_and(|error| error.kind() == ErrorKind::ExecutableFileBusy)
    });
}

/// Returns the path of a package's library.
#[must_use]
pub fn library(package: &str) -> PathBuf {
    build();
    let library = output().join(library_name(package));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // Cargo may make it writable for the group, which the host rejects.
        if let Ok(data) = library.metadata() {
            let mode = data.permissions().mode() & !0o022;
            // If this fails, the host reports it.
            let _ = std::fs::set_permissions(&library, PermissionsExt::from_mode(mode));
        }
    }
    library
}

/// Returns the file name that cargo gives a package's library.
#[must_use]
pub fn library_name(package: &str) -> String {
    format!("{DLL_PREFIX}{}{DLL_SUFFIX}", package.replace('-', "_"))
}

/// Returns cargo, without the variables that name a package.
#[must_use]
pub fn cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    package_variables::hide(&mut cargo);
    cargo
}

/// Builds the programs that the tests start, once, unless the caller of the tests has built them.
fn build() {
    static BUILT: OnceLock<()> = OnceLock::new();
    BUILT.get_or_init(|| {
        if env::var_os("DROPIN_TEST_BUILT").is_some() {
            return;
        }
        let output = output();
        let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
        let profile = match name(&output).as_deref() {
            None | Some("debug") => "dev".to_owned(),
            Some(profile) => profile.to_owned(),
        };
        let status = cargo()
            .args(["build", "--quiet", "--workspace", "--bins", "--lib", "--profile", &profile])
            .arg("--target-dir")
            .arg(output.parent().expect("a profile lies in a target directory"))
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
            .status()
            .expect("cargo can be started");
        assert!(status.success(), "the workspace cannot be built");
    });
}
