//! Each test starts this program again, which restricts itself and then tries forbidden things.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod attempts;

use std::{
    collections::HashMap,
    env, fs,
    net::{Ipv4Addr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
};

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

use crate::{Limits, Sandbox};

/// The restrictions that the child applies to itself.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Applied {
    Nothing,
    Limits(Sandbox),
    /// The filter alone, as for a kernel whose Landlock lacks scopes and truncation.
    FilterForOldKernel,
}

/// The place of the attempts, after the restrictions have been applied.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    SameThread,
    LaterThread,
    /// The shell replaces the process, and starts the attempts.
    AfterExec,
}

const FOLDER: &str = "DROPIN_TEST_FOLDER";
const APPLIED: &str = "DROPIN_TEST_APPLIED";
const PLACE: &str = "DROPIN_TEST_PLACE";
/// A process outside the sandbox.
const VICTIM: &str = "DROPIN_TEST_VICTIM";

/// A process that ends with its test.
struct Victim(Child);

impl Victim {
    fn start() -> Self {
        Self(Command::new("sleep").arg("300").spawn().unwrap())
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn limits(sandbox: Sandbox) -> Limits {
    Limits { memory: Some(256 << 20), cpu: None, open_files: Some(100), sandbox }
}

/// Outcomes by name: `ok`, or the name of the error.
fn outcomes(applied: Applied, place: Place, folder: &Path) -> HashMap<String, String> {
    fs::create_dir(folder.join("inside")).unwrap();
    let outside = folder.join("outside");
    fs::create_dir_all(outside.join("empty")).unwrap();
    for name in ["read", "written", "renamed", "moved", "linked", "removed", "cut", "cut-open"] {
        fs::write(outside.join(name), "content").unwrap();
    }
    let victim = Victim::start();
    let output = Command::new(env::current_exe().unwrap())
        .args(attempts::ARGUMENTS)
        .env(FOLDER, folder)
        .env(APPLIED, format!("{applied:?}"))
        .env(PLACE, format!("{place:?}"))
        .env(VICTIM, victim.0.id().to_string())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{applied:?} {place:?}: {text}\n{errors}");
    let outcomes: HashMap<_, _> = text
        .lines()
        .filter_map(|line| line.strip_prefix("attempt ")?.split_once(' '))
        .map(|(name, outcome)| (name.to_owned(), outcome.to_owned()))
        .collect();
    assert!(outcomes.len() > 20, "{text}\n{errors}");
    outcomes
}

#[track_caller]
fn assert_outcomes(found: &HashMap<String, String>, outcome: &str, names: &str) {
    for name in names.split_whitespace() {
        assert_eq!(found[name], outcome, "{name}");
    }
}

const ALWAYS: &str = "read-outside create-inside rename-inside remove-inside write-null \
                      socketpair signal-self signal-group";
const WRITING: &str = "write-outside create-outside rename-outside rename-out rename-in \
                       remove-outside make-folder-outside remove-folder-outside symlink-outside \
                       truncate-outside open-and-truncate-outside";
const NETWORK: &str = "tcp local-socket datagram-pair";
const RESOURCES: &str = "much-memory many-files";

#[test]
fn unrestricted_process_may_do_everything() {
    for place in [Place::SameThread, Place::AfterExec] {
        let folder = tempfile::tempdir().unwrap();
        let found = outcomes(Applied::Nothing, place, folder.path());
        for names in [ALWAYS, WRITING, NETWORK, RESOURCES] {
            assert_outcomes(&found, "ok", names);
        }
        assert_outcomes(&found, "ok", "signal-other signal-child limit-other link-in");
        assert_eq!(folder.path().join("outside/shell").exists(), place == Place::AfterExec);
    }
}

#[test]
fn limits_hold_without_a_sandbox() {
    for place in [Place::SameThread, Place::LaterThread, Place::AfterExec] {
        let folder = tempfile::tempdir().unwrap();
        let found = outcomes(Applied::Limits(Sandbox::Off), place, folder.path());
        for names in [ALWAYS, WRITING, NETWORK, "signal-other signal-child limit-other"] {
            assert_outcomes(&found, "ok", names);
        }
        assert_limited(&found);
    }
}

#[track_caller]
fn assert_limited(found: &HashMap<String, String>) {
    assert_outcomes(found, "ENOMEM", "much-memory");
    assert_outcomes(found, "EMFILE", "many-files");
    assert_outcomes(found, "EPERM", "raise-limit");
}

#[test]
fn sandboxes_hold_in_threads_and_programs() {
    for sandbox in [Sandbox::Files, Sandbox::Strict] {
        for place in [Place::SameThread, Place::LaterThread, Place::AfterExec] {
            let folder = tempfile::tempdir().unwrap();
            let found = outcomes(Applied::Limits(sandbox), place, folder.path());
            assert_outcomes(&found, "ok", ALWAYS);
            assert_outcomes(&found, "ok", "signal-child");
            assert_outcomes(&found, "EACCES", WRITING);
            assert_outcomes(&found, "EXDEV", "link-in");
            let network = if sandbox == Sandbox::Strict { "EPERM" } else { "ok" };
            assert_outcomes(&found, network, NETWORK);
            assert_outcomes(&found, "EPERM", "signal-other limit-other trace-other poke-other");
            assert_outcomes(&found, "EACCES", "open-memory-of-other write-memory-of-other");
            assert_limited(&found);
            let outside = folder.path().join("outside");
            assert!(!outside.join("shell").exists(), "the shell wrote outside");
            let names = ["read", "written", "renamed", "moved", "linked", "removed", "cut"];
            for name in names.into_iter().chain(["cut-open"]) {
                assert_eq!(fs::read_to_string(outside.join(name)).unwrap(), "content", "{name}");
            }
        }
    }
}

#[test]
fn filter_fills_the_gaps_of_old_kernels() {
    for place in [Place::SameThread, Place::LaterThread] {
        let folder = tempfile::tempdir().unwrap();
        let found = outcomes(Applied::FilterForOldKernel, place, folder.path());
        assert_outcomes(&found, "ok", ALWAYS);
        assert_outcomes(&found, "ok", "write-outside create-outside tcp");
        assert_outcomes(&found, "EPERM", "truncate-outside open-and-truncate-outside");
        assert_outcomes(&found, "EPERM", "signal-other signal-child");
        assert_outcomes(&found, "EPERM", "limit-other trace-other poke-other");
    }
}

/// Makes a system call fail on this thread, as on a kernel without it.
fn lose(call: i64) {
    let missing = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    let target = env::consts::ARCH.try_into().unwrap();
    let rules = [(call, Vec::new())].into();
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, missing, target).unwrap();
    seccompiler::apply_filter(&BpfProgram::try_from(filter).unwrap()).unwrap();
}

#[test]
fn kernel_without_a_sandbox_is_refused() {
    for (call, cause) in [
        (libc::SYS_landlock_create_ruleset, "cannot restrict writing by Landlock: "),
        (libc::SYS_seccomp, "cannot restrict system calls by seccomp: "),
    ] {
        let refuse = move || {
            lose(call);
            // Resource limits would hold for this whole program.
            let limits = Limits { sandbox: Sandbox::Files, ..Limits::default() };
            let refused = limits.check().unwrap_err().to_string();
            (refused, limits.apply_to_thread(&[]).unwrap_err().to_string())
        };
        let (checked, applied) = std::thread::spawn(refuse).join().unwrap();
        let start = format!("cannot enforce sandbox = \"files\": {cause}");
        assert!(checked.starts_with(&start), "{checked}");
        assert!(checked.contains("; set sandbox = \"off\", or "), "{checked}");
        assert!(applied.starts_with(cause), "{applied}");
    }
}

#[test]
fn check_leaves_the_host_unrestricted() {
    let folder = tempfile::tempdir().unwrap();
    for sandbox in [Sandbox::Off, Sandbox::Files, Sandbox::Strict] {
        limits(sandbox).check().unwrap();
    }
    fs::write(folder.path().join("created"), "").unwrap();
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
}

#[test]
fn cpu_needs_a_delegated_group() {
    let limits = Limits { cpu: Some(0.5), ..Limits::default() };
    let possible = crate::delegation::Delegation::find();
    match limits.check() {
        Ok(()) => drop(possible.unwrap()),
        Err(error) => {
            let reason = possible.unwrap_err();
            let start = format!("cannot enforce cpu = 0.5: {reason}; remove this limit, or ");
            assert!(error.to_string().starts_with(&start), "{error}");
        }
    }
}

#[test]
fn second_thread_is_refused() {
    let limits = Limits { sandbox: Sandbox::Files, ..Limits::default() };
    // This thread waits for the second.
    let error = std::thread::spawn(move || limits.apply(&[])).join().unwrap().unwrap_err();
    let error = error.to_string();
    assert!(error.contains("threads run, and only one may"), "{error}");
}
