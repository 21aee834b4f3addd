//! Files that must be rejected, with the reasons.

use std::{fs, path::Path};

use dropin_tests::{
    built, files,
    reload::{marked, stripped},
};

/// A file that must be rejected.
pub(super) struct Bad {
    /// Returns its content.
    pub what: fn() -> Entry,
    /// The possible reasons.
    pub why: &'static [&'static str],
    /// True if the file is bad on its own, without other plugins.
    pub alone: bool,
    /// True if its probe lasts until the time limit.
    pub hangs: bool,
}

/// A directory entry in the place of a library.
pub(super) enum Entry {
    Bytes(Vec<u8>),
    Directory,
    /// A file without read permission.
    Secret(Vec<u8>),
    /// A pipe without a writer.
    Pipe,
}

impl Entry {
    /// Creates it at this path, and replaces any entry there.
    pub fn put(&self, path: &Path) {
        let beside = path.with_file_name(".beside");
        match self {
            Self::Bytes(bytes) => fs::write(&beside, bytes).unwrap(),
            Self::Directory => {
                fs::create_dir(&beside).unwrap();
                // A directory cannot be renamed over a file.
                if path.exists() {
                    return files::replace_any(path, &beside);
                }
            }
            Self::Secret(bytes) => {
                fs::write(&beside, bytes).unwrap();
                hide(&beside);
            }
            Self::Pipe => {
                let made = std::process::Command::new("mkfifo").arg(&beside).status().unwrap();
                assert!(made.success());
            }
        }
        files::rename(&beside, path);
    }
}

#[cfg(unix)]
fn hide(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o000)).unwrap();
}

#[cfg(not(unix))]
fn hide(_: &Path) {}

/// The start of every header; two numbers follow.
const MAGIC: &[u8] = b"abi stable library for Rust     ";

const LOADER: &str = "the system's loader does not take it: ";
const BEGINNING: &str = "it is only the beginning of a library";
#[cfg(unix)]
const CRASHED: &str = "it ended the process that probed it: it crashed with signal ";
#[cfg(windows)]
const CRASHED: &str = "it ended the process that probed it: it crashed with exception 0xc0000005";
// The loader of Windows catches it.
const CRASHED_THERE: &str = if cfg!(windows) { LOADER } else { CRASHED };
#[cfg(unix)]
const ABORTED: &str = CRASHED;
#[cfg(windows)]
const ABORTED: &str =
    "it ended the process that probed it: it exited with status 3 before it was judged";
const BAD_REPORT: &str = "its probe left an invalid report: ";
const NO_PLUGIN: &[&str] = &["it exports no plugin: it needs plugin_api's `plugin!`"];

const fn bad(what: fn() -> Entry, why: &'static [&'static str]) -> Bad {
    Bad { what, why, alone: true, hangs: false }
}

const fn hangs(what: fn() -> Entry) -> Bad {
    let why = &["it did not finish within 6 s of being probed"];
    Bad { what, why, alone: true, hangs: true }
}

fn bytes(bytes: impl Into<Vec<u8>>) -> Entry {
    Entry::Bytes(bytes.into())
}

/// Compiles a library that runs this code when it is opened.
fn constructor(code: &str) -> Entry {
    c(&format!("__attribute__((constructor)) static void run(void) {{ {code} }}"))
}

/// Compiles a library that writes its own probe report and ends the probe. C and Rust quote this
/// text in the same way.
fn forged(report: &str) -> Entry {
    constructor(&format!(
        "char *text = {report:?}; if (write(creat(\"report.json\", 0600), text, strlen(text))) {{}} \
         _exit(0);"
    ))
}

fn c(code: &str) -> Entry {
    // For ftruncate64.
    let large = "#define _LARGEFILE64_SOURCE\n".to_owned();
    let includes = ["fcntl", "signal", "stdlib", "string", "sys/stat", "unistd"]
        .map(|name| format!("#include <{name}.h>\n"));
    bytes(files::compile_c(&(large + &includes.concat() + code)))
}

fn package(name: &str) -> Entry {
    bytes(stripped(name))
}

/// Returns the beginning of a library as a linker has written it.
fn cut(length: impl FnOnce(&[u8]) -> usize) -> Entry {
    bytes(files::altered("clock", |bytes| bytes.truncate(length(bytes))))
}

fn altered(alter: impl FnOnce(&mut Vec<u8>)) -> Entry {
    let mut library = stripped("clock");
    alter(&mut library);
    bytes(library)
}

pub(super) const TEXT: Bad = bad(|| bytes("colour is a command\n"), &[LOADER]);
pub(super) const EMPTY: Bad = bad(|| bytes(""), &["it is an empty file, not a library"]);
pub(super) const DIRECTORY: Bad = bad(|| Entry::Directory, &["it is a directory, not a library"]);
pub(super) const PIPE: Bad = bad(|| Entry::Pipe, &["it is a special file, not a library"]);
pub(super) const SECRET: Bad = bad(|| Entry::Secret(stripped("clock")), &["cannot open it: "]);
pub(super) const HALF: Bad = bad(|| cut(|bytes| files::mapped(bytes) / 2), &[BEGINNING]);
pub(super) const FIRST_BYTES: Bad = bad(|| cut(|_| 100), &[BEGINNING]);
// The loader would accept it, since only debug information is missing. Still it is incomplete.
pub(super) const WITHOUT_ITS_END: Bad = bad(
    || {
        cut(|bytes| {
            let length = files::mapped(bytes);
            assert!(length < bytes.len(), "the linker has put nothing behind it");
            length
        })
    },
    &[BEGINNING],
);
// The headers of a PE file tell where it ends.
const HALF_PE: &str = if cfg!(windows) { BEGINNING } else { LOADER };
// One system's loader checks the size first, another's just crashes.
pub(super) const HALF_WITHOUT_SECTIONS: Bad =
    bad(|| altered(|bytes| bytes.truncate(bytes.len() / 2)), &[LOADER, CRASHED, HALF_PE]);
pub(super) const OTHER_PROCESSOR: Bad =
    bad(|| altered(|bytes| files::set_machine(bytes)), &["it is for another processor"]);
pub(super) const PLAIN_C: Bad = bad(|| c("int answer(void) { return 42; }"), NO_PLUGIN);
// A missing symbol must be detected before a call needs it.
pub(super) const INCOMPLETE: Bad =
    bad(|| c("int nowhere(void); int answer(void) { return nowhere(); }"), &[LOADER]);
pub(super) const OTHER_ABI_STABLE: Bad =
    bad(|| altered(|bytes| files::set_abi_stable(bytes)), &["it was built with abi_stable "]);
pub(super) const WRONG_MAGIC: Bad = bad(
    || c("char _1as_0lib_1header_0root_bmodule_bloader[512] = \"something quite different\";"),
    &["it was built with abi_stable "],
);
// A header whose start is valid and whose pointers are not: only a separate process can detect it.
pub(super) const HOLLOW_HEADER: Bad = bad(
    || {
        let library = stripped("clock");
        let start = library.windows(MAGIC.len()).position(|bytes| bytes == MAGIC).unwrap();
        let header: String = library[start..start + 40].iter().map(|b| format!("{b},")).collect();
        c(&format!("char _1as_0lib_1header_0root_bmodule_bloader[512] = {{{header}}};"))
    },
    &[CRASHED, "it was built for plugin API "],
);
pub(super) const OTHER_LAYOUT: Bad =
    bad(|| package("other-layout"), &["its types do not match this host's: "]);
pub(super) const OTHER_MAJOR: Bad =
    bad(|| package("other-major"), &["it was built for plugin API 9.0.0 and this host has "]);
pub(super) const CRASHES: Bad = bad(|| constructor("*(volatile int *)0 = 1;"), &[CRASHED_THERE]);
pub(super) const ABORTS: Bad = bad(|| constructor("abort();"), &[ABORTED]);
pub(super) const KILLS_ITSELF: Bad = bad(|| constructor("raise(SIGKILL);"), &[CRASHED]);
pub(super) const EXITS_WELL: Bad = bad(
    || constructor("exit(0);"),
    &["it ended the process that probed it: it exited with status 0 before it was judged"],
);
pub(super) const EXITS_BADLY: Bad = bad(
    || constructor("_exit(7);"),
    &["it ended the process that probed it: it exited with status 7 before it was judged"],
);
pub(super) const ABORTS_LAST: Bad = bad(
    || bytes(marked("last-act", "aborts")),
    &["it ended the process that probed it: it crashed with signal 6 when it was unloaded"],
);
pub(super) const EXITS_LAST: Bad = bad(
    || bytes(marked("last-act", "exits")),
    &["it ended the process that probed it: it exited with status 0 when it was unloaded"],
);
pub(super) const HANGS: Bad = hangs(|| constructor("for (;;) sleep(1);"));
pub(super) const HANGS_DEAF: Bad =
    hangs(|| constructor("for (int n = 1; n < 65; n++) signal(n, SIG_IGN); for (;;) ;"));
pub(super) const PRINTS_A_GIGABYTE: Bad = bad(
    || {
        constructor(
            "static char block[1 << 20]; memset(block, 'x', sizeof block); \
             for (int n = 0; n < 512; n++) { if (write(1, block, sizeof block)) {} \
             if (write(2, block, sizeof block)) {} }",
        )
    },
    NO_PLUGIN,
);
pub(super) const FORGES_A_NAME: Bad = bad(
    || {
        forged(
            r#"{"Ok":{"name":"../elsewhere","version":"1","api_version":"1.1.0","commands":[],"untracked_threads":false}}"#,
        )
    },
    &["its name '../elsewhere' is illegal: a plugin's name is 1 to 64 of "],
);
pub(super) const FORGES_THE_HOSTS_WORD: Bad =
    bad(|| forged(r#"{"Err":"Stopping"}"#), &[BAD_REPORT]);
pub(super) const FORGES_A_PIPE: Bad =
    bad(|| constructor("mkfifo(\"report.json\", 0600); _exit(0);"), &[BAD_REPORT]);
pub(super) const FORGES_WITHOUT_END: Bad =
    bad(|| constructor("if (symlink(\"/dev/zero\", \"report.json\")) {} _exit(0);"), &[BAD_REPORT]);
pub(super) const FORGES_A_TERABYTE: Bad = bad(
    || constructor("if (ftruncate64(creat(\"report.json\", 0600), 1LL << 40)) {} _exit(0);"),
    &[BAD_REPORT],
);
pub(super) const CREATE_FAILS: Bad =
    bad(|| package("create-fails"), &["its `create` failed: the moon is not full"]);
pub(super) const CREATE_PANICS: Bad =
    bad(|| package("create-panics"), &["its `create` failed: 'create' panicked: out of ideas"]);
pub(super) const ILLEGAL_NAME: Bad =
    bad(|| package("illegal-name"), &["its command 'Loud!' has an illegal name: 1 to 64 of "]);
pub(super) const ILLEGAL_USAGE: Bad = bad(
    || package("illegal-usage"),
    &["its command 'muddle': the usage line '[A] B' cannot be read: only optional ones"],
);
pub(super) const TWICE: Bad = bad(|| package("twice"), &["it has the command 'again' twice"]);
pub(super) const CLAIMS_A_BUILTIN: Bad =
    bad(|| package("claims-builtin"), &["claims the command 'ks', which is the host's own"]);
pub(super) const CLASHES: Bad = Bad {
    what: || package("clash"),
    why: &["claim the command 'echo'; remove one, or rename the command"],
    alone: false,
    hangs: false,
};

/// Returns the name of the bad file.
pub(super) fn name() -> String {
    built::library_name("chameleon")
}
