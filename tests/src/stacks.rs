//! The stacks of the processes that a test has started. They show, for a long wait, whether the host
//! or the machine stands still.

use std::{
    fmt::Write,
    fs,
    process::{Command, id},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use crate::system;

/// Time limit of one dump.
const TIME: Duration = Duration::from_secs(30);

/// Maximum number of dumps of one test process: on a slow machine many waits are long.
const DUMPS: usize = 5;

/// The state letter of a process that a signal has stopped.
const STOPPED: char = 'T';

/// Returns the states of all processes that this one has started and that still run and, where there
/// is gdb, the stacks of those that this thread has started: gdb stops a process for seconds, which
/// another test would take for a fault. `None` while another thread does the same, and after
/// [`DUMPS`] dumps.
pub(crate) fn dump() -> Option<String> {
    static MADE: AtomicUsize = AtomicUsize::new(0);
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.try_lock().ok()?;
    if MADE.fetch_add(1, Ordering::Relaxed) >= DUMPS {
        return None;
    }
    let own = own_child_ids();
    let children = system::child_ids(id()).into_iter();
    let mut processes: Vec<_> = children.map(|pid| (pid, own.contains(&pid))).collect();
    let end = Instant::now() + TIME;
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let mut dump = format!("--- load: {}\n", load.trim_end());
    while let Some((pid, is_own)) = processes.pop() {
        // Before gdb starts, since gdb stops the process.
        dump.push_str(&state(pid));
        processes.extend(system::child_ids(pid).into_iter().map(|child| (child, is_own)));
        let left = end.saturating_duration_since(Instant::now());
        if is_own && !left.is_zero() && run_state(pid) != Some('Z') {
            dump.push_str(&stacks(pid, left));
        }
    }
    Some(dump)
}

/// Returns the processes that this thread has started.
fn own_child_ids() -> Vec<u32> {
    let children = fs::read_to_string("/proc/thread-self/children").unwrap_or_default();
    children.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// Returns a process's command line and state, and its threads: the kernel function in which each
/// waits, and how long it has waited for a processor.
fn state(pid: u32) -> String {
    let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
    let (command, status) = (read("cmdline").replace('\0', " "), read("status"));
    let state = status.lines().find(|line| line.starts_with("State:")).unwrap_or("State: ended");
    let mut text = format!("--- process {pid}: {command}\n{state}\n");
    for thread in system::thread_ids(pid) {
        let read = |name| read(&format!("task/{thread}/{name}"));
        let (status, waits, times) = (read("status"), read("wchan"), read("schedstat"));
        let of = |field| status.lines().find_map(|line| line.strip_prefix(field)).unwrap_or("");
        let (name, state) = (of("Name:\t"), of("State:\t"));
        let mut times =
            times.split(' ').map(|nanos| Duration::from_nanos(nanos.parse().unwrap_or(0)));
        let mut time = || times.next().unwrap_or_default();
        let (ran, starved) = (time(), time());
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "thread {thread} {name}: {state} {waits}, ran {ran:.1?}, waited {starved:.1?} to run"
        );
    }
    text
}

/// Returns the stacks of a process's threads, or the reason why gdb shows none.
fn stacks(pid: u32, left: Duration) -> String {
    let before = run_state(pid);
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", &left.as_secs().max(1).to_string(), "gdb"]);
    command.args(["-nx", "-batch", "-p", &pid.to_string(), "-ex", "thread apply all bt"]);
    // Else gdb would ask a server for missing symbols.
    command.env_remove("DEBUGINFOD_URLS");
    let text = match command.output() {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            if output.status.success() { said } else { format!("{said}gdb: {}\n", output.status) }
        }
        Err(error) => format!("gdb cannot be started: {error}\n"),
    };
    if before != Some(STOPPED) && run_state(pid) == Some(STOPPED) {
        // A gdb that timed out leaves the process stopped.
        system::resume(pid);
    }
    text
}

/// Returns a process's state, as a letter of proc_pid_stat(5).
fn run_state(pid: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

#[cfg(test)]
mod tests {
    use std::{sync::Mutex, thread, time::Duration};

    use super::{STOPPED, own_child_ids, run_state};
    use crate::{Host, LIMIT, wait::WaitTimer, wait_until};

    static SHOWN: Mutex<String> = Mutex::new(String::new());

    #[test]
    #[cfg_attr(not(all(tool = "gdb", right = "root")), ignore = "needs gdb and root")]
    fn a_wait_that_lasts_shows_stopped_hosts_stacks() {
        let mut host = Host::start(&[]);
        let show = |text: &str| SHOWN.lock().unwrap().push_str(text);
        let shown = || SHOWN.lock().unwrap().clone();
        let pid = host.pid();
        host.while_stopped(|| {
            wait_until("it is stopped", LIMIT, || run_state(pid) == Some(STOPPED));
            let watch = WaitTimer::showing_after(Duration::ZERO, show);
            watch.wait_for("it is shown", LIMIT, || (!shown().is_empty()).then_some(()));
        });
        let shown = shown();
        assert!(shown.contains("T (stopped)"), "{shown}");
        // Its first thread waits in a function of the host for the end.
        assert!(shown.contains(" dropin_host::"), "{shown}");
        assert_eq!(host.ks(), Some(0), "gdb has let it go");
    }

    #[test]
    fn another_tests_host_is_not_stopped() {
        let host = Host::start(&[]);
        assert!(own_child_ids().contains(&host.pid()));
        let others = thread::scope(|scope| scope.spawn(own_child_ids).join().unwrap());
        assert!(!others.contains(&host.pid()), "{others:?}");
    }
}
