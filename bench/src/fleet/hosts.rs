//! The NATS server and the hosts of a measured fleet.

use std::{
    fs::{self, File, Permissions},
    io::{BufRead as _, BufReader},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::{
    durability::Session,
    error::{BenchError, failed},
    program::{Running, check_interrupted},
    server::Places,
};

/// Time limit of a start, and of an error.
const LIMIT: Duration = Duration::from_secs(60);

/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(2);

/// The libraries of the hosts.
const LIBRARIES: [&str; 2] = ["libtext.so", "libclock.so"];

/// A running NATS server, with JetStream.
pub struct Nats {
    port: u16,
    running: Option<Running>,
    _folder: TempDir,
}

/// A running host.
pub struct Host {
    /// Its address.
    pub address: SocketAddr,
    running: Running,
    folder: TempDir,
}

/// A fleet: one host without the measured command, and one that has it.
pub struct Fleet {
    /// The NATS server.
    pub nats: Nats,
    /// The host without the command.
    pub caller: Host,
    /// The host that has it.
    pub other: Host,
}

impl Nats {
    /// Starts a server.
    pub fn start() -> Result<Self, BenchError> {
        let folder = tempfile::tempdir().map_err(failed("make", "a folder"))?;
        let port = free_port()?;
        let mut command = Command::new("nats-server");
        command.args(["-a", "127.0.0.1", "-p", &port.to_string(), "-js", "-sd"]);
        command.arg(folder.path()).stdout(Stdio::null()).stderr(Stdio::null());
        let running = Running::start(&mut command)?;
        wait(&format!("nats-server listens on {port}"), || {
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()
        })?;
        Ok(Self { port, running: Some(running), _folder: folder })
    }

    /// Returns its address.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Kills it.
    pub fn kill(&mut self) {
        self.running = None;
    }
}

impl Host {
    /// Returns its plugins folder.
    pub fn plugins(&self) -> PathBuf {
        self.folder.path().join("plugins")
    }

    /// Sends its process a signal.
    pub fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.running.id()).ok().and_then(Pid::from_raw);
        if let Some(id) = id {
            // Fails if it has ended.
            let _ = kill_process(id, signal);
        }
    }
}

impl Fleet {
    /// Starts two hosts.
    pub fn start(places: &Places, nats: Nats) -> Result<Self, BenchError> {
        let url = nats.url();
        let caller = Self::start_host(places, "caller", false, Some(&url))?;
        let other = Self::start_host(places, "other", true, Some(&url))?;
        let fleet = Self { nats, caller, other };
        fleet.wait_for_command()?;
        Ok(fleet)
    }

    /// Waits until the caller knows the commands.
    pub fn wait_for_command(&self) -> Result<(), BenchError> {
        let mut session = Session::connect(self.caller.address)?;
        wait("a host knows the commands of the other", || {
            session.ask(&["echo", "x"]).ok()?;
            session.ask(&["sleep", "1"]).ok()
        })?;
        Ok(())
    }

    /// Starts a host, with or without the command.
    pub fn start_host(
        places: &Places,
        name: &str,
        has_command: bool,
        nats: Option<&str>,
    ) -> Result<Host, BenchError> {
        let libraries = if has_command { &LIBRARIES[..] } else { &[] };
        Self::start_with(places, name, libraries, nats, &[])
    }

    /// Starts a host with these libraries and further flags.
    pub fn start_with(
        places: &Places,
        name: &str,
        libraries: &[&str],
        nats: Option<&str>,
        flags: &[&str],
    ) -> Result<Host, BenchError> {
        let folder = tempfile::tempdir().map_err(failed("make", "a folder"))?;
        let plugins = folder.path().join("plugins");
        fs::create_dir(&plugins).map_err(failed("make", &plugins))?;
        for library in libraries {
            let (from, to) = (places.built.join(library), plugins.join(library));
            fs::copy(&from, &to).map_err(failed("copy", &from))?;
            let executable = Permissions::from_mode(0o755);
            fs::set_permissions(&to, executable).map_err(failed("set permissions of", &to))?;
        }
        let port = free_port()?;
        let log_file = folder.path().join("log");
        let log = File::create(&log_file).map_err(failed("make", &log_file))?;
        let mut command = Command::new(&places.host);
        command.arg("--plugins").arg(&plugins).arg("--state-dir").arg(folder.path().join("state"));
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1"]);
        if let Some(nats) = nats {
            command.args(["--fleet", nats, "--fleet-host", name]);
        }
        command.args(flags).stdin(Stdio::null());
        command.stdout(log.try_clone().map_err(failed("share", &log_file))?).stderr(log);
        let running = Running::start(&mut command)?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        wait(&format!("host '{name}' serves"), || {
            Session::connect(address).ok()?.ask(&["ping"]).ok()
        })?;
        Ok(Host { address, running, folder })
    }

    /// Returns the milliseconds from the kill, or the stop, of the other host to the error of a call
    /// that it runs; starts another one in its place.
    pub fn time_to_error(&mut self, places: &Places, kill: bool) -> Result<f64, BenchError> {
        let address = self.caller.address;
        let caller = thread::spawn(move || {
            let mut session = Session::connect(address)?;
            Ok::<_, BenchError>((session.ask(&["sleep", "60000"]), Instant::now()))
        });
        let mut observer = Session::connect(self.caller.address)?;
        // The host that runs it tells so once a second.
        wait("the other host runs the call", || {
            let texts = observer.ask(&["fleet"]).ok()?;
            let is_count = |at: &usize| texts[*at] == "running";
            let places: Vec<_> = (0..texts.len()).filter(is_count).collect();
            match places[..] {
                [_, other] => (texts.get(other + 1)? == "1").then_some(()),
                // A host that has been killed before is still listed.
                _ => None,
            }
        })?;
        let began = Instant::now();
        self.other.signal(if kill { Signal::KILL } else { Signal::STOP });
        let (answer, ended) = caller.join().map_err(|_| BenchError::Program("panic".into()))??;
        match answer {
            Err(error) if error.to_string().contains("HOSTDOWN") => {}
            other => return Err(BenchError::Program(format!("no HOSTDOWN: {other:?}"))),
        }
        self.other.signal(Signal::KILL);
        self.other = Self::start_host(places, "other", true, Some(&self.nats.url()))?;
        self.wait_for_command()?;
        Ok(ended.saturating_duration_since(began).as_secs_f64() * 1e3)
    }
}

/// Waits for a line of a program's output.
pub fn wait_for_line(child: &mut Child, line: &str) -> Result<(), BenchError> {
    let output = child.stdout.take();
    let output = output.ok_or_else(|| BenchError::Program("a program has no output".into()))?;
    let found = BufReader::new(output).lines().map_while(Result::ok).any(|said| said == line);
    if found { Ok(()) } else { Err(BenchError::Program(format!("it has not said '{line}'"))) }
}

/// Waits until `look` returns a value.
pub fn wait<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> Result<T, BenchError> {
    let began = Instant::now();
    loop {
        check_interrupted()?;
        if let Some(found) = look() {
            return Ok(found);
        }
        if began.elapsed() > LIMIT {
            return Err(BenchError::Program(format!("waited in vain: {what}")));
        }
        thread::sleep(PAUSE);
    }
}

fn free_port() -> Result<u16, BenchError> {
    // A port that was free just now is still free.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let address = listener.and_then(|listener| listener.local_addr());
    Ok(address.map_err(failed("find", "a free port"))?.port())
}
