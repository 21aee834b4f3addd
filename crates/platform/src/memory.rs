//! Measures the resources of this process and the machine's memory.

use std::fs;

use sysinfo::{MemoryRefreshKind, ProcessRefreshKind, ProcessesToUpdate, RefreshKind, System};

/// The resources of this process; values that the system does not report are `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResourceUsage {
    /// Resident memory, in bytes.
    pub resident: Option<u64>,
    /// The number of threads.
    pub threads: Option<u64>,
    /// The number of open files, sockets included.
    pub files: Option<u64>,
}

/// Returns the present resources of this process; only Linux reports them.
#[must_use]
pub fn usage() -> ResourceUsage {
    let status = status("self");
    // One of them is the listing itself.
    let files =
        fs::read_dir("/proc/self/fd").ok().map(|all| (all.count() as u64).saturating_sub(1));
    ResourceUsage { resident: resident(&status), threads: number(&status, "Threads"), files }
}

/// Returns the resident memory of the process with this number, in bytes; only Linux reports it.
#[must_use]
pub fn resident_of(pid: u32) -> Option<u64> {
    // Not its other resources: listing a process's open files takes long if there are many.
    resident(&status(&pid.to_string()))
}

/// Returns memory that this process has freed to the system, as far as its allocator keeps any;
/// only glibc does so for long. Takes some milliseconds for each 100 MiB.
pub fn release_freed_memory() {
    // The C library keeps what other threads than the first have freed:
    // <https://man7.org/linux/man-pages/man3/malloc_trim.3.html>
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it takes no pointer, may be called by any thread, and touches free memory alone.
    #[allow(unsafe_code, reason = "no library offers it")]
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Has threads that start later share this number of the allocator's arenas, unless the user has set
/// `MALLOC_ARENA_MAX`; only glibc has arenas. Each keeps what its threads have freed.
pub fn bound_arenas(count: usize) {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    if std::env::var_os("MALLOC_ARENA_MAX").is_none()
        && let Ok(count) = count.try_into()
    {
        // A failure leaves the usual bound: <https://man7.org/linux/man-pages/man3/mallopt.3.html>
        // SAFETY: it takes two numbers, and is called before the threads that it is for exist.
        #[allow(unsafe_code, reason = "no library offers it")]
        unsafe {
            libc::mallopt(libc::M_ARENA_MAX, count);
        }
    }
    let _ = count;
}

/// Returns the number of threads of the whole system; 0 where only Linux reports it.
#[must_use]
pub fn scheduled() -> u64 {
    // <https://man7.org/linux/man-pages/man5/proc_loadavg.5.html>: 0.00 0.01 0.05 1/123 4567.
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let total = load.split_whitespace().nth(3).and_then(|counts| counts.split('/').nth(1));
    total.and_then(|total| total.parse().ok()).unwrap_or(0)
}

/// Returns the number of processes in the group with this number; only Linux reports it.
#[must_use]
pub fn group_size(group: u32) -> Option<u64> {
    let mut size = 0;
    for entry in fs::read_dir("/proc").ok()?.flatten() {
        let is_process = entry.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit);
        if !is_process {
            continue;
        }
        // The name in parentheses may have spaces; behind it: state, parent, group.
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let after = stat.rsplit_once(')').map(|(_, after)| after).unwrap_or_default();
        let found = after.split_whitespace().nth(2).and_then(|group| group.parse::<u32>().ok());
        size += u64::from(found == Some(group));
    }
    Some(size)
}

fn status(process: &str) -> String {
    fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default()
}

fn resident(status: &str) -> Option<u64> {
    number(status, "VmRSS").map(|kibibytes| kibibytes * 1024)
}

fn number(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Returns the machine's memory in bytes, or the limit of this process's control group if that is
/// lower. Returns `None` if the system does not report it.
#[must_use]
pub fn total_memory() -> Option<u64> {
    let memory = MemoryRefreshKind::nothing().with_ram();
    let mut system = System::new_with_specifics(RefreshKind::nothing().with_memory(memory)).ok()?;
    let machine = Some(system.total_memory()).filter(|bytes| *bytes > 0);
    let group = sysinfo::get_current_pid().ok().and_then(|own| {
        let (only, nothing) = (ProcessesToUpdate::Some(&[own]), ProcessRefreshKind::nothing());
        system.refresh_processes_specifics(only, false, nothing);
        system.process(own)?.cgroup_limits().map(|limits| limits.total_memory)
    });
    machine.into_iter().chain(group.filter(|bytes| *bytes > 0)).min()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::{os::unix::process::CommandExt, process::Command};

    use super::*;

    #[test]
    fn the_machine_has_memory() {
        assert!((1 << 20..1 << 50).contains(&total_memory().unwrap()));
    }

    #[test]
    fn processes_of_a_group_are_counted() {
        // Not the own group: its leader may be outside of this PID namespace.
        let mut leader = Command::new("sleep").arg("60").process_group(0).spawn().unwrap();
        assert_eq!(group_size(leader.id()), Some(1));
        leader.kill().unwrap();
        leader.wait().unwrap();
        assert_eq!(group_size(leader.id()), Some(0));
        assert!(scheduled() > 1);
    }

    #[test]
    fn memory_of_another_process_is_known() {
        let own = resident_of(std::process::id()).unwrap();
        assert!(own > 500_000 && own < 1 << 40, "{own}");
        assert_eq!(resident_of(u32::MAX), None);
    }

    #[test]
    fn a_process_takes_some_of_everything() {
        let ResourceUsage { resident, threads, files } = usage();
        assert!(resident.unwrap() > 500_000 && resident.unwrap() < 1 << 40);
        assert!((1..100_000).contains(&threads.unwrap()));
        assert!((3..100_000).contains(&files.unwrap()));
    }
}
