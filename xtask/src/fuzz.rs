//! Arbitrary input for whatever reads what others have written.

use std::{fs, path::Path, process::Command};

use crate::{TaskError, cargo};

/// What tells that a program is there, and how to get it where it is not.
const NEEDED: [([&str; 2], &str); 2] = [
    (["+nightly", "--version"], "rustup toolchain install nightly --profile minimal"),
    (["fuzz", "--version"], "cargo install cargo-fuzz --locked"),
];

/// The longest input, in bytes: what is found stays small enough to be kept in the corpus.
const MOST: usize = 4000;

/// One input that takes longer than this, in seconds, is a finding. A busy machine may stand still
/// for half a minute.
const TIMEOUT: u32 = 120;

/// How the fuzz targets are run.
#[derive(Clone, Debug, clap::Args)]
pub struct Fuzz {
    /// How long each target is run.
    #[arg(long, default_value_t = 60, value_name = "N")]
    pub seconds: u32,
}

/// Runs every target, each on a copy of its corpus, and tells what came of it. All are run,
/// whatever one of them finds.
///
/// # Errors
/// Where a target has found something, or a program is missing.
pub fn run(fuzz: &Fuzz) -> Result<(), TaskError> {
    for (asked, get) in NEEDED {
        let answer = cargo::of_its_own().args(asked).output();
        if !answer.is_ok_and(|answer| answer.status.success()) {
            return Err(TaskError::Missing(format!("`cargo {}`", asked[0]), get));
        }
    }
    let folder = cargo::root().join("fuzz");
    let failed = |operation, path: &Path| {
        let path = path.to_owned();
        move |error| TaskError::Io(operation, path, error)
    };
    let built = program(&folder, "build").status().map_err(failed("build", &folder))?;
    if !built.success() {
        return Err(TaskError::Failed("cargo fuzz build".into()));
    }
    let listed = program(&folder, "list").output().map_err(failed("list", &folder))?;
    let targets = String::from_utf8_lossy(&listed.stdout).into_owned();
    let mut found = Vec::new();
    for target in targets.lines() {
        let copy = tempfile::tempdir().map_err(failed("make a copy of", &folder))?;
        let corpus = folder.join("corpus").join(target);
        for entry in fs::read_dir(&corpus).map_err(failed("read", &corpus))?.flatten() {
            fs::copy(entry.path(), copy.path().join(entry.file_name()))
                .map_err(failed("copy", &entry.path()))?;
        }
        let ended = program(&folder, "run")
            .arg(target)
            .arg(copy.path())
            .args(["--", "-print_final_stats=1"])
            .arg(format!("-max_total_time={}", fuzz.seconds))
            .arg(format!("-max_len={MOST}"))
            .arg(format!("-timeout={TIMEOUT}"))
            .output()
            .map_err(failed("run", &folder))?;
        let said = String::from_utf8_lossy(&ended.stderr);
        let clean = ended.status.success();
        if !clean {
            println!("{said}");
            found.push(target);
        }
        println!(
            "{target:<15} {:>10} executions, {:>7}/s, {} findings",
            figure(&said, "number_of_executed_units"),
            figure(&said, "average_exec_per_sec"),
            u8::from(!clean)
        );
    }
    match found[..] {
        [] => Ok(()),
        _ => Err(TaskError::Failed(format!("fuzzing {} (see fuzz/artifacts)", found.join(", ")))),
    }
}

/// `cargo fuzz`, by the nightly toolchain.
fn program(folder: &Path, task: &str) -> Command {
    let mut program = cargo::of_its_own();
    // What is built with other flags has a place of its own.
    program.env_remove("CARGO_TARGET_DIR");
    program.args(["+nightly", "fuzz", task, "--fuzz-dir"]).arg(folder);
    program
}

/// One of the figures at the end of a run.
fn figure<'a>(said: &'a str, name: &str) -> &'a str {
    let tail = said.lines().find_map(|line| line.strip_prefix("stat::")?.strip_prefix(name));
    tail.map_or("?", |tail| tail.trim_start_matches(':').trim())
}
