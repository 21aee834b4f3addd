//! The system's figures of a process.

use std::{fs, io, path::Path};

use crate::error::{BenchError, failed};

/// The system's clock ticks per second, as user space sees them.
const TICKS: f64 = 100.0;

/// The size of a process at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Size {
    /// Number of threads.
    pub threads: u64,
    /// Resident memory, in KiB.
    pub resident: u64,
}

/// Returns the processor time of all threads of a process so far, in seconds, including threads
/// that have ended.
pub fn cpu(process: u32) -> Result<f64, BenchError> {
    let file = format!("/proc/{process}/stat");
    let stat = fs::read_to_string(&file).map_err(failed("read", &file))?;
    time_at(&stat, 11).ok_or_else(|| BenchError::Program(format!("cannot parse {file}")))
}

/// Returns the processor time of all ended children of this process so far, in seconds.
pub fn cpu_of_ended_children() -> Result<f64, BenchError> {
    const FILE: &str = "/proc/self/stat";
    let stat = fs::read_to_string(FILE).map_err(failed("read", FILE))?;
    time_at(&stat, 13).ok_or_else(|| BenchError::Program(format!("cannot parse {FILE}")))
}

/// Returns the sum of two times of a `stat`, in seconds.
fn time_at(stat: &str, field: usize) -> Option<f64> {
    let mut fields = fields(stat, field)?;
    let ticks = fields.next()?.parse::<f64>().ok()? + fields.next()?.parse::<f64>().ok()?;
    Some(ticks / TICKS)
}

/// Returns the processor time of all these processes so far, in seconds.
pub fn cpu_of(processes: &[u32]) -> Result<f64, BenchError> {
    processes.iter().map(|process| cpu(*process)).sum()
}

/// Returns a process and all that descend from it.
pub fn family(process: u32) -> Vec<u32> {
    let parents = parents().unwrap_or_default();
    let mut family = vec![process];
    let mut looked = 0;
    while let Some(parent) = family.get(looked).copied() {
        let children = parents.iter().filter(|(_, of)| *of == parent).map(|(child, _)| *child);
        family.extend(children);
        looked += 1;
    }
    family
}

/// Returns all processes, each with its parent.
fn parents() -> io::Result<Vec<(u32, u32)>> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let Ok(process) = entry.file_name().to_string_lossy().parse() else { continue };
        // It may have just ended.
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let parent = fields(&stat, 1).and_then(|mut fields| fields.next()?.parse().ok());
        parents.extend(parent.map(|parent| (process, parent)));
    }
    Ok(parents)
}

/// Returns the fields of a process's `stat` behind its name, without the first `skipped` of them.
fn fields(stat: &str, skipped: usize) -> Option<impl Iterator<Item = &str>> {
    // The name, in parentheses, can contain anything.
    let (_, rest) = stat.rsplit_once(')')?;
    Some(rest.split_whitespace().skip(skipped))
}

/// Returns threads and resident memory, at low cost.
pub fn size(process: u32) -> Size {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    Size { threads: number(&status, "Threads:"), resident: number(&status, "VmRSS:") }
}

/// Returns the memory that would be free without this process, in KiB: shared memory counts
/// proportionally.
pub fn proportional_memory(process: u32) -> Result<u64, BenchError> {
    let file = format!("/proc/{process}/smaps_rollup");
    fs::read_to_string(&file).map(|text| number(&text, "Pss:")).map_err(failed("read", &file))
}

/// Returns the memory that the kernel uses for threads and mappings of all processes, in KiB.
pub fn kernel_memory() -> Result<u64, BenchError> {
    let file = Path::new("/proc/meminfo");
    let text = fs::read_to_string(file).map_err(failed("read", file))?;
    Ok(number(&text, "KernelStack:") + number(&text, "PageTables:"))
}

/// Returns how many descriptors a process has registered with epoll.
pub fn epoll_registrations(process: u32) -> Result<usize, BenchError> {
    let folder = format!("/proc/{process}/fdinfo");
    let entries = fs::read_dir(&folder).map_err(failed("read", &folder))?;
    // It may have just closed one.
    let infos = entries.flatten().filter_map(|entry| fs::read_to_string(entry.path()).ok());
    Ok(infos.map(|info| info.lines().filter(|line| line.starts_with("tfd:")).count()).sum())
}

/// Returns the number behind this word at a line's start; 0 where there is none.
pub fn number(text: &str, word: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(word));
    let number = line.and_then(|rest| rest.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead as _, BufReader},
        process::{Command, Stdio},
        time::Instant,
    };

    use super::*;
    use crate::program::Running;

    #[test]
    fn a_process_is_seen_working() {
        let me = std::process::id();
        let (before, started) = (cpu(me).unwrap(), Instant::now());
        while cpu(me).unwrap() - before < 0.05 {
            assert!(started.elapsed().as_secs() < 60);
        }
        let size = size(me);
        assert!(size.threads >= 1 && size.resident > 100, "{size:?}");
        assert!(proportional_memory(me).unwrap() > 100);
        assert!(kernel_memory().unwrap() > 100);
    }

    #[test]
    fn registrations_with_epoll_are_counted() {
        use rustix::event::epoll;
        let me = std::process::id();
        let before = epoll_registrations(me).unwrap();
        let queue = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
        let sockets = [(); 3].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
        for socket in &sockets {
            let data = epoll::EventData::new_u64(0);
            epoll::add(&queue, socket, data, epoll::EventFlags::IN).unwrap();
        }
        assert_eq!(epoll_registrations(me).unwrap(), before + sockets.len());
    }

    #[test]
    fn grandchildren_belong_to_the_family() {
        let script = "sleep 600 & echo $!; wait";
        let mut shell = Command::new("sh");
        shell.args(["-c", script]).stdout(Stdio::piped());
        let mut shell = Running::start(&mut shell).unwrap();
        let mut line = String::new();
        let out = shell.child().stdout.take().unwrap();
        BufReader::new(out).read_line(&mut line).unwrap();
        let sleeper: u32 = line.trim().parse().unwrap();
        let found = family(std::process::id());
        rustix::process::kill_process(
            rustix::process::Pid::from_raw(sleeper as i32).unwrap(),
            rustix::process::Signal::KILL,
        )
        .unwrap();
        assert!(found.contains(&shell.id()) && found.contains(&sleeper), "{found:?}");
        assert!(cpu_of(&[std::process::id(), shell.id()]).is_ok());
    }
}
