//! The tools for Windows builds, and how to get them.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{cargo, error::TaskError};

/// The target.
pub const TARGET: &str = "x86_64-pc-windows-gnu";

/// Debian's packages, of which Wine is one.
const PACKAGES: [(&str, &str); 3] = [
    ("wine", "wine"),
    ("/usr/lib/wine/wine64", "wine64"),
    ("x86_64-w64-mingw32-gcc", "gcc-mingw-w64-x86-64-win32"),
];

/// Debian's other compiler, which builds the standard library itself.
const COMPILER: [(&str, &str); 3] = [
    ("/usr/bin/rustc", "rustc-web"),
    ("/usr/bin/cargo", "cargo-web"),
    ("/usr/lib/rustlib/src/rust/library/std", "rust-web-src"),
];

/// The source of the compiler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compiler {
    /// The toolchain that runs this, with the target's standard library from rustup.
    Own,
    /// Debian's, with a standard library that it builds.
    System,
}

/// Checks that all tools are installed, and installs them where it can.
///
/// # Errors
/// A tool is missing; the error says how to get it.
pub fn find(system_compiler: bool) -> Result<Compiler, TaskError> {
    install(&PACKAGES)?;
    if !system_compiler {
        if has_own() || (add_own() && has_own()) {
            return Ok(Compiler::Own);
        }
        println!("rustup has no standard library for {TARGET}: using Debian's compiler");
    }
    install(&COMPILER)?;
    Ok(Compiler::System)
}

fn add_own() -> bool {
    println!("adding the target {TARGET} by rustup");
    let mut rustup = Command::new("rustup");
    let added = rustup.args(["target", "add", TARGET]).current_dir(cargo::root()).status();
    added.is_ok_and(|status| status.success())
}

impl Compiler {
    /// Returns cargo with a subcommand for the target and with this target folder.
    pub fn cargo(self, subcommand: &str, target_dir: &Path) -> Command {
        let mut command = match self {
            Self::Own => cargo::cargo(),
            Self::System => {
                let mut command = Command::new("/usr/bin/cargo");
                for variable in ["RUSTUP_TOOLCHAIN", "CARGO", "RUSTDOC"] {
                    command.env_remove(variable);
                }
                command.env("RUSTC", "/usr/bin/rustc").env("RUSTC_BOOTSTRAP", "1");
                command.current_dir(cargo::root());
                command
            }
        };
        command.args([subcommand, "--locked", "--target", TARGET]);
        if self == Self::System {
            command.arg("-Zbuild-std=std,panic_unwind");
        }
        // Debug information would be most of the output.
        command.env("CARGO_TARGET_DIR", target_dir).env("CARGO_PROFILE_DEV_DEBUG", "0");
        command
    }
}

fn has_own() -> bool {
    let mut rustc = Command::new("rustc");
    rustc.args(["--print", "target-libdir", "--target", TARGET]).current_dir(cargo::root());
    let Ok(output) = rustc.stderr(Stdio::null()).output() else { return false };
    let folder = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    folder.read_dir().is_ok_and(|mut entries| entries.next().is_some())
}

fn install(wanted: &[(&str, &'static str)]) -> Result<(), TaskError> {
    let missing: Vec<_> = wanted.iter().filter(|(file, _)| !is_there(file)).collect();
    let Some((file, _)) = missing.first() else { return Ok(()) };
    let packages: Vec<_> = missing.iter().map(|(_, package)| *package).collect();
    println!("installing {}", packages.join(" "));
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
        command.status().is_ok_and(|status| status.success())
    };
    let flags = ["install", "-y", "-qq", "--no-install-recommends"];
    if apt(&["update", "-qq"]) && apt(&[&flags[..], &packages].concat()) {
        return Ok(());
    }
    Err(TaskError::Missing(
        (*file).to_owned(),
        "apt-get install wine wine64 \
        gcc-mingw-w64-x86-64-win32, and where rustup cannot add x86_64-pc-windows-gnu \
        rustc-web cargo-web rust-web-src",
    ))
}

fn is_there(file: &str) -> bool {
    if file.starts_with('/') {
        return Path::new(file).exists();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(file).is_file())
}
