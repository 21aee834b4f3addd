//! The compared ways to call code in another process.

use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::{
    error::{BenchError, failed},
    isolation::go_plugin,
    program::first_line,
    server::{Places, Program},
};

/// A way to call `echo`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Subject {
    /// A plugin in the host's process.
    HostInProcess,
    /// The same plugin in a worker process.
    HostIsolated,
    /// A Python worker of the host.
    HostWorker,
    /// The same worker, driven through two pipes alone.
    WorkerByPipes,
    /// HashiCorp's go-plugin over net/rpc.
    GoNetRpc,
    /// HashiCorp's go-plugin over gRPC.
    GoGrpc,
    /// A command in a Redis module.
    RedisModule,
    /// A command that a Redis module forwards, and waits for the answer.
    RedisForwards,
    /// The same with the client blocked, so that Redis serves others meanwhile.
    RedisForwardsBlocked,
}

impl Subject {
    /// All of them, in the order of the report.
    pub const ALL: [Self; 9] = [
        Self::HostInProcess,
        Self::HostIsolated,
        Self::HostWorker,
        Self::WorkerByPipes,
        Self::GoNetRpc,
        Self::GoGrpc,
        Self::RedisModule,
        Self::RedisForwards,
        Self::RedisForwardsBlocked,
    ];

    /// Returns its name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::HostInProcess => "host, plugin in process",
            Self::HostIsolated => "host, the same plugin isolated",
            Self::HostWorker => "host, Python worker",
            Self::WorkerByPipes => "the same worker, by two pipes alone",
            Self::GoNetRpc => "go-plugin, net/rpc",
            Self::GoGrpc => "go-plugin, gRPC",
            Self::RedisModule => "Redis, module",
            Self::RedisForwards => "Redis, module that forwards and waits",
            Self::RedisForwardsBlocked => "Redis, module that forwards and blocks the client",
        }
    }

    /// Returns the server that has it, with the command; `None` for what has no server.
    pub fn server(self) -> Option<(Program, &'static str)> {
        match self {
            Self::HostInProcess => Some((Program::Host, "echo")),
            Self::HostIsolated => Some((Program::HostIsolated, "echo")),
            Self::HostWorker => Some((Program::HostWorker, "echo")),
            Self::RedisModule => Some((Program::RedisForwarding, "bench.echo")),
            Self::RedisForwards => Some((Program::RedisForwarding, "bench.forward")),
            Self::RedisForwardsBlocked => Some((Program::RedisForwarding, "bench.forward-blocked")),
            Self::WorkerByPipes | Self::GoNetRpc | Self::GoGrpc => None,
        }
    }

    /// Returns whether a call of it is served by more than one process.
    pub fn crosses_processes(self) -> bool {
        !matches!(self, Self::HostInProcess | Self::RedisModule)
    }

    /// Returns the subject that does the same without another process; `None` where a call is
    /// nothing but the way to the other process.
    pub fn base(self) -> Option<Self> {
        match self {
            Self::HostInProcess | Self::HostIsolated | Self::HostWorker => {
                Some(Self::HostInProcess)
            }
            Self::RedisModule | Self::RedisForwards | Self::RedisForwardsBlocked => {
                Some(Self::RedisModule)
            }
            Self::WorkerByPipes | Self::GoNetRpc | Self::GoGrpc => None,
        }
    }

    /// Fails with the reason if this machine cannot run it.
    pub fn check_installed(self, places: &Places) -> Result<(), BenchError> {
        let need = |program: &str| match first_line(program, &["--version"]) {
            Some(_) => Ok(()),
            None => Err(BenchError::Program(format!("program '{program}' is missing"))),
        };
        match self {
            Self::HostInProcess => Ok(()),
            Self::HostIsolated => check_isolates(places),
            Self::HostWorker | Self::WorkerByPipes => need("python3"),
            Self::GoNetRpc | Self::GoGrpc => go_plugin::check_built(places),
            Self::RedisModule | Self::RedisForwards | Self::RedisForwardsBlocked => {
                need("redis-server")
            }
        }
    }
}

/// Fails if the host cannot run plugins outside its process.
pub fn check_isolates(places: &Places) -> Result<(), BenchError> {
    let help = Command::new(&places.host).arg("--help").output();
    let help = help.map_err(failed("start", &places.host))?;
    if String::from_utf8_lossy(&help.stdout).contains("--isolate") {
        return Ok(());
    }
    Err(BenchError::Program("this host has no option '--isolate'".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_base_stays_in_one_process() {
        for subject in Subject::ALL {
            let is_base = subject.base() == Some(subject);
            assert_eq!(subject.crosses_processes(), !is_base, "{subject:?}");
        }
    }
}
