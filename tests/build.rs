//! Detects this machine's tools and rights and sets them as `cfg`s: a test that needs a missing one
//! counts as ignored, and not as passed. With `DROPIN_TEST_ALL=1` no test is ignored: such a test
//! then runs, and fails.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The tools that tests need, as `cfg(tool = "..")`.
const TOOLS: [&str; 26] = [
    "bash",
    "cargo",
    "cc",
    "fish",
    "gdb",
    "go",
    "groff",
    "haproxy",
    "ip",
    "less",
    "man",
    "mkfifo",
    "nats-server",
    "nc",
    "node",
    "openssl",
    "perl",
    "prlimit",
    "python3",
    "redis-benchmark",
    "redis-cli",
    "setpriv",
    "setsid",
    "systemd-analyze",
    "systemd-socket-activate",
    "zsh",
];

/// Clients in other languages, of Redis and of NATS, as `cfg(library = "..")`, with a command for each that succeeds if it is installed.
const LIBRARIES: [(&str, &[&str]); 13] = [
    ("eredis", &["erl", "-noshell", "-eval", "{module, _} = code:load_file(eredis), halt()."]),
    ("hiredis", &["cc", "-E", "-include", "hiredis/hiredis.h", "-x", "c", "/dev/null"]),
    ("ioredis", &["node", "-e", "require('ioredis')"]),
    (
        "nats-js",
        &["node", "-e", "require('@nats-io/services'), require('@nats-io/transport-node')"],
    ),
    ("nats-py", &["python3", "-c", "import nats"]),
    ("node-redis", &["node", "-e", "require('redis')"]),
    ("perl-redis", &["perl", "-MRedis", "-e", "1"]),
    ("phpredis", &["php", "-r", "exit(class_exists('Redis') ? 0 : 1);"]),
    ("predis", &["php", "-r", "require 'Predis/Autoloader.php';"]),
    ("redis-lua", &["lua5.1", "-e", "require('redis')"]),
    ("redis-py", &["python3", "-c", "import redis"]),
    ("redis-rb", &["ruby", "-e", "require 'redis'"]),
    ("valkey-py", &["python3", "-c", "import valkey"]),
];

/// Other requirements of tests, as `cfg(right = "..")`: a second Rust compiler beside the one that
/// builds this, network namespaces, root, and file permissions that apply to the user who runs the
/// tests.
const RIGHTS: [&str; 4] = ["compiler", "namespaces", "root", "permissions"];

fn main() {
    println!("cargo::rustc-check-cfg=cfg(tool, values({}))", quoted(&TOOLS));
    println!("cargo::rustc-check-cfg=cfg(right, values({}))", quoted(&RIGHTS));
    let libraries = LIBRARIES.map(|(name, _)| name);
    println!("cargo::rustc-check-cfg=cfg(library, values({}))", quoted(&libraries));
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=PATH");
    println!("cargo::rerun-if-env-changed=DROPIN_TEST_ALL");
    let is_native = env::var("HOST") == env::var("TARGET");
    let is_strict = env::var("DROPIN_TEST_ALL").is_ok_and(|value| value == "1");
    let mut missing = Vec::new();
    for tool in TOOLS {
        if has_tool(tool, is_native) || (is_native && is_strict) {
            println!("cargo::rustc-cfg=tool=\"{tool}\"");
        } else {
            missing.push(tool);
        }
    }
    let clients = clients_folder();
    println!("cargo::rustc-env=REDIS_CLIENTS={}", clients.display());
    if clients.is_dir() {
        println!("cargo::rerun-if-changed={}", clients.display());
    }
    for (library, proof) in LIBRARIES {
        if is_native && (is_strict || has_library(&clients, proof)) {
            println!("cargo::rustc-cfg=library=\"{library}\"");
        } else {
            missing.push(library);
        }
    }
    for right in RIGHTS {
        if is_native && (is_strict || has_right(right)) {
            println!("cargo::rustc-cfg=right=\"{right}\"");
        }
    }
    if is_native && !missing.is_empty() {
        // A tool that is installed later must be noticed.
        let path = env::var_os("PATH").unwrap_or_default();
        for folder in env::split_paths(&path).filter(|folder| folder.is_dir()) {
            println!("cargo::rerun-if-changed={}", folder.display());
        }
        println!("cargo::warning=tests are ignored that need {}", missing.join(", "));
    }
}

/// Returns whether the tests will find the tool. Tests that are built for another system run on
/// that one, where only a C compiler can be named, by a variable.
fn has_tool(tool: &str, is_native: bool) -> bool {
    if !is_native {
        return tool == "cc";
    }
    let file = find(tool);
    if let Some(file) = &file {
        println!("cargo::rerun-if-changed={}", file.display());
    }
    file.is_some() || tool == "cargo" || (tool == "cc" && cfg!(windows))
}

/// Returns the path of a tool, found in the folders of `PATH` and in the system's `sbin` folders.
fn find(tool: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    let sbin = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    let name = Path::new(tool).with_extension(env::consts::EXE_EXTENSION);
    env::split_paths(&path).chain(sbin).map(|folder| folder.join(&name)).find(|file| file.is_file())
}

/// The folder of those that `tests/end_to_end/redis_clients/install` does not have from the system.
fn clients_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join("target").join("redis-clients")
}

/// Returns whether a program finds a library.
fn has_library(clients: &Path, proof: &[&str]) -> bool {
    let Some((program, arguments)) = proof.split_first() else { return false };
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.env("PYTHONPATH", clients.join("python"));
    command.env("NODE_PATH", clients.join("node_modules"));
    command.status().is_ok_and(|status| status.success())
}

fn has_right(right: &str) -> bool {
    let is_root = works("sh", &["-c", "test $(id -u) = 0"]);
    match right {
        "compiler" => {
            works("/usr/bin/rustc", &["--version"])
                || works("rustup", &["run", "nightly", "rustc", "--version"])
        }
        "namespaces" => is_root && works("unshare", &["--net", "true"]),
        "root" => is_root,
        _ => {
            let drop = "-dac_override,-dac_read_search";
            !is_root || works("setpriv", &["--bounding-set", drop, "true"])
        }
    }
}

fn works(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn quoted(values: &[&str]) -> String {
    values.iter().map(|value| format!("\"{value}\"")).collect::<Vec<_>>().join(", ")
}
