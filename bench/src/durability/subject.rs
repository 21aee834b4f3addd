//! The compared servers, each with a log of what was written, that can be killed and started again.

use std::{
    fs::{self, File, Permissions},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::session::Session;
use crate::{
    error::{BenchError, failed},
    program::{Running, check_interrupted},
    server::{Placement, Places},
};

/// Time limit of a start.
const LIMIT: Duration = Duration::from_secs(120);

/// Pause between two checks whether a server serves.
const PAUSE: Duration = Duration::from_millis(1);

/// A compared server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Subject {
    /// The host with the store and its journal.
    Host,
    /// Redis with its append-only file.
    Redis,
}

/// The time at which a log is flushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Sync {
    /// Once a second.
    Everysec,
    /// Before each reply.
    Always,
}

/// A server's folder and command line.
pub struct Kept {
    subject: Subject,
    sync: Sync,
    folder: PathBuf,
    port: u16,
    host: PathBuf,
}

/// A running server. It is killed when this drops.
pub struct Started {
    /// Its address.
    pub address: SocketAddr,
    /// The time from its start to the first correct reply.
    pub took: Duration,
    running: Running,
}

impl Subject {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Host, Self::Redis];

    /// Returns its name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Host => "host, journal",
            Self::Redis => "Redis, append-only file",
        }
    }

    /// Returns a part of the names of the files of its log.
    pub fn log(self) -> &'static str {
        match self {
            Self::Host => ".journal.",
            Self::Redis => ".incr.aof",
        }
    }
}

impl Sync {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Everysec, Self::Always];

    /// Returns its name, which is that of both servers' options.
    pub fn name(self) -> &'static str {
        match self {
            Self::Everysec => "everysec",
            Self::Always => "always",
        }
    }
}

impl Kept {
    /// Makes the content of a server's folder.
    pub fn prepare(
        subject: Subject,
        sync: Sync,
        folder: &Path,
        places: &Places,
    ) -> Result<Self, BenchError> {
        // A port that was free just now is still free.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .and_then(|listener| listener.local_addr())
            .map_err(failed("find a port for", subject.name()))?
            .port();
        if subject == Subject::Host {
            let plugins = folder.join("plugins");
            fs::create_dir(&plugins).map_err(failed("make", &plugins))?;
            let (from, to) = (places.built.join(LIBRARY), plugins.join(LIBRARY));
            fs::copy(&from, &to).map_err(failed("copy", &from))?;
            let executable = Permissions::from_mode(0o755);
            fs::set_permissions(&to, executable).map_err(failed("set permissions of", &to))?;
        }
        let (folder, host) = (folder.to_owned(), places.host.clone());
        Ok(Self { subject, sync, folder, port, host })
    }

    /// Starts it on the first processor, and waits until it answers.
    pub fn start(&self) -> Result<Started, BenchError> {
        self.start_until(&|session| session.ask(&["get", "none"]).is_ok())
    }

    /// Starts it on the first processor, and waits until a check in a session is true.
    pub fn start_until(
        &self,
        is_ready: &dyn Fn(&mut Session) -> bool,
    ) -> Result<Started, BenchError> {
        let log_file = self.folder.join("log");
        let log = File::create(&log_file).map_err(failed("make", &log_file))?;
        let mut command = self.command();
        command.current_dir(&self.folder).stdin(Stdio::null());
        command.stdout(log.try_clone().map_err(failed("share", &log_file))?).stderr(log);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let began = Instant::now();
        let mut running = Running::start(&mut command)?;
        loop {
            check_interrupted()?;
            let has_ended = running.child().try_wait().is_ok_and(|status| status.is_some());
            if has_ended || began.elapsed() > LIMIT {
                let log = fs::read_to_string(&log_file).unwrap_or_default();
                let name = self.subject.name();
                return Err(BenchError::Program(format!("{name} did not start\n{log}")));
            }
            if Session::connect(address).is_ok_and(|mut session| is_ready(&mut session)) {
                return Ok(Started { address, took: began.elapsed(), running });
            }
            thread::sleep(PAUSE);
        }
    }

    /// Puts a library of the same code and another content in place of the store's.
    pub fn replace_library(&self, number: u64) -> Result<(), BenchError> {
        let (library, beside) =
            (self.folder.join("plugins").join(LIBRARY), self.folder.join("next"));
        let mut code = fs::read(&library).map_err(failed("read", &library))?;
        // The loader ignores bytes behind the library.
        code.extend_from_slice(&number.to_le_bytes());
        fs::write(&beside, code).map_err(failed("write", &beside))?;
        let executable = Permissions::from_mode(0o755);
        fs::set_permissions(&beside, executable).map_err(failed("set permissions of", &beside))?;
        fs::rename(&beside, &library).map_err(failed("install", &library))
    }

    fn command(&self) -> Command {
        let (port, sync) = (self.port.to_string(), self.sync.name());
        match self.subject {
            Subject::Host => {
                let mut command = Placement::Apart.command(&self.host);
                command.args(["--port", &port, "--bind", "127.0.0.1", "--allow-insecure-plugins"]);
                command.args(["--durability", "journal", "--journal-sync", sync, "--plugins"]);
                command.arg(self.folder.join("plugins"));
                command.arg("--state-dir").arg(self.folder.join("state"));
                command
            }
            Subject::Redis => {
                let mut command = Placement::Apart.command("redis-server");
                command.args(["--bind", "127.0.0.1", "--port", &port]);
                command.args(["--save", "", "--appendonly", "yes", "--appendfsync", sync]);
                command.args(["--auto-aof-rewrite-percentage", "0", "--dir"]).arg(&self.folder);
                command
            }
        }
    }
}

impl Started {
    /// Returns its process id.
    pub fn id(&self) -> u32 {
        self.running.id()
    }
}

/// The store's library.
const LIBRARY: &str = "libstore.so";
