//! The system's figures of a process.

use std::{fs, path::Path};

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
    // The name, in parentheses, can contain anything.
    let fields = stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().skip(11).take(2));
    let ticks: Option<f64> = fields.and_then(|mut fields| {
        Some(fields.next()?.parse::<f64>().ok()? + fields.next()?.parse::<f64>().ok()?)
    });
    ticks
        .map(|ticks| ticks / TICKS)
        .ok_or_else(|| BenchError::Program(format!("cannot parse {file}")))
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

/// Returns the number behind this word at a line's start; 0 where there is none.
pub fn number(text: &str, word: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(word));
    let number = line.and_then(|rest| rest.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

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
}
