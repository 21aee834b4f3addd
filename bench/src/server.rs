//! The compared servers, each started with the same commands and ended with the benchmark.

use std::{
    ffi::OsStr,
    fs::{self, File, Permissions},
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use crate::{
    error::{BenchError, failed},
    launch, process,
    program::{Running, check_interrupted, first_line},
};

/// Time limit of a server's start, and of a reply.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Time limit of a plugin's start.
const TIMEOUT_OF_PLUGIN: Duration = Duration::from_secs(5);

/// A server that takes no processor time for this long is idle.
const LULL: Duration = Duration::from_millis(40);

/// The processor of servers that are held to one.
const FIRST: &str = "0";

/// Attempts to pin a server to its processors while its threads change.
const TRIES: usize = 50;

/// A server program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Program {
    /// The host with the benchmark's plugin.
    Host,
    /// The same, with threads that serve many sessions.
    HostShared,
    /// The host in the usual scheduling class, whose threads may preempt others when they wake.
    HostNormal,
    /// The same, with a plugin of 1,000 more commands.
    HostOf1000,
    /// The same, with a plugin of 10,000 more commands.
    HostOf10000,
    /// The host with the benchmark's plugin in a worker process.
    HostIsolated,
    /// The host with a Python worker in place of the plugin.
    HostWorker,
    /// The host with the benchmark's plugin, and one that crashes in a worker process.
    HostBesideCrashes,
    /// The same, with both plugins in worker processes.
    HostIsolatedBesideCrashes,
    /// Redis with the benchmark's module.
    Redis,
    /// The same, with a process to which the module can forward commands.
    RedisForwarding,
    /// Valkey with the benchmark's module.
    Valkey,
    /// A Python server with a thread for each client.
    Original,
}

/// The paths of the servers' parts.
#[derive(Clone, Debug)]
pub struct Places {
    /// The host's program.
    pub host: PathBuf,
    /// The folder of the benchmark's own build output: plugins and module.
    pub built: PathBuf,
    /// The Python server.
    pub original: PathBuf,
    /// The Python worker.
    pub worker: PathBuf,
    /// The library of a plugin that crashes.
    pub crashes: PathBuf,
}

/// The processors of servers and generator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Placement {
    /// Chosen by the system.
    Free,
    /// The server on the first, the generator on the second.
    Apart,
    /// All on the first.
    Together,
}

/// A running server.
pub struct Server {
    /// Its address.
    pub address: SocketAddr,
    running: Running,
    // The process to which the server forwards commands.
    behind: Option<Running>,
    // Removed after the server has ended.
    folder: TempDir,
}

impl Placement {
    /// Returns the command line that starts a server's program on its processors. It must not move
    /// there later: the number of its threads may depend on the number of its processors.
    pub fn command(self, program: impl AsRef<OsStr>) -> Command {
        match self {
            Self::Free => Command::new(program),
            Self::Apart | Self::Together => {
                let mut command = Command::new("taskset");
                command.args(["-c", FIRST]).arg(program);
                command
            }
        }
    }

    /// Returns the generator's processor.
    pub fn of_generator(self) -> Option<usize> {
        match self {
            Self::Free => None,
            Self::Apart => Some(1),
            Self::Together => Some(0),
        }
    }

    /// Returns its name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Apart => "apart",
            Self::Together => "together",
        }
    }
}

impl Program {
    /// Returns whether it is installed; all but Valkey must be.
    pub fn is_installed(self) -> bool {
        self != Self::Valkey || first_line("valkey-server", &["--version"]).is_some()
    }
}

impl Server {
    /// Starts a server on its processors, and waits until it answers.
    pub fn start(
        program: Program,
        placement: Placement,
        places: &Places,
    ) -> Result<Self, BenchError> {
        let folder = tempfile::Builder::new()
            .permissions(Permissions::from_mode(0o700))
            .tempdir()
            .map_err(failed("make", "a folder"))?;
        let (mut command, port) = launch::command(program, placement, places, folder.path())?;
        let behind = launch::process_behind(program, placement, places, folder.path())?;
        let log_file = folder.path().join("log");
        let log = File::create(&log_file).map_err(failed("make", &log_file))?;
        let out = if port.is_some() {
            log.try_clone().map_err(failed("share", &log_file))?.into()
        } else {
            Stdio::piped()
        };
        command.current_dir(folder.path()).stdin(Stdio::null()).stdout(out).stderr(log);
        let mut running = Running::start(&mut command)?;
        let port = match port {
            Some(port) => Some(port),
            None => read_port(&mut running)?,
        };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port.unwrap_or_default()));
        let server = Self { address, running, behind, folder };
        let started = Instant::now();
        while let Err(error) = server.ask(&["ping".to_owned()]) {
            check_interrupted()?;
            if started.elapsed() > TIMEOUT {
                let log = fs::read_to_string(&log_file).unwrap_or_default();
                return Err(BenchError::Program(format!(
                    "{program:?} did not start: {error}\n{log}"
                )));
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    /// Returns its process id.
    pub fn id(&self) -> u32 {
        self.running.id()
    }

    /// Returns the process ids of the server, of its children, and of the process behind it.
    pub fn processes(&self) -> Vec<u32> {
        let mut all = process::family(self.id());
        all.extend(self.behind.as_ref().map(Running::id));
        all
    }

    /// Sends one command and returns the beginning of its reply, which must not be an error.
    pub fn ask(&self, command: &[String]) -> Result<String, BenchError> {
        let named = || format!("the server at {}", self.address);
        let mut stream = TcpStream::connect_timeout(&self.address, TIMEOUT)
            .map_err(failed("connect to", named()))?;
        stream.set_read_timeout(Some(TIMEOUT)).map_err(failed("ask", named()))?;
        stream.write_all(&request(command)).map_err(failed("ask", named()))?;
        let mut reply = [0; 64];
        let count = stream.read(&mut reply).map_err(failed("hear from", named()))?;
        let reply = String::from_utf8_lossy(&reply[..count]).into_owned();
        if reply.is_empty() || reply.starts_with('-') {
            return Err(BenchError::Program(format!("{command:?}: '{}'", reply.trim_end())));
        }
        Ok(reply)
    }

    /// Waits until it has this command.
    pub fn wait_for(&self, command: &[String]) -> Result<(), BenchError> {
        let started = Instant::now();
        while let Err(error) = self.ask(command) {
            check_interrupted()?;
            if started.elapsed() > TIMEOUT_OF_PLUGIN {
                return Err(error);
            }
            thread::sleep(LULL);
        }
        Ok(())
    }

    /// Pins it, and the processes that work for it, to other processors than at its start. Threads
    /// and processes inherit the pinning of the thread that starts them.
    pub fn pin(&self, placement: Placement) -> Result<(), BenchError> {
        self.processes().into_iter().try_for_each(|id| pin(id, placement))
    }

    /// Waits until it is idle: the end of earlier sessions takes time, too.
    pub fn wait_until_idle(&self) -> Result<(), BenchError> {
        let started = Instant::now();
        let processes = self.processes();
        let mut before = process::cpu_of(&processes)?;
        while started.elapsed() < TIMEOUT {
            check_interrupted()?;
            thread::sleep(LULL);
            let now = process::cpu_of(&processes)?;
            if now <= before {
                break;
            }
            before = now;
        }
        Ok(())
    }

    /// Ends it in order.
    pub fn end(self) -> Result<(), BenchError> {
        let Self { running, behind, folder, .. } = self;
        running.end()?;
        behind.map_or(Ok(()), Running::end)?;
        folder.close().map_err(failed("remove", "a server's folder"))
    }
}

/// Returns a command as clients send it.
pub fn request(command: &[String]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", command.len());
    for part in command {
        bytes.push_str(&format!("${}\r\n{part}\r\n", part.len()));
    }
    bytes.into_bytes()
}

/// Pins all threads of a process to the processors of servers.
fn pin(id: u32, placement: Placement) -> Result<(), BenchError> {
    let all = thread::available_parallelism().map_or(1, usize::from);
    let cores = match placement {
        Placement::Free => format!("0-{}", all - 1),
        Placement::Apart | Placement::Together => FIRST.to_owned(),
    };
    let id = id.to_string();
    let arguments = ["-a", "-c", "-p", &cores, &id];
    for _ in 0..TRIES {
        let mut command = Command::new("taskset");
        command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
        if Running::start(&mut command)?.wait(TIMEOUT, &mut || {})?.success() {
            return Ok(());
        }
        // A session's thread ended after it was listed.
        thread::sleep(LULL);
    }
    Err(BenchError::Program(format!("taskset {} fails", arguments.join(" "))))
}

/// Returns the number at the end of the first line of a server's output.
fn read_port(running: &mut Running) -> Result<Option<u16>, BenchError> {
    let Some(out) = running.child().stdout.take() else { return Ok(None) };
    let (mut line, mut out) = (String::new(), BufReader::new(out));
    out.read_line(&mut line).map_err(failed("hear from", Path::new("a server")))?;
    // Later output must be read, or the server would block.
    thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()));
    Ok(line.trim_end().rsplit(':').next().and_then(|port| port.trim().parse().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_apart_starts_on_one_processor() {
        for placement in [Placement::Apart, Placement::Together] {
            let seen = placement.command("nproc").output().unwrap();
            assert_eq!(String::from_utf8_lossy(&seen.stdout), "1\n", "{placement:?}");
        }
        assert_eq!(Placement::Free.command("nproc").get_program(), "nproc");
    }
}
