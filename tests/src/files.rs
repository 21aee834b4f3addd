//! Library files, intact and corrupted.

use std::{
    env::{
        self,
        consts::{DLL_SUFFIX, EXE_SUFFIX},
    },
    ffi::OsString,
    fs,
    io::{self, ErrorKind},
    path::Path,
    process::Command,
};

use crate::{
    built,
    wait::{LIMIT, wait_for, wait_until},
};

/// Variable that names a C compiler for this system. The program takes the arguments of `cc`, and
/// writes its exit status to a file `status` in its working directory.
const COMPILER: &str = "DROPIN_TEST_CC";

/// The start of an `abi_stable` header, which names the library and its version.
const ABI_MAGIC: &[u8] = b"abi stable library for Rust     ";

/// Copies a package's library into a folder: to a temporary name, then renamed, so that it is never
/// incomplete.
///
/// # Panics
/// The library is not built or cannot be copied.
pub fn install(folder: &Path, package: &str) {
    let name = built::library_name(package);
    let beside = folder.join(format!(".{name}.new"));
    let library = fs::read(built::library(package)).expect("the library is built");
    fs::write(&beside, library).expect("a file can be written");
    rename(&beside, folder.join(name));
}

/// Renames a file. On Windows a file cannot be replaced while the host reads it: then this tries
/// again, as do [`write()`], [`create`] and [`remove`].
///
/// # Panics
/// The file cannot be renamed.
#[track_caller]
pub fn rename(from: impl AsRef<Path>, to: impl AsRef<Path>) {
    retry_while_in_use("a file can be renamed", || fs::rename(&from, &to));
}

/// Writes a file in place.
///
/// # Panics
/// The file cannot be written.
#[track_caller]
pub fn write(path: impl AsRef<Path>, bytes: impl AsRef<[u8]>) {
    retry_while_in_use("a file can be written", || fs::write(&path, &bytes));
}

/// Creates a file, or empties one.
///
/// # Panics
/// The file cannot be opened.
#[track_caller]
#[must_use]
pub fn create(path: impl AsRef<Path>) -> fs::File {
    retry_while_in_use("a file can be opened", || fs::File::create(&path))
}

/// Writes a file that its owner may execute, and only its owner may change: under a temporary name,
/// then renamed, so that it can be executed at once.
///
/// # Panics
/// The file cannot be written.
#[cfg(unix)]
pub fn write_executable(path: &Path, text: impl AsRef<[u8]>) {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = path.with_file_name(format!(".{name}.new"));
    fs::write(&beside, text).expect("a file can be written");
    let rights = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&beside, rights).expect("rights can be set");
    rename(beside, path);
}

/// Removes a file, and waits until its name is free: on Windows only once no process reads it.
///
/// # Panics
/// The file cannot be removed.
#[track_caller]
pub fn remove(path: impl AsRef<Path>) {
    retry_while_in_use("a file can be removed", || fs::remove_file(&path));
    if cfg!(windows) {
        wait_until("a removed file's name is free", LIMIT, || {
            fs::symlink_metadata(&path).is_err_and(|error| error.kind() == ErrorKind::NotFound)
        });
    }
}

/// Removes a folder with its content.
///
/// # Panics
/// The folder cannot be removed.
#[track_caller]
pub fn remove_folder(path: impl AsRef<Path>) {
    retry_while_in_use("a folder can be removed", || match fs::remove_dir_all(&path) {
        // An earlier attempt has removed it, although it reported an error.
        Err(error) if cfg!(windows) && error.kind() == ErrorKind::NotFound => Ok(()),
        done => done,
    });
}

#[track_caller]
fn retry_while_in_use<T>(what: &str, mut act: impl FnMut() -> io::Result<T>) -> T {
    const SHARING_VIOLATION: i32 = 32;
    const USER_MAPPED_FILE: i32 = 1224;
    let passing = |error: &io::Error| {
        let kinds = [ErrorKind::PermissionDenied, ErrorKind::DirectoryNotEmpty];
        let codes = [SHARING_VIOLATION, USER_MAPPED_FILE];
        kinds.contains(&error.kind()) || error.raw_os_error().is_some_and(|c| codes.contains(&c))
    };
    wait_for(what, LIMIT, || match act() {
        Err(error) if cfg!(windows) && passing(&error) => None,
        done => Some(done.expect(what)),
    })
}

/// Replaces a file or directory by another of any kind; on Linux atomically.
///
/// # Panics
/// It cannot be replaced.
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
        rename(by, path);
    }
}

fn remove_any(path: &Path) {
    if path.is_dir() {
        retry_while_in_use("a folder can be removed", || fs::remove_dir(path));
    } else {
        remove(path);
    }
}

/// Makes files that this process creates from now on writable for its user only, as the host
/// requires.
pub fn close_to_others() {
    #[cfg(unix)]
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
}

/// Returns a package's library after a change.
///
/// # Panics
/// The library is not built.
#[must_use]
pub fn altered(package: &str, alter: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = fs::read(built::library(package)).expect("the library is built");
    alter(&mut bytes);
    bytes
}

/// Turns a library into one for another processor.
pub fn set_machine(bytes: &mut [u8]) {
    const MACHINE: usize = 18;
    const SPARC_V9: [u8; 2] = [43, 0];
    const ALPHA: [u8; 2] = [0x84, 0x01];
    if bytes.starts_with(b"MZ") {
        let machine = number(bytes, 0x3c, 4) + 4;
        bytes[machine..machine + 2].copy_from_slice(&ALPHA);
    } else {
        bytes[MACHINE..MACHINE + 2].copy_from_slice(&SPARC_V9);
    }
}

/// Returns how many bytes of a library, 64-bit ELF or PE, the loader maps. The rest is for
/// debuggers.
///
/// # Panics
/// The bytes are no such library.
#[must_use]
pub fn mapped(bytes: &[u8]) -> usize {
    const LOAD: usize = 1;
    let end = if bytes.starts_with(b"MZ") {
        let header = number(bytes, 0x3c, 4);
        let table = header + 24 + number(bytes, header + 20, 2);
        let sections = (0..number(bytes, header + 6, 2)).map(|index| table + index * 40);
        sections.map(|at| number(bytes, at + 20, 4) + number(bytes, at + 16, 4)).max()
    } else {
        let field = |at, size| number(bytes, at, size);
        let (table, size, count) = (field(32, 8), field(54, 2), field(56, 2));
        let headers = (0..count).map(|index| table + index * size);
        let loaded = headers.filter(|at| field(*at, 4) == LOAD);
        loaded.map(|at| field(at + 8, 8) + field(at + 32, 8)).max()
    };
    end.expect("a library has something to load")
}

fn number(bytes: &[u8], at: usize, size: usize) -> usize {
    bytes[at..at + size].iter().rev().fold(0, |sum, byte| sum << 8 | usize::from(*byte))
}

/// Turns a library into one that another version of `abi_stable` has built.
///
/// # Panics
/// It is no library that `abi_stable` has built.
pub fn set_abi_stable(bytes: &mut [u8]) {
    let magic = bytes.windows(ABI_MAGIC.len()).position(|window| window == ABI_MAGIC);
    let major = magic.expect("the header is there") + ABI_MAGIC.len();
    bytes[major] = 77;
}

/// Compiles C code into a library.
///
/// # Panics
/// The compiler fails.
#[must_use]
pub fn compile_c(source: &str) -> Vec<u8> {
    compile(source, &["-shared", "-fPIC"], DLL_SUFFIX)
}

/// Compiles C code into a program.
///
/// # Panics
/// The compiler fails.
#[must_use]
pub fn compile_program(source: &str) -> Vec<u8> {
    compile(source, &[], EXE_SUFFIX)
}

fn compile(source: &str, arguments: &[&str], ending: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let made = format!("made{ending}");
    fs::write(folder.path().join("source.c"), source).expect("a file can be written");
    // Names without folders: the compiler may run on another system than the test, with other
    // paths.
    let mut compiler = Command::new(compiler());
    compiler.args(arguments).args(["-o", &made, "source.c"]).current_dir(folder.path());
    let ended = compiler.spawn().expect("the compiler can be started").wait();
    if env::var_os(COMPILER).is_some() {
        // Under Wine a native program cannot be waited for; it writes its status to a file.
        let path = folder.path().join("status");
        let status = wait_for("the compiler ends", LIMIT, || fs::read_to_string(&path).ok());
        assert_eq!(status.trim(), "0", "the compiler does not take the source");
    } else {
        let status = ended.expect("a child can be waited for");
        assert!(status.success(), "the compiler does not take the source");
    }
    fs::read(folder.path().join(made)).expect("the compiler has written it")
}

fn compiler() -> OsString {
    env::var_os(COMPILER).unwrap_or_else(|| "cc".into())
}
