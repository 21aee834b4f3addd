//! The machine and the versions that were measured.

use std::{fs, thread, time::Instant};

use serde::{Deserialize, Serialize};

use crate::{process::number, program::first_line, statistics::short};

#[path = "../burn.rs"]
mod burn;

/// The work of one turn of a processor, in microseconds.
const WORK: u64 = 20_000;

/// Number of turns, of which the best counts: others may have the machine for a while.
const TURNS: usize = 5;

/// The machine and the versions that were measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// The day, in UTC.
    pub day: String,
    /// Facts: name and value.
    pub facts: Vec<(String, String)>,
}

impl Machine {
    /// Describes this machine now.
    pub fn current() -> Self {
        let output_line = |program: &str, arguments: &[&str]| {
            first_line(program, arguments).unwrap_or_else(|| "missing".into())
        };
        let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpu.lines().find_map(|line| line.strip_prefix("model name"));
        let model = model.map_or("?", |rest| rest.trim_start_matches([' ', '\t', ':']));
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let gib = number(&memory, "MemTotal:") as f64 / f64::from(1 << 20);
        let virtual_one = cpu.contains("hypervisor");
        let facts = [
            ("processor", format!("{model}, {cores} of them")),
            ("all at once", format!("{} times the work of one", short(speedup(cores)))),
            ("machine", if virtual_one { "virtual" } else { "physical" }.into()),
            ("memory", format!("{gib:.1} GiB")),
            ("kernel", output_line("uname", &["-sr"])),
            ("commit", output_line("git", &["describe", "--always", "--dirty"])),
            ("compiler", output_line("rustc", &["--version"])),
            ("Redis", output_line("redis-server", &["--version"])),
            ("Valkey", output_line("valkey-server", &["--version"])),
            ("generator", output_line("redis-benchmark", &["--version"])),
            ("Python", output_line("python3", &["--version"])),
        ];
        let facts = facts.map(|(name, what)| (name.to_owned(), what)).to_vec();
        Self { day: output_line("date", &["-u", "+%Y-%m-%d"]), facts }
    }
}

/// Returns how many times the work of one processor all do at once. Two that share a core, or that
/// a virtual machine shares with others, do less than twice the work.
fn speedup(cores: usize) -> f64 {
    let time = |threads: usize| {
        let started = Instant::now();
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| burn::burn(WORK));
            }
        });
        started.elapsed().as_secs_f64()
    };
    let best = |threads| (0..TURNS).map(|_| time(threads)).fold(f64::MAX, f64::min);
    cores as f64 * best(1) / best(cores)
}
