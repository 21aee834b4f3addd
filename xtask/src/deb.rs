//! The Debian package: the shipped programs, with manual pages and completions that the programs
//! themselves print.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    cargo,
    error::TaskError,
    package_docs::{self, PROGRAMS},
};

/// The unit that is enabled.
const SERVICE: &str = "dropin-host.service";

/// A shell, with the prefix and suffix of its completion files.
const SHELLS: [(&str, &str, &str); 3] = [("bash", "", ""), ("zsh", "_", ""), ("fish", "", ".fish")];

/// Builds the package, and returns its path.
pub fn build() -> Result<PathBuf, TaskError> {
    let found = Command::new("cargo-deb").arg("--version").output();
    if !found.is_ok_and(|output| output.status.success()) {
        return Err(TaskError::Missing("cargo-deb".into(), "cargo install cargo-deb --locked"));
    }
    cargo::build_shipped("release")?;
    let pages = cargo::root().join("target").join("pages");
    for (program, installed) in PROGRAMS {
        write_pages(program, installed, &pages)?;
    }
    for (name, text) in package_docs::all()? {
        write(&pages.join("documents").join(name), &text)?;
    }
    let service = cargo::root().join("packaging").join(SERVICE);
    let text =
        fs::read_to_string(&service).map_err(|error| TaskError::Io("read", service, error))?;
    write(&pages.join("units").join(SERVICE), &text)?;
    cargo::deb(&cargo::output("debian"))
}

/// Installs, upgrades, removes and purges the package in an overlay that is discarded.
pub fn test_installation(package: &Path) -> Result<(), TaskError> {
    cargo::succeed(Command::new(cargo::root().join("packaging").join("try.sh")).arg(package))
}

fn write_pages(program: &str, installed: &str, pages: &Path) -> Result<(), TaskError> {
    let program_file = named(program, installed, pages)?;
    let man = pages.join("man");
    if program == "host" {
        // With a page for each of its subcommands.
        output_of(&program_file, &["man".as_ref(), "--to".as_ref(), man.as_os_str()])?;
    } else {
        let page = output_of(&program_file, &["man".as_ref()])?;
        write(&man.join(format!("{installed}.1")), &page)?;
    }
    for (shell, before, after) in SHELLS {
        let script = output_of(&program_file, &["completion".as_ref(), shell.as_ref()])?;
        let path = pages.join(shell).join(format!("{before}{installed}{after}"));
        write(&path, &script)?;
    }
    Ok(())
}

/// Returns the path of a built program under its installed name, which its own texts then use.
fn named(program: &str, installed: &str, pages: &Path) -> Result<PathBuf, TaskError> {
    let (built, link) = (cargo::output("release").join(program), pages.join("bin").join(installed));
    // A link of an earlier run. If it is there and cannot be removed, the next step fails.
    let _ = fs::remove_file(&link);
    let folder = fs::create_dir_all(pages.join("bin"));
    let linked = folder.and_then(|()| fs::hard_link(&built, &link));
    linked.map_err(|error| TaskError::Io("link", built, error))?;
    Ok(link)
}

/// Returns the output of a program.
fn output_of(program: &Path, arguments: &[&OsStr]) -> Result<String, TaskError> {
    let output = Command::new(program).args(arguments).output();
    let output = output.map_err(|error| TaskError::Io("start", program.to_owned(), error))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(TaskError::Failed(format!("{} {arguments:?}: {errors}", program.display())))
}

fn write(path: &Path, text: &str) -> Result<(), TaskError> {
    let failed = |error| TaskError::Io("write", path.to_owned(), error);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    fs::write(path, text).map_err(failed)
}
