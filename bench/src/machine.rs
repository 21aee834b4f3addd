//! The machine and the versions that were measured.

use std::fs;

use serde::{Deserialize, Serialize};

use crate::{process::number, program::first_line};

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
