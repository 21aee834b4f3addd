//! Fuzzing: arbitrary input for every parser of foreign data.

use std::{fs, io, path::Path, process::Command, thread};

use crate::{cargo, error::TaskError};

/// Commands that succeed if a program is installed, and how to install it.
const NEEDED: [([&str; 2], &str); 2] = [
    (["+nightly", "--version"], "rustup toolchain install nightly --profile minimal"),
    (["fuzz", "--version"], "cargo install cargo-fuzz --locked"),
];

/// Maximum length of an input, in bytes: findings stay small enough for the corpus.
const MOST: usize = 4000;

/// Time limit for one input, in seconds; a slower one is a finding. A busy machine may stand still
/// for half a minute.
const TIMEOUT: u32 = 120;

/// The options of the fuzz targets.
#[derive(Clone, Debug, clap::Args)]
pub struct Fuzz {
    /// Run each target for this many seconds.
    #[arg(long, default_value_t = 60, value_name = "N")]
    pub seconds: u32,
}

/// Runs every target, as many at once as there are processors. All of them run, even if one finds
/// something.
///
/// # Errors
/// A target has found something, or a program is missing.
pub fn run(fuzz: &Fuzz) -> Result<(), TaskError> {
    for (asked, get) in NEEDED {
        let answer = cargo::toolchain_cargo().args(asked).output();
        if !answer.is_ok_and(|answer| answer.status.success()) {
            return Err(TaskError::Missing(format!("`cargo {}`", asked[0]), get));
        }
    }
    let folder = cargo::root().join("fuzz");
    let built = program(&folder, "build").status().map_err(failed("build", &folder))?;
    if !built.success() {
        return Err(TaskError::Failed("cargo fuzz build".into()));
    }
    let listed = program(&folder, "list").output().map_err(failed("list", &folder))?;
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let targets: Vec<&str> = listed.lines().collect();
    if targets.is_empty() {
        return Err(TaskError::Failed("cargo fuzz list, which names no target,".into()));
    }
    let at_once = thread::available_parallelism().map_or(1, usize::from);
    let mut found = Vec::new();
    for some in targets.chunks(at_once) {
        let ended: Vec<_> = thread::scope(|scope| {
            let folder = &folder;
            let runs = some.iter().map(|target| scope.spawn(|| run_one(folder, target, fuzz)));
            let runs: Vec<_> = runs.collect();
            runs.into_iter().map(|run| run.join()).collect()
        });
        for (target, clean) in some.iter().zip(ended) {
            let clean = clean.map_err(|_| TaskError::Failed(format!("fuzzing {target}")))??;
            if !clean {
                found.push(*target);
            }
        }
    }
    match found[..] {
        [] => Ok(()),
        _ => Err(TaskError::Failed(format!("fuzzing {} (see fuzz/artifacts)", found.join(", ")))),
    }
}

/// Runs one target on a copy of its corpus, and prints the result. Returns whether it has found
/// nothing.
fn run_one(folder: &Path, target: &str, fuzz: &Fuzz) -> Result<bool, TaskError> {
    let copy = tempfile::tempdir().map_err(failed("make a copy of", folder))?;
    let corpus = folder.join("corpus").join(target);
    for entry in fs::read_dir(&corpus).map_err(failed("read", &corpus))?.flatten() {
        fs::copy(entry.path(), copy.path().join(entry.file_name()))
            .map_err(failed("copy", &entry.path()))?;
    }
    let ended = program(folder, "run")
        .arg(target)
        .arg(copy.path())
        .args(["--", "-print_final_stats=1"])
        .arg(format!("-max_total_time={}", fuzz.seconds))
        .arg(format!("-max_len={MOST}"))
        .arg(format!("-timeout={TIMEOUT}"))
        .output()
        .map_err(failed("run", folder))?;
    let said = String::from_utf8_lossy(&ended.stderr);
    let clean = ended.status.success();
    if !clean {
        println!("{said}");
    }
    println!(
        "{target:<15} {:>10} executions, {:>7}/s, {} findings",
        figure(&said, "number_of_executed_units"),
        figure(&said, "average_exec_per_sec"),
        u8::from(!clean)
    );
    Ok(clean)
}

fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> TaskError + use<> {
    let path = path.to_owned();
    move |error| TaskError::Io(operation, path, error)
}

/// Returns `cargo fuzz`, by the nightly toolchain.
fn program(folder: &Path, task: &str) -> Command {
    let mut program = cargo::toolchain_cargo();
    // Output with other flags has a folder of its own.
    program.env_remove("CARGO_TARGET_DIR");
    program.args(["+nightly", "fuzz", task, "--fuzz-dir"]).arg(folder);
    program
}

/// Returns one of the figures at the end of a run.
fn figure<'a>(said: &'a str, name: &str) -> &'a str {
    let tail = said.lines().find_map(|line| line.strip_prefix("stat::")?.strip_prefix(name));
    tail.map_or("?", |tail| tail.trim_start_matches(':').trim())
}
