//! The command lines of the compared servers.

use std::{
    fs::{self, Permissions},
    net::{Ipv4Addr, TcpListener},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{
    error::{BenchError, failed},
    program::Running,
    server::{Placement, Places, Program},
    threads::Threads,
};

/// Maximum number of concurrent clients.
const CLIENTS: &str = "20000";

/// The name of the socket of the process behind Redis, within the server's folder.
const SOCKET: &str = "echo.sock";

/// Returns the command line of a server, and its port unless its first line of output names that.
pub fn command(
    program: Program,
    placement: Placement,
    places: &Places,
    folder: &Path,
) -> Result<(Command, Option<u16>), BenchError> {
    let built = |names: &[&str]| names.iter().map(|name| library(places, name)).collect();
    let bench: Vec<PathBuf> = built(&["bench_plugin"]);
    let beside_crashes = || vec![library(places, "bench_plugin"), places.crashes.clone()];
    let (plugins, more) = match program {
        Program::Host => (bench, Vec::new()),
        Program::HostNormal => (bench, vec!["--scheduling".into(), "normal".into()]),
        Program::HostShared => (bench, vec!["--threads".into(), Threads::Shared.name().to_owned()]),
        Program::HostOf1000 => (built(&["bench_plugin", "table_1000"]), Vec::new()),
        Program::HostOf10000 => (built(&["bench_plugin", "table_10000"]), Vec::new()),
        Program::HostIsolated => (bench, vec!["--isolate".into(), "all".into()]),
        Program::HostWorker => (vec![places.worker.clone()], Vec::new()),
        Program::HostBesideCrashes => {
            (beside_crashes(), vec!["--isolate".into(), plugin_name(&places.crashes)])
        }
        Program::HostIsolatedBesideCrashes => {
            (beside_crashes(), vec!["--isolate".into(), "all".into()])
        }
        Program::Redis | Program::RedisForwarding => {
            return redis("redis-server", placement, places, folder);
        }
        Program::Valkey => return redis("valkey-server", placement, places, folder),
        Program::Original => {
            let mut command = placement.command("python3");
            command.arg(&places.original);
            return Ok((command, None));
        }
    };
    let mut command = host(placement, places, folder, &plugins)?;
    command.args(more);
    Ok((command, None))
}

/// Starts the process to which a server forwards commands, if it does.
pub fn process_behind(
    program: Program,
    placement: Placement,
    places: &Places,
    folder: &Path,
) -> Result<Option<Running>, BenchError> {
    if program != Program::RedisForwarding {
        return Ok(None);
    }
    let mut command = placement.command(places.built.join("echo-process"));
    command.arg(folder.join(SOCKET)).stdin(Stdio::null()).stdout(Stdio::null());
    Running::start(&mut command).map(Some)
}

fn host(
    placement: Placement,
    places: &Places,
    folder: &Path,
    plugins: &[PathBuf],
) -> Result<Command, BenchError> {
    let plugins_folder = folder.join("plugins");
    fs::create_dir(&plugins_folder).map_err(failed("make", &plugins_folder))?;
    for from in plugins {
        let to = plugins_folder.join(from.file_name().unwrap_or_default());
        fs::copy(from, &to).map_err(failed("copy", from))?;
        let executable = Permissions::from_mode(0o755);
        fs::set_permissions(&to, executable).map_err(failed("set permissions of", &to))?;
    }
    let mut command = placement.command(&places.host);
    command
        .args(["--port", "0", "--bind", "127.0.0.1", "--log-level", "warn"])
        .args(["--max-sessions", CLIENTS, "--allow-insecure-plugins", "--plugins"])
        .arg(plugins_folder)
        .arg("--state-dir")
        .arg(folder.join("state"));
    Ok(command)
}

fn redis(
    program: &str,
    placement: Placement,
    places: &Places,
    folder: &Path,
) -> Result<(Command, Option<u16>), BenchError> {
    // Redis does not accept port 0. A port that was free just now is still free.
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map_err(failed("find a port for", program))?
        .port();
    let mut command = placement.command(program);
    command
        .args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", ""])
        // Idle clients have other loopback addresses than 127.0.0.1.
        .args(["--protected-mode", "no"])
        .args(["--appendonly", "no", "--maxclients", CLIENTS, "--dir"])
        .arg(folder)
        .arg("--loadmodule")
        .arg(library(places, "bench_redis_module"))
        .env("BENCH_FORWARD_SOCKET", folder.join(SOCKET));
    Ok((command, Some(port)))
}

fn library(places: &Places, name: &str) -> PathBuf {
    places.built.join(format!("lib{name}.so"))
}

/// Returns the name of the plugin in a library.
fn plugin_name(library: &Path) -> String {
    let stem = library.file_stem().unwrap_or_default().to_string_lossy();
    stem.strip_prefix("lib").unwrap_or(&stem).to_owned()
}
