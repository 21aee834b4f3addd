//! Facts about a process, and ways to end it.

use std::{
    process::{self, Child},
    sync::OnceLock,
    time::{SystemTime, UNIX_EPOCH},
};

/// Sends SIGTERM to a child.
///
/// # Panics
/// The child has ended.
#[cfg(unix)]
pub fn terminate(child: &Child) {
    signal(child, rustix::process::Signal::TERM);
}

/// Sends SIGINT to a child, as Ctrl-C at the terminal does.
///
/// # Panics
/// The child has ended.
#[cfg(unix)]
pub fn interrupt(child: &Child) {
    signal(child, rustix::process::Signal::INT);
}

/// Sends SIGHUP to a child, as a closed terminal does.
///
/// # Panics
/// The child has ended.
#[cfg(unix)]
pub fn hang_up(child: &Child) {
    signal(child, rustix::process::Signal::HUP);
}

/// Sends SIGABRT to a child, as a service manager does when the child hangs.
///
/// # Panics
/// The child has ended.
#[cfg(unix)]
pub fn abort(child: &Child) {
    signal(child, rustix::process::Signal::ABORT);
}

#[cfg(unix)]
fn signal(child: &Child, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, signal).expect("the child is there");
}

/// Closes a child's console: the child then has 5 s to end.
///
/// # Panics
/// The child has ended.
#[cfg(windows)]
pub fn terminate(child: &Child) {
    tell(child, CLOSE);
}

/// Types Ctrl-C at a child's console.
///
/// # Panics
/// The child has ended, or has no console of its own.
#[cfg(windows)]
pub fn interrupt(child: &Child) {
    tell(child, INTERRUPT);
}

#[cfg(windows)]
fn tell(child: &Child, source: &str) {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let program = folder.path().join("tell.exe");
    std::fs::write(&program, crate::files::compile_program(source)).expect("room for a program");
    let mut tell = std::process::Command::new(program);
    let status = tell.arg(child.id().to_string()).status().expect("it can be started");
    assert!(status.success(), "the child cannot be notified: {status}");
}

/// Types Ctrl-C at the console of another process.
#[cfg(windows)]
const INTERRUPT: &str = r"
#include <stdlib.h>
#include <windows.h>
int main(int count, char **arguments) {
    FreeConsole();
    if (!AttachConsole(atoi(arguments[1]))) return 10;
    SetConsoleCtrlHandler(NULL, TRUE);
    return GenerateConsoleCtrlEvent(CTRL_C_EVENT, 0) ? 0 : 11;
}
";

/// Runs in another process the handler that Windows runs when a console is closed, and kills the
/// process as Windows does: when the handler returns, or after 5 s. Closing the window is no
/// alternative: Wine 8 then just ends the process.
#[cfg(windows)]
const CLOSE: &str = r#"
#include <stdlib.h>
#include <windows.h>
int main(int count, char **arguments) {
    HANDLE process = OpenProcess(PROCESS_ALL_ACCESS, FALSE, atoi(arguments[1]));
    HMODULE library = GetModuleHandleA("kernelbase.dll");
    LPTHREAD_START_ROUTINE routine = (void *)GetProcAddress(library, "CtrlRoutine");
    if (!process || !routine) return 10;
    HANDLE handler = CreateRemoteThread(process, NULL, 0, routine, (void *)CTRL_CLOSE_EVENT, 0, NULL);
    if (!handler) return 11;
    DWORD returned = 0;
    DWORD waited = WaitForSingleObject(handler, 5000);
    GetExitCodeThread(handler, &returned);
    /* 1 is what the routine returns: of a process that has ended it is the process's status. */
    if (waited == WAIT_TIMEOUT || returned == 1) TerminateProcess(process, STATUS_CONTROL_C_EXIT);
    return 0;
}
"#;

/// Returns the names of a process's threads; none where the system does not list them.
#[must_use]
pub fn threads(pid: u32) -> Vec<String> {
    // Under Wine there is a `/proc`, but for native processes.
    if !cfg!(target_os = "linux") {
        return Vec::new();
    }
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let name = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("comm")).ok();
    tasks.flatten().filter_map(name).map(|name| name.trim_end().to_owned()).collect()
}

/// Returns how many children of a process still run; none on macOS.
#[cfg(unix)]
#[must_use]
pub fn children(pid: u32) -> usize {
    child_ids(pid).len()
}

/// Returns the children of a process that still run; none on macOS.
#[cfg(unix)]
#[must_use]
pub fn child_ids(pid: u32) -> Vec<u32> {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let children = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("children"));
    let lists = tasks.flatten().filter_map(|task| children(task).ok());
    let ids = lists.flat_map(|list| list.split(' ').map(str::parse).collect::<Vec<_>>());
    ids.flatten().collect()
}

/// Returns the processes that a process has started, and those that they have started.
#[cfg(target_os = "linux")]
#[must_use]
pub fn descendants(pid: u32) -> Vec<u32> {
    let mut found = child_ids(pid);
    let mut next = 0;
    while let Some(child) = found.get(next) {
        found.extend(child_ids(*child));
        next += 1;
    }
    found
}

/// Returns whether a process runs. One that has ended, and that its parent has not waited for, does
/// not.
#[cfg(target_os = "linux")]
#[must_use]
pub fn is_running(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// Returns the session of a process: 0 if its leader is outside of this PID namespace, for which
/// `rustix::process::getsid` panics; `None` if there is no such process.
#[cfg(target_os = "linux")]
#[must_use]
pub fn session(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Behind the name in parentheses: state, parent, group, session.
    let (_, rest) = stat.rsplit_once(") ")?;
    rest.split(' ').nth(3)?.parse().ok()
}

/// Kills a process, as the system does when it has no memory left.
///
/// # Panics
/// There is no such process.
#[cfg(unix)]
pub fn kill(pid: u32) {
    use rustix::process::{Pid, Signal, kill_process};
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process id");
    kill_process(pid, Signal::KILL).expect("the process is there");
}

/// Returns how many files, sockets included, a process has open.
#[cfg(target_os = "linux")]
#[must_use]
pub fn open_files(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// Resumes a stopped process, if it exists.
#[cfg(target_os = "linux")]
pub(crate) fn resume(pid: u32) {
    use rustix::process::{Pid, Signal, kill_process};
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // A process that has ended needs nothing.
        let _ = kill_process(pid, Signal::CONT);
    }
}

/// Returns how many children of a process still run.
#[cfg(windows)]
#[must_use]
pub fn children(pid: u32) -> usize {
    let mut system = sysinfo::System::new().expect("the system tells of processes");
    system.refresh_processes(sysinfo::ProcessesToUpdate::All, true);
    let parent = Some(sysinfo::Pid::from_u32(pid));
    system.processes().values().filter(|process| process.parent() == parent).count()
}

/// Returns the system's numbers of a process's threads.
#[cfg(target_os = "linux")]
#[must_use]
pub fn thread_ids(pid: u32) -> Vec<u32> {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    tasks.flatten().filter_map(|task| task.file_name().to_str()?.parse().ok()).collect()
}

/// Returns the scheduling policies of a process's threads with the threads' names; 3 is
/// `SCHED_BATCH`.
#[cfg(target_os = "linux")]
#[must_use]
pub fn scheduling(pid: u32) -> Vec<(String, u32)> {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let policy = |task: std::fs::DirEntry| {
        let stat = std::fs::read_to_string(task.path().join("stat")).ok()?;
        let (start, rest) = stat.rsplit_once(") ")?;
        // Field 41 of proc_pid_stat(5); the first field here is the third there.
        let policy = rest.split(' ').nth(41 - 3)?.parse().ok()?;
        Some((start.split_once('(')?.1.to_owned(), policy))
    };
    tasks.flatten().filter_map(policy).collect()
}

/// Returns how many threads serve a session.
#[cfg(target_os = "linux")]
#[must_use]
pub fn session_threads(pid: u32) -> usize {
    threads(pid).iter().filter(|name| name.starts_with("session ")).count()
}

/// Returns whether this many sessions have a thread, if they do not share threads.
#[cfg(target_os = "linux")]
#[must_use]
pub fn has_session_threads(pid: u32, count: usize) -> bool {
    crate::setup::are_threads_shared() || session_threads(pid) == count
}

/// Returns how many sockets a process has open.
#[cfg(target_os = "linux")]
#[must_use]
pub fn sockets(pid: u32) -> usize {
    let Ok(files) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return 0 };
    let targets = files.flatten().filter_map(|file| std::fs::read_link(file.path()).ok());
    targets.filter(|target| target.to_string_lossy().starts_with("socket:")).count()
}

/// Returns a number of this process that other test runs are unlikely to have. The process id is
/// not enough: a run in another PID namespace may have the same one.
#[must_use]
pub fn own_number() -> u32 {
    static NUMBER: OnceLock<u32> = OnceLock::new();
    *NUMBER.get_or_init(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        process::id().wrapping_add(now.subsec_nanos())
    })
}

/// Returns an unused port that the system does not hand out by itself.
///
/// # Panics
/// No port is free.
#[must_use]
pub fn unused_port() -> u16 {
    use std::{
        net::{Ipv4Addr, TcpStream},
        sync::atomic::{AtomicU16, Ordering},
    };
    // Below the ranges of Linux, Windows and macOS; concurrent test runs start at different places.
    const FIRST: u16 = 10_000;
    const COUNT: u16 = 20_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(own_number() % u32::from(COUNT)).expect("it is below the count");
    (0..COUNT)
        .map(|_| FIRST + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT)
        // Checked without binding: a process that another test starts just then would inherit the
        // socket.
        .find(|port| TcpStream::connect((Ipv4Addr::LOCALHOST, *port)).is_err())
        .expect("a port is free")
}
