//! Library files, whole and spoiled.

use std::{env::consts::DLL_SUFFIX, fs, path::Path, process::Command};

use crate::built;

/// What names the library `abi_stable` and its version at the start of its header.
const ABI_MAGIC: &[u8] = b"abi stable library for Rust     ";

/// Copies a package's library into a folder: beside, then renamed, so that it is never there in
/// part.
///
/// # Panics
/// Where it is not built or cannot be copied.
pub fn install(folder: &Path, package: &str) {
    let name = built::library_name(package);
    let beside = folder.join(format!(".{name}.new"));
    let library = fs::read(built::library(package)).expect("the library is built");
    fs::write(&beside, library).expect("a file can be written");
    fs::rename(&beside, folder.join(name)).expect("a file can be renamed");
}

/// Puts a file or directory in the place of another, of whatever kind that is; on Linux so that at
/// no time is there none.
///
/// # Panics
/// Where it cannot be done.
pub fn replace_any(path: &Path, by: &Path) {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{CWD, RenameFlags};
        rustix::fs::renameat_with(CWD, by, CWD, path, RenameFlags::EXCHANGE)
            .expect("two names can be exchanged");
        remove_any(by);
    }
    #[cfg(not(target_os = "linux"))]
    {
        remove_any(path);
        fs::rename(by, path).expect("a file can be renamed");
    }
}

fn remove_any(path: &Path) {
    let removed = if path.is_dir() { fs::remove_dir(path) } else { fs::remove_file(path) };
    removed.expect("it can be removed");
}

/// What this process makes from now on is nobody else's to write to, as the host wants it.
pub fn close_to_others() {
    #[cfg(unix)]
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
}

/// A package's library, altered.
///
/// # Panics
/// Where it is not built.
#[must_use]
pub fn altered(package: &str, alter: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = fs::read(built::library(package)).expect("the library is built");
    alter(&mut bytes);
    bytes
}

/// Makes an ELF library one for another processor.
pub fn set_machine(bytes: &mut [u8]) {
    const MACHINE: usize = 18;
    const SPARC_V9: u8 = 43;
    bytes[MACHINE..MACHINE + 2].copy_from_slice(&[SPARC_V9, 0]);
}

/// How many bytes of a 64-bit ELF library the loader maps: what follows is for debuggers.
///
/// # Panics
/// Where the bytes are no such library.
#[must_use]
pub fn mapped(bytes: &[u8]) -> usize {
    const LOAD: usize = 1;
    let number = |at: usize, size: usize| {
        bytes[at..at + size].iter().rev().fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte))
    };
    let (table, size, count) = (number(32, 8), number(54, 2), number(56, 2));
    let headers = (0..count).map(|index| table + index * size);
    headers
        .filter(|at| number(*at, 4) == LOAD)
        .map(|at| number(at + 8, 8) + number(at + 32, 8))
        .max()
        .expect("a library has something to load")
}

/// Makes a library one that another version of `abi_stable` has built.
///
/// # Panics
/// Where it is no library that `abi_stable` has built.
pub fn set_abi_stable(bytes: &mut [u8]) {
    let magic = bytes.windows(ABI_MAGIC.len()).position(|window| window == ABI_MAGIC);
    let major = magic.expect("the header is there") + ABI_MAGIC.len();
    bytes[major] = 77;
}

/// A library that a C compiler makes of this.
///
/// # Panics
/// Where the compiler does not take it.
#[must_use]
pub fn compile_c(source: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let (code, library) = (folder.path().join("library.c"), format!("library{DLL_SUFFIX}"));
    fs::write(&code, source).expect("a file can be written");
    let library = folder.path().join(library);
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&code);
    let status = compiler.status().expect("the compiler can be started");
    assert!(status.success(), "the compiler does not take the source");
    fs::read(library).expect("the compiler has written it")
}
