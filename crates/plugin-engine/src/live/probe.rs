//! Checks a library in a throwaway process.
//!
//! Opening a library may have any effect, so a child process of the host opens it first. The
//! child is the host's own program: it opens the file, compares its layout, reads its manifest and
//! makes a trial instance. The report comes back in a file of its own: neither the library's output
//! nor the child's exit status can be trusted. The report itself is checked too.

use std::{
    fs,
    io::{self, Read, Write},
    path::Path,
    process::{Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use platform::{Group, Terminal};
use telemetry::log_throttle::LineBudget;
use tempfile::TempDir;

use super::{
    host_services::PluginServices,
    library::{self, Layout, Library},
    manifest::Manifest,
    probe_report,
};
use crate::load_error::Refusal;

/// Interval at which the child's end is polled.
const POLL: Duration = Duration::from_micros(500);

/// The stack of the thread that judges a library, in bytes: the common size of a main thread.
const STACK: usize = 8 << 20;

/// Probes a library, which should be a private copy: its content must not change before it is
/// loaded. Ends early if `give_up` returns true.
///
/// # Errors
/// The reason for which the library must not be loaded.
pub fn probe(
    file: &Path,
    timeout: Duration,
    give_up: &dyn Fn() -> bool,
) -> Result<Manifest, Refusal> {
    let failed = |operation: &'static str| {
        move |error: std::io::Error| Refusal::probe_failed(operation, &error)
    };
    let program = platform::own_program().map_err(failed("find the host's program"))?;
    let work_dir = WorkDir(tempfile::tempdir().map_err(failed("make a directory for the probe"))?);
    let report = work_dir.0.path().join("report.json");
    let mut command = Command::new(program);
    command
        .arg("probe")
        .arg(file)
        .arg(&report)
        .current_dir(work_dir.0.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let group = Group::spawn(&mut command, Terminal::None).map_err(failed("start the probe"))?;
    let mut child = Killed(group);
    if let Some(mut stdin) = child.0.child.stdin.take() {
        // If it has ended already, its exit status decides.
        let _ = stdin.write_all(b"\n");
    }
    let status = wait(child, timeout, give_up)?;
    let died = |when| Err(Refusal::Died { how: describe(status, when) });
    match probe_report::read(&report) {
        // It ended abnormally after its report: the library would end the host in the same way.
        Some(Ok(_)) if !status.success() => died("after it was unloaded"),
        Some(judged) => judged,
        None if probe_report::is_drafted(&report) => died("when it was unloaded"),
        None => died("before it was judged"),
    }
}

/// Runs the child's side of a probe. Returns true if the report was written.
#[must_use]
pub fn run_child(file: &Path, report: &Path) -> bool {
    platform::die_with_parent();
    // The parent writes a byte once it can end this process. EOF means that the host has died.
    if !matches!(io::stdin().read(&mut [0]), Ok(1)) {
        return false;
    }
    library::disable_crash_dialogs();
    // On a thread of its own, as in the host: its thread-locals keep the library mapped, so
    // closing the library unloads it only after that thread has ended.
    let judged = thread::scope(|scope| {
        let work = || {
            let (judged, library) = match judge(file, report) {
                Ok((manifest, library)) => (Ok(manifest), Some(library)),
                Err(refusal) => (Err(refusal), None),
            };
            (probe_report::draft(report, &judged).is_ok(), library)
        };
        let thread = thread::Builder::new().name("judge".into()).stack_size(STACK);
        thread.spawn_scoped(scope, work).ok()?.join().ok()
    });
    let Some((true, library)) = judged else { return false };
    // Its destructors run here. The report counts only if this process survives them.
    drop(library);
    probe_report::publish(report).is_ok()
}

/// Opens a library, and makes and drops a trial instance.
fn judge(file: &Path, report: &Path) -> Result<(Manifest, Library), Refusal> {
    let library = Library::open(file, Layout::Check)?;
    let manifest = library.manifest();
    manifest.check()?;
    let services = PluginServices {
        name: manifest.name.clone(),
        // For the trial only: it is removed together with the report.
        data_dir: report.with_file_name("data"),
        started: Instant::now(),
        lines: LineBudget::default(),
    };
    let live = library.create(services)?;
    live.stop();
    // The layout check has left pointers into the library in this process. Nothing uses them
    // later: no other library is checked here, and the process ends once this one is closed.
    Ok((manifest, live.into_library()?))
}

/// Waits for the child; kills it at the deadline, or if `give_up` returns true.
fn wait(
    mut child: Killed,
    timeout: Duration,
    give_up: &dyn Fn() -> bool,
) -> Result<ExitStatus, Refusal> {
    let failed = |error| Refusal::probe_failed("wait for the probe", &error);
    let observer = child.0.observer().map_err(failed)?;
    let deadline = Instant::now() + timeout;
    loop {
        // Processes that it has started are killed before its number is free.
        match child.0.reap(&observer) {
            Ok(Some(status)) => return Ok(status),
            Ok(None) if give_up() => return Err(Refusal::Stopping),
            Ok(None) if Instant::now() < deadline => thread::sleep(POLL),
            Ok(None) => {
                let millis = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
                return Err(Refusal::TimedOut { millis });
            }
            Err(error) => return Err(failed(error)),
        }
    }
}

/// A child that is killed when this drops.
struct Killed(Group);

impl Drop for Killed {
    fn drop(&mut self) {
        // Processes that it has started are killed too.
        self.0.kill();
    }
}

/// The working directory of a probe, removed when this drops.
struct WorkDir(TempDir);

impl Drop for WorkDir {
    fn drop(&mut self) {
        // On Windows a process that is about to end keeps its directory in use. If the directory
        // remains, the system cleans it up.
        let _ = platform::retry_while_in_use(|| fs::remove_dir_all(self.0.path()));
    }
}

/// Describes how and when a child has ended.
#[must_use]
pub fn describe(status: ExitStatus, when: &str) -> String {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return format!("it crashed with signal {signal} {when}");
    }
    match status.code() {
        // <https://learn.microsoft.com/openspecs/windows_protocols/ms-erref/>: the NTSTATUS of an
        // error, or of a warning such as a breakpoint.
        Some(code) if cfg!(windows) && code.cast_unsigned() >= 0x8000_0000 => {
            format!("it crashed with exception {code:#x} {when}")
        }
        Some(code) => format!("it exited with status {code} {when}"),
        None => format!("it ended {when}"),
    }
}

#[cfg(all(test, windows))]
mod tests {
    use std::os::windows::fs::OpenOptionsExt;

    use super::*;

    #[test]
    fn copy_in_use_is_not_blamed_on_library() {
        let temp = tempfile::tempdir().unwrap();
        let (file, report) = (temp.path().join("x.1.dll"), temp.path().join("report.json"));
        fs::write(&file, b"no library").unwrap();
        let held = fs::File::options().read(true).share_mode(0).open(&file).unwrap();
        let judge = || judge(&file, &report).map(|_| ());
        assert_eq!(judge(), Err(Refusal::InUse));
        drop(held);
        assert!(matches!(judge(), Err(Refusal::NotALibrary { .. })));
    }
}
