//! The host that is killed, always on the same folder and port.

use std::{
    env::consts::EXE_SUFFIX,
    fs::{self, File},
    io::{self, BufReader, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    ops::Range,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use super::{
    model::Found,
    reply::{Reply, put_command},
};
use crate::{
    error::TaskError,
    install,
    soak::{Stopwatch, connect, kill},
};

/// The plugin whose state is checked.
pub const PLUGIN: &str = "store";

/// Time limit of a start.
const LIMIT: Duration = Duration::from_secs(30);

/// Pause between two checks whether the plugin serves.
const PAUSE: Duration = Duration::from_micros(200);

/// The folder, the port and the settings of the hosts.
#[derive(Clone)]
pub struct Place {
    /// The folder of plugins, states and log.
    pub folder: PathBuf,
    built: PathBuf,
    port: u16,
    sync: String,
    flags: Vec<String>,
}

/// A running host. It is killed when this drops.
pub struct Host {
    child: Child,
    address: SocketAddr,
    started: Instant,
}

/// A session that asks the host about its plugin.
pub struct Control {
    stream: TcpStream,
    replies: BufReader<TcpStream>,
}

impl Place {
    /// Makes the folder's content, for hosts with these further flags.
    pub fn new(
        folder: &Path,
        built: &Path,
        sync: &str,
        flags: Vec<String>,
    ) -> Result<Self, TaskError> {
        let plugins = folder.join("plugins");
        fs::create_dir_all(&plugins).map_err(failed("make", &plugins))?;
        let library = install::library(PLUGIN);
        let source = built.join(&library);
        fs::copy(&source, plugins.join(library)).map_err(failed("copy", &source))?;
        let port = free_port().ok_or_else(|| TaskError::Failed("finding a free port".into()))?;
        let (folder, built, sync) = (folder.to_owned(), built.to_owned(), sync.to_owned());
        Ok(Self { folder, built, port, sync, flags })
    }

    /// Returns the same place in another folder, with a copy of the files of the state.
    pub fn copy_to(&self, folder: &Path) -> Result<Self, TaskError> {
        let place = Self::new(folder, &self.built, &self.sync, self.flags.clone())?;
        let target = place.states();
        fs::create_dir_all(&target).map_err(failed("make", &target))?;
        // The host requires it.
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let own = fs::Permissions::from_mode(0o700);
            for folder in target.ancestors().take(3) {
                fs::set_permissions(folder, own.clone())
                    .map_err(failed("change the rights of", folder))?;
            }
        }
        for file in files(&self.states())? {
            let name = file.file_name().unwrap_or_default();
            fs::copy(&file, target.join(name)).map_err(failed("copy", &file))?;
        }
        Ok(place)
    }

    /// Returns the folder of the states.
    pub fn states(&self) -> PathBuf {
        self.folder.join("state").join(self.port.to_string()).join("state")
    }

    /// Starts a host.
    pub fn start(&self) -> Result<Host, TaskError> {
        let program = self.built.join(format!("host{EXE_SUFFIX}"));
        let log = self.folder.join("log");
        let file = File::options().create(true).append(true).open(&log);
        let file = file.map_err(failed("open", &log))?;
        let started = Instant::now();
        let child = Command::new(&program)
            .args(["--bind", "127.0.0.1", "--port", &self.port.to_string(), "--plugins"])
            .arg(self.folder.join("plugins"))
            .arg("--state-dir")
            .arg(self.folder.join("state"))
            .args(["--durability", "journal", "--journal-sync", &self.sync])
            // Its folder is in a folder that is private.
            .arg("--allow-insecure-plugins")
            .args(&self.flags)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .map_err(failed("start", &program))?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        Ok(Host { child, address, started })
    }

    /// Puts a library of the same code and another content in place.
    pub fn replace_library(&self, number: u64) -> Result<(), TaskError> {
        let library = install::library(PLUGIN);
        let (source, beside) = (self.built.join(&library), self.folder.join("next"));
        let mut code = fs::read(&source).map_err(failed("read", &source))?;
        // The loader ignores bytes behind the library.
        code.extend_from_slice(&number.to_le_bytes());
        fs::write(&beside, code).map_err(failed("write", &beside))?;
        let target = self.folder.join("plugins").join(library);
        fs::rename(&beside, &target).map_err(failed("install", &target))
    }

    /// Returns the log.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

impl Host {
    /// Returns its address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until the plugin answers. Returns a session, and the time since the host was started.
    ///
    /// # Errors
    /// The host ended, or the plugin is not served in time: the reason.
    pub fn wait_until_served(&mut self) -> Result<(Control, Duration), String> {
        let waits = Stopwatch::start();
        let mut last = "no connection".to_owned();
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("the host ended: {status}"));
            }
            if waits.left(LIMIT).is_zero() {
                return Err(format!("the plugin is not served: {last}"));
            }
            if let Ok(mut control) = Control::connect(self.address) {
                match control.wait_until_answered(LIMIT) {
                    Ok(()) => return Ok((control, self.started.elapsed())),
                    Err(error) => last = error,
                }
            }
            thread::sleep(PAUSE);
        }
    }

    /// Waits until its log has this text, and the plugin is not served.
    ///
    /// # Errors
    /// The plugin is served, or the text is not there in time.
    pub fn wait_until_refused(&mut self, text: &str, place: &Place) -> Result<(), String> {
        let waits = Stopwatch::start();
        loop {
            let answer = Control::connect(self.address)
                .and_then(|mut control| control.ask(&["exists", "x"]))
                .map_err(|error| error.to_string());
            match answer {
                Ok(Reply::Integer(_)) => return Err("the plugin is served".into()),
                Ok(Reply::Error(_)) if place.log().contains(text) => return Ok(()),
                other if waits.left(LIMIT).is_zero() => return Err(format!("{other:?}")),
                _ => thread::sleep(PAUSE),
            }
        }
    }

    /// Kills it.
    pub fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        // Fails if it has just ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.end();
    }
}

impl Control {
    /// Connects to a host.
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = connect(address)?;
        Ok(Self { replies: BufReader::new(stream.try_clone()?), stream })
    }

    /// Opens another session with the same host.
    pub fn beside(&self) -> io::Result<Self> {
        Self::connect(self.stream.peer_addr()?)
    }

    /// Sends a command and returns the reply.
    pub fn ask(&mut self, parts: &[&str]) -> io::Result<Reply> {
        self.send(parts)?;
        Reply::read(&mut self.replies)
    }

    /// Sends a command, whose reply is not read.
    pub fn send(&mut self, parts: &[&str]) -> io::Result<()> {
        let mut bytes = Vec::new();
        put_command(&mut bytes, parts);
        self.stream.write_all(&bytes)
    }

    /// Waits until the plugin answers.
    ///
    /// # Errors
    /// It does not, or the host has ended: the last reason.
    pub fn wait_until_answered(&mut self, limit: Duration) -> Result<(), String> {
        let waits = Stopwatch::start();
        loop {
            let reply = self.ask(&["exists", "x"]).map_err(|error| error.to_string())?;
            match reply {
                Reply::Integer(_) => return Ok(()),
                _ if waits.left(limit).is_zero() => return Err(format!("{reply:?}")),
                _ => thread::sleep(PAUSE),
            }
        }
    }

    /// Returns the values of keys.
    pub fn values(&mut self, keys: &[String]) -> Result<Found, String> {
        let mut parts = vec!["mget"];
        parts.extend(keys.iter().map(String::as_str));
        let reply = self.ask(&parts).map_err(|error| error.to_string())?;
        let Reply::Array(all) = reply else { return Err(format!("mget: {reply:?}")) };
        let pairs = keys.iter().zip(all).filter_map(|(key, value)| match value {
            Reply::Text(value) => Some((key.clone(), value)),
            _ => None,
        });
        Ok(pairs.collect())
    }

    /// Returns the processes that serve the plugin outside the host.
    pub fn pids(&mut self) -> Vec<u32> {
        let info = self.ask(&["plugin", "info", PLUGIN]).map(|reply| reply.texts());
        let info = info.unwrap_or_default();
        let pids = info.iter().skip_while(|text| *text != "pids").nth(1);
        let numbers = pids.map_or("", String::as_str).split(|c: char| !c.is_ascii_digit());
        numbers.filter_map(|number| number.parse().ok()).collect()
    }

    /// Kills the processes that serve the plugin outside the host. Returns false if there are none.
    pub fn kill_workers(&mut self) -> bool {
        let pids = self.pids();
        pids.iter().for_each(|pid| kill(*pid));
        !pids.is_empty()
    }
}

/// Returns a free port for hosts that follow each other; the folder of states has it in its name.
/// It is none of those that the system gives to connections: while no host listens, such a port may
/// become that of the session that tries to connect.
fn free_port() -> Option<u16> {
    const PORTS: Range<u16> = 20_000..32_000;
    let first = (std::process::id() % u32::from(PORTS.end - PORTS.start)) as u16;
    let ports = (PORTS.start + first..PORTS.end).chain(PORTS.start..PORTS.start + first);
    let mut ports = ports.filter(|port| !TAKEN.lock().is_ok_and(|taken| taken.contains(port)));
    let port = ports.find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())?;
    TAKEN.lock().ok()?.push(port);
    Some(port)
}

/// The ports of this process's hosts.
static TAKEN: Mutex<Vec<u16>> = Mutex::new(Vec::new());

/// Returns the files in a folder.
pub fn files(folder: &Path) -> Result<Vec<PathBuf>, TaskError> {
    let entries = fs::read_dir(folder).map_err(failed("read", folder))?;
    let mut files = Vec::new();
    for entry in entries {
        files.push(entry.map_err(failed("read", folder))?.path());
    }
    files.sort();
    Ok(files)
}

/// Returns an error of an operation on a file.
pub fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> TaskError {
    let path = path.to_owned();
    move |error| TaskError::Io(operation, path, error)
}
