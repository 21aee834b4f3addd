//! The child's part of the tests.

use std::{
    env,
    fs::{self, File},
    io::{self, IoSlice},
    net::{Ipv4Addr, TcpListener},
    os::unix::{
        fs::symlink,
        net::{UnixDatagram, UnixStream},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

use nix::{sys::uio, unistd};
use rustix::{
    fs::{Mode, OFlags},
    process::{self, Pid, Resource, Rlimit, Signal},
};

use super::{APPLIED, Applied, FOLDER, PLACE, Place, VICTIM, limits};
use crate::{Sandbox, syscalls};

/// The arguments that make this program do [`attempts`] alone.
pub(super) const ARGUMENTS: [&str; 4] =
    ["--ignored", "--exact", "tests::attempts::attempts", "--nocapture"];

#[test]
#[ignore = "a part of another"]
fn attempts() {
    let Some(folder) = env::var_os(FOLDER).map(PathBuf::from) else { return };
    if let Ok(applied) = env::var(APPLIED) {
        apply(&applied, &folder.join("inside"));
    }
    match env::var(PLACE).unwrap_or_default() {
        place if place == format!("{:?}", Place::AfterExec) => {
            let script = r#"echo x 2>&- >"$DROPIN_TEST_FOLDER/outside/shell"; "$0" "$@""#;
            let failed = Command::new("/bin/sh")
                .args(["-c", script])
                .arg(env::current_exe().unwrap())
                .args(ARGUMENTS)
                .env_remove(APPLIED)
                .env_remove(PLACE)
                .exec();
            panic!("{failed}");
        }
        place if place == format!("{:?}", Place::LaterThread) => {
            thread::spawn(move || attempt_all(&folder)).join().unwrap();
        }
        _ => attempt_all(&folder),
    }
}

fn apply(applied: &str, writable: &Path) {
    for sandbox in [Sandbox::Off, Sandbox::Files, Sandbox::Strict] {
        if applied == format!("{:?}", Applied::Limits(sandbox)) {
            limits(sandbox).apply_to_thread(&[writable.into()]).unwrap();
        }
    }
    if applied == format!("{:?}", Applied::FilterForOldKernel) {
        let gaps = syscalls::Gaps { signals: true, truncation: true };
        syscalls::restrict(false, gaps).unwrap();
    }
}

fn attempt_all(folder: &Path) {
    let (inside, outside) = (folder.join("inside"), folder.join("outside"));
    attempt_files(&inside, &outside);
    attempt_network();
    attempt_others();
    attempt_resources();
}

fn attempt_files(inside: &Path, outside: &Path) {
    let at = |name: &str| outside.join(name);
    let open = |path: PathBuf| File::options().write(true).open(path);
    report("read-outside", fs::read(at("read")));
    report("write-outside", open(at("written")));
    report("create-outside", File::create(at("created")));
    report("rename-outside", fs::rename(at("renamed"), at("renamed-again")));
    report("remove-outside", fs::remove_file(at("removed")));
    report("make-folder-outside", fs::create_dir(at("folder")));
    report("remove-folder-outside", fs::remove_dir(at("empty")));
    report("symlink-outside", symlink("read", at("symlink")));
    report("truncate-outside", unistd::truncate(&at("cut"), 0));
    let flags = OFlags::RDONLY | OFlags::TRUNC;
    report("open-and-truncate-outside", rustix::fs::open(at("cut-open"), flags, Mode::empty()));
    report("link-in", fs::hard_link(at("linked"), inside.join("linked")));
    report("rename-in", fs::rename(at("moved"), inside.join("moved")));
    report("create-inside", fs::write(inside.join("created"), "x"));
    report("rename-inside", fs::rename(inside.join("created"), inside.join("renamed")));
    report("rename-out", fs::rename(inside.join("renamed"), at("renamed-out")));
    report("create-inside", fs::write(inside.join("second"), "x"));
    report("remove-inside", fs::remove_file(inside.join("second")));
    report("write-null", open("/dev/null".into()));
}

fn attempt_network() {
    report("tcp", TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
    report("local-socket", UnixDatagram::unbound());
    report("socketpair", UnixStream::pair());
    report("datagram-pair", UnixDatagram::pair());
}

fn attempt_others() {
    let raw: i32 = env::var(VICTIM).unwrap().parse().unwrap();
    let victim = Pid::from_raw(raw).unwrap();
    // Its default action is to do nothing.
    let signal = Signal::WINCH;
    report("signal-self", process::kill_process(process::getpid(), signal));
    report("signal-group", process::kill_current_process_group(signal));
    report("signal-other", process::kill_process(victim, signal));
    let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
    report("signal-child", child.kill());
    drop(child.stdin.take());
    child.wait().unwrap();
    let limit = process::getrlimit(Resource::Core);
    report("limit-other", process::prlimit(Some(victim), Resource::Core, limit));
    let traced = nix::unistd::Pid::from_raw(raw);
    report("poke-other", {
        let remote = uio::RemoteIoVec { base: 8, len: 1 };
        uio::process_vm_writev(traced, &[IoSlice::new(b"x")], &[remote])
    });
    report("open-memory-of-other", File::open(format!("/proc/{raw}/mem")));
    let memory = format!("/proc/{raw}/mem");
    report("write-memory-of-other", File::options().write(true).open(memory));
    report("trace-other", nix::sys::ptrace::attach(traced));
}

fn attempt_resources() {
    let mut bytes = Vec::<u8>::new();
    let reserved = bytes.try_reserve_exact(512 << 20);
    report("much-memory", reserved.map_err(|_| io::Error::from_raw_os_error(libc::ENOMEM)));
    let files: io::Result<Vec<_>> = (0..200).map(|_| File::open("/dev/null")).collect();
    report("many-files", files);
    let more = process::getrlimit(Resource::Nofile).current.map(|files| files + 1);
    let raised = Rlimit { current: more, maximum: more };
    report("raise-limit", process::setrlimit(Resource::Nofile, raised));
}

fn report<T, E: Into<io::Error>>(name: &str, result: Result<T, E>) {
    let outcome = match result.map_err(Into::into) {
        Ok(_) => "ok".into(),
        Err(error) => match error.raw_os_error() {
            Some(libc::EPERM) => "EPERM".into(),
            Some(libc::EACCES) => "EACCES".into(),
            Some(libc::EXDEV) => "EXDEV".into(),
            Some(libc::ENOMEM) => "ENOMEM".into(),
            Some(libc::EMFILE) => "EMFILE".into(),
            _ => error.to_string(),
        },
    };
    // A line before it may be the harness's own, without an end.
    println!("\nattempt {name} {outcome}");
}
