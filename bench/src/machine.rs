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
    pub fn look() -> Self {
        let said = |program: &str, arguments: &[&str]| {
            first_line(program, arguments).unwrap_or_else(|| "not there".into())
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
            ("machine", if virtual_one { "virtual" } else { "of metal" }.into()),
            ("memory", format!("{gib:.1} GiB")),
            ("kernel", said("uname", &["-sr"])),
            ("commit", said("git", &["describe", "--always", "--dirty"])),
            ("compiler", said("rustc", &["--version"])),
            ("Redis", said("redis-server", &["--version"])),
            ("Valkey", said("valkey-server", &["--version"])),
            ("generator", said("redis-benchmark", &["--version"])),
            ("Python", said("python3", &["--version"])),
        ];
        let facts = facts.map(|(name, what)| (name.to_owned(), what)).to_vec();
        Self { day: said("date", &["-u", "+%Y-%m-%d"]), facts }
    }
}
