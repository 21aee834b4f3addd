//! The benchmark: its prerequisites, its builds, and then the driver in `bench/`.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{cargo, error::TaskError};

/// The programs that the benchmark starts, and how to install them.
const PROGRAMS: [(&str, &str); 6] = [
    ("nats-server", "apt-get install nats-server"),
    ("redis-server", "apt-get install redis-server"),
    ("redis-benchmark", "apt-get install redis-tools"),
    ("taskset", "apt-get install util-linux"),
    ("python3", "apt-get install python3"),
    VALGRIND,
];

const VALGRIND: (&str, &str) = ("valgrind", "apt-get install valgrind");

/// The command that installs what the Redis module is built with.
const GET_LIBCLANG: &str = "apt-get install libclang-dev";

/// Debian's folder of Go's libraries, with the packages that have go-plugin.
const GO_LIBRARIES: &str = "/usr/share/gocode";
const GET_GO_PLUGIN: &str = "apt-get install golang-go golang-github-hashicorp-go-plugin-dev \
                             golang-google-grpc-dev golang-goprotobuf-dev";

/// The plugin of the tests that crashes.
const CRASHES: [&str; 2] = ["--package", "crashes"];

/// Cargo's arguments for the packages of the main workspace that measure the pieces of a request.
const MEASURED: [&str; 4] = ["--package", "boundary", "--package", "bench-plugin"];

/// The options of the benchmark.
#[derive(Clone, Debug, clap::Args)]
pub struct Bench {
    /// Measure a few points of each curve in two short rounds: less than 3 minutes, building aside.
    #[arg(long)]
    quick: bool,
    /// Measure only these parts: clients, pipelines, payloads, tables, blocking, burning, idle,
    /// beside-idle, boundary, reload, isolation, durability, fleet. The report keeps its results of
    /// the others.
    #[arg(long, value_name = "NAME", num_args = 1..)]
    only: Vec<String>,
    /// Number of turns of each server; 5, or 2 with `--quick`.
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
    /// The report; plots and figures are in a folder beside it.
    #[arg(long, value_name = "FILE", default_value = "docs/benchmarks.md")]
    out: PathBuf,
    /// The library of the plugin that crashes beside another one; that of the tests if not given.
    #[arg(long, value_name = "FILE")]
    crash_library: Option<PathBuf>,
    /// Its command that crashes.
    #[arg(long, value_name = "NAME", default_value = "crash.fault")]
    crash_command: String,
}

/// Builds everything for release and runs the driver.
pub fn run(bench: &Bench) -> Result<(), TaskError> {
    for (program, get) in PROGRAMS {
        need(program, get)?;
    }
    need_libclang()?;
    cargo::build_as_shipped("release", &[MEASURED.as_slice(), &CRASHES].concat())?;
    build_workspace()?;
    build_go_plugin()?;
    let mut driver = Command::new(built().join("bench"));
    driver.current_dir(cargo::root()).arg("--out").arg(&bench.out);
    driver.arg("--host").arg(cargo::output("release").join("host"));
    driver.arg("--built").arg(built());
    let xtask = env::current_exe();
    let xtask = xtask.map_err(|error| TaskError::Io("find", "xtask".into(), error))?;
    driver.arg("--xtask").arg(xtask);
    driver.args(["--crash-command", &bench.crash_command]);
    if let Some(library) = &bench.crash_library {
        driver.arg("--crash-library").arg(library);
    }
    if bench.quick {
        driver.arg("--quick");
    }
    if let Some(rounds) = bench.rounds {
        driver.args(["--rounds", &rounds.to_string()]);
    }
    if !bench.only.is_empty() {
        driver.arg("--only").args(&bench.only);
    }
    cargo::succeed(&mut driver)
}

/// Counts instructions and compares them with `bench/instructions.toml`, or writes that file.
pub fn instructions(bless: bool) -> Result<(), TaskError> {
    need(VALGRIND.0, VALGRIND.1)?;
    // The shipped programs are not needed.
    let needed = [MEASURED.as_slice(), &["--lib", "--bin", "boundary"]].concat();
    cargo::build_as_shipped("release", &needed)?;
    let mut check = Command::new(built().join("boundary"));
    check.current_dir(cargo::root()).arg("check");
    check.arg("--plugin").arg(built().join("libbench_plugin.so"));
    if bless {
        check.arg("--bless");
    }
    cargo::succeed(&mut check)
}

/// Builds the benchmark's own workspace.
fn build_workspace() -> Result<(), TaskError> {
    let mut cargo = cargo::cargo();
    cargo.args(["build", "--release", "--workspace", "--manifest-path", "bench/Cargo.toml"]);
    // Shared dependencies of both workspaces are built once.
    cargo::succeed(cargo.env("CARGO_TARGET_DIR", cargo::target()))
}

/// Builds the program in Go. Without Go and its library the report leaves its rows out.
fn build_go_plugin() -> Result<(), TaskError> {
    let library = Path::new(GO_LIBRARIES).join("src/github.com/hashicorp/go-plugin");
    if !is_installed("go") || !library.is_dir() {
        println!("xtask: left out: go-plugin: {GET_GO_PLUGIN}");
        return Ok(());
    }
    let mut go = Command::new("go");
    go.current_dir(cargo::root().join("bench").join("go-plugin"));
    go.args(["build", "-o"]).arg(built().join("go-plugin-echo")).arg(".");
    // Debian's packages, and none of the network.
    go.env("GO111MODULE", "off").env("GOPATH", GO_LIBRARIES).env("GOFLAGS", "");
    go.env("GOCACHE", cargo::target().join("go-cache"));
    cargo::succeed(&mut go)
}

/// Returns the folder of cargo's release output.
fn built() -> PathBuf {
    cargo::output("release")
}

fn need(program: &str, get: &'static str) -> Result<(), TaskError> {
    if is_installed(program) {
        return Ok(());
    }
    Err(TaskError::Missing(format!("program '{program}'"), get))
}

fn is_installed(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Fails without libclang, by which the Redis module's crate reads C headers; cargo's own message
/// would be pages long.
fn need_libclang() -> Result<(), TaskError> {
    let named = env::var_os("LIBCLANG_PATH").map(PathBuf::from);
    let mut folders: Vec<PathBuf> = named.into_iter().collect();
    folders.extend(["/usr/lib", "/usr/lib64", "/usr/local/lib"].map(PathBuf::from));
    let inner = fs::read_dir("/usr/lib").into_iter().flatten().flatten().map(|entry| entry.path());
    for folder in inner.filter(|path| path.is_dir()) {
        folders.extend([folder.join("lib"), folder]);
    }
    let is_it = |name: &str| {
        name.starts_with("libclang") && name.contains(".so") && !name.starts_with("libclang-cpp")
    };
    let found = folders.iter().any(|folder| {
        let mut files = fs::read_dir(folder).into_iter().flatten().flatten();
        files.any(|file| is_it(&file.file_name().to_string_lossy()))
    });
    if found { Ok(()) } else { Err(TaskError::Missing("libclang".into(), GET_LIBCLANG)) }
}
