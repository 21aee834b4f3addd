//! The soak's own host, on any free port, with folders of its own.

use std::{
    collections::BTreeMap,
    env::consts::EXE_SUFFIX,
    fs::{self, File},
    io::{self, BufRead, BufReader, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::stall::Stopwatch;
use crate::{error::TaskError, install};

/// Time limit of a reload or a shutdown. The time in which the machine itself stood still does not
/// count: it is no fault of the host.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Pause between two checks whether a reload is over, which is the error of a measured time.
const PAUSE: Duration = Duration::from_micros(200);

/// The soak's own host. It is killed when this drops.
pub struct Served {
    child: Child,
    address: SocketAddr,
    control: BufReader<TcpStream>,
    folder: TempDir,
    copies: usize,
    plugins: usize,
    built: PathBuf,
}

/// The numbers of generations that are not unloaded.
#[derive(Default)]
pub struct Retired {
    pub draining: i64,
    pub lingering: i64,
}

impl Served {
    /// Starts the host that has been built there, with these plugins and further flags.
    pub fn start(built: &Path, names: &[String], flags: &[String]) -> Result<Self, TaskError> {
        let libraries = names.iter().map(|name| built.join(install::library(name)));
        Self::start_with(built, &libraries.collect::<Vec<_>>(), flags)
    }

    /// Starts the host that has been built there, with these libraries and further flags.
    pub fn start_with(
        built: &Path,
        libraries: &[PathBuf],
        flags: &[String],
    ) -> Result<Self, TaskError> {
        let folder = tempfile::tempdir().map_err(failed("make", Path::new("a directory")))?;
        let plugins = folder.path().join("plugins");
        fs::create_dir(&plugins).map_err(failed("make", &plugins))?;
        for library in libraries {
            let target = plugins.join(library.file_name().unwrap_or_default());
            fs::copy(library, target).map_err(failed("copy", library))?;
        }
        let program = built.join(format!("host{EXE_SUFFIX}"));
        let log = folder.path().join("log");
        let log = File::create(&log).map_err(failed("make", &log))?;
        let mut child = Command::new(&program)
            .args(["--port", "0", "--bind", "127.0.0.1", "--plugins"])
            .arg(&plugins)
            .arg("--state-dir")
            .arg(folder.path().join("state"))
            // Its folder is in a folder that is private.
            .arg("--allow-insecure-plugins")
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .map_err(failed("start", &program))?;
        let mut line = String::new();
        if let Some(out) = child.stdout.take() {
            BufReader::new(out).read_line(&mut line).map_err(failed("hear from", &program))?;
        }
        let port = line.trim_end().rsplit(':').next().and_then(|port| port.parse().ok());
        let port = port.ok_or_else(|| TaskError::Failed("starting the host".into()))?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let stream = TcpStream::connect_timeout(&address, TIMEOUT)
            .and_then(|stream| stream.set_read_timeout(Some(TIMEOUT)).map(|()| stream))
            .map_err(failed("connect to", &program))?;
        Ok(Self {
            child,
            address,
            control: BufReader::new(stream),
            folder,
            copies: 0,
            plugins: libraries.len(),
            built: built.to_owned(),
        })
    }

    /// Returns its address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Writes a library of the same code and another content into the folder, and waits until it
    /// answers. Returns the time from the rename to its first reply.
    pub fn reload(&mut self, plugin: &str) -> Result<Duration, TaskError> {
        let before = self.generation(plugin)?;
        let file = install::library(plugin);
        let beside = self.folder.path().join("next");
        let built = self.built.join(&file);
        self.copies += 1;
        let mut code = fs::read(&built).map_err(failed("read", &built))?;
        // The loader ignores bytes behind the library.
        code.extend_from_slice(&self.copies.to_le_bytes());
        fs::write(&beside, code).map_err(failed("write", &beside))?;
        let (renamed, waits) = (Instant::now(), Stopwatch::start());
        let target = self.folder.path().join("plugins").join(file);
        fs::rename(&beside, &target).map_err(failed("install", &target))?;
        while self.generation(plugin)? == before {
            if waits.left(TIMEOUT).is_zero() {
                self.log_tail(40).iter().for_each(|line| println!("{line}"));
                return Err(TaskError::Failed(format!("reload {} of {plugin}", self.copies)));
            }
            // A client that sends without pause would itself be load.
            thread::sleep(PAUSE);
        }
        Ok(renamed.elapsed())
    }

    /// Replaces a library in the folder by another version.
    pub fn replace(&mut self, library: &Path) -> Result<(), TaskError> {
        let beside = self.folder.path().join("next");
        fs::copy(library, &beside).map_err(failed("copy", library))?;
        let target = self.folder.path().join("plugins");
        let target = target.join(library.file_name().unwrap_or_default());
        fs::rename(&beside, &target).map_err(failed("install", &target))
    }

    /// Returns the last lines of the host's log; none where it cannot be read.
    pub fn log_tail(&self, lines: usize) -> Vec<String> {
        let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        let all: Vec<&str> = log.lines().collect();
        all[all.len().saturating_sub(lines)..].iter().map(|line| (*line).to_owned()).collect()
    }

    /// Sleeps for about as long as a reload takes.
    pub fn rest(&self) {
        thread::sleep(Duration::from_millis(10));
    }

    /// Writes this many keys into the store.
    pub fn fill_store(&mut self, keys: usize) -> Result<(), TaskError> {
        for first in (0..keys).step_by(1000) {
            let batch: String = (first..keys.min(first + 1000))
                .map(|key| format!("set key:{key} value-of-{key}\n"))
                .collect();
            self.send(&batch)?;
            for _ in first..keys.min(first + 1000) {
                self.line()?;
            }
        }
        Ok(())
    }

    /// Returns the reply to a line command, as a number.
    pub fn integer(&mut self, command: &str) -> Result<i64, TaskError> {
        self.send(&format!("{command}\n"))?;
        let reply = self.line()?;
        reply.parse().map_err(|_| TaskError::Failed(format!("{command}: '{reply}'")))
    }

    /// Returns the number of its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns the numbers of the processes that serve a plugin outside the host.
    pub fn pids(&mut self, plugin: &str) -> Result<Vec<u32>, TaskError> {
        let pids = self.info(plugin)?.remove("pids").unwrap_or_default();
        Ok(pids.split(|c: char| !c.is_ascii_digit()).filter_map(|pid| pid.parse().ok()).collect())
    }

    /// Starts the processes of a plugin again, and ends its quarantine.
    pub fn restart(&mut self, plugin: &str) -> Result<(), TaskError> {
        self.send(&format!("plugin restart {plugin}\n"))?;
        let reply = self.line()?;
        match reply.starts_with("error: ") {
            true => Err(TaskError::Failed(format!("plugin restart {plugin}: '{reply}'"))),
            false => Ok(()),
        }
    }

    /// Returns the resident memory in kB, or 0 where the system does not report it.
    pub fn memory(&self) -> Result<u64, TaskError> {
        let file = PathBuf::from(format!("/proc/{}/status", self.child.id()));
        let status = match fs::read_to_string(&file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            status => status.map_err(failed("read", &file))?,
        };
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        Ok(line
            .and_then(|line| line.split_whitespace().next())
            .and_then(|number| number.parse().ok())
            .unwrap_or_default())
    }

    /// Returns the numbers of generations that are not unloaded.
    pub fn retired(&mut self, plugins: &[&str]) -> Result<Retired, TaskError> {
        let mut sum = Retired::default();
        for plugin in plugins {
            sum.draining += self.fact(plugin, "draining")?;
            sum.lingering += self.fact(plugin, "lingering")?;
        }
        Ok(sum)
    }

    /// Waits until no generation of these plugins is draining: its code would count as memory.
    pub fn wait_until_drained(&mut self, plugins: &[&str]) -> Result<(), TaskError> {
        let waits = Stopwatch::start();
        while self.retired(plugins)?.draining > 0 {
            if waits.left(TIMEOUT).is_zero() {
                return Err(TaskError::Failed("draining what was replaced".into()));
            }
            thread::sleep(PAUSE);
        }
        Ok(())
    }

    /// Returns the number of files in the folder of private copies.
    pub fn copies(&self) -> Result<usize, TaskError> {
        count(&self.state().join("copies"))
    }

    /// Returns how many files are left in the state directory after the shutdown, beside the lock
    /// and the states.
    pub fn leftovers(&self) -> Result<usize, TaskError> {
        Ok(count(&self.state())?.saturating_sub(2))
    }

    /// Shuts the host down with `ks` and returns its exit status; -1 if a signal ended it.
    pub fn end(&mut self) -> Result<i32, TaskError> {
        self.send("ks\n")?;
        let waits = Stopwatch::start();
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return Ok(status.code().unwrap_or(-1)),
                Ok(None) if !waits.left(TIMEOUT).is_zero() => {
                    thread::sleep(Duration::from_millis(5));
                }
                _ => return Err(TaskError::Failed("ending the host".into())),
            }
        }
    }

    /// The generation of a plugin that serves.
    pub fn generation(&mut self, plugin: &str) -> Result<i64, TaskError> {
        self.send("plugins\n")?;
        let (mut found, start) = (None, format!("name: {plugin}, "));
        for _ in 0..self.plugins {
            let line = self.line()?;
            if line.starts_with(&start) {
                let after = line.split("generation: ").nth(1);
                found = after.and_then(|rest| rest.split(',').next()?.parse().ok());
            }
        }
        found.ok_or_else(|| TaskError::Failed(format!("plugin {plugin} is not served; its host")))
    }

    fn fact(&mut self, plugin: &str, name: &str) -> Result<i64, TaskError> {
        let info = self.info(plugin)?;
        Ok(info.get(name).map_or(0, |number| number.parse().unwrap_or(-1)))
    }

    /// Returns the reply to `plugin info`.
    fn info(&mut self, plugin: &str) -> Result<BTreeMap<String, String>, TaskError> {
        self.send(&format!("plugin info {plugin}\n"))?;
        let mut info = BTreeMap::new();
        loop {
            let line = self.line()?;
            let (name, value) = line.split_once(": ").unwrap_or((&line, ""));
            // It has no other end.
            let is_last = matches!(name, "limits" | "error");
            info.insert(name.to_owned(), value.to_owned());
            if is_last {
                return Ok(info);
            }
        }
    }

    fn send(&mut self, text: &str) -> Result<(), TaskError> {
        let sent = self.control.get_mut().write_all(text.as_bytes());
        sent.map_err(failed("write to", Path::new("the host")))
    }

    fn line(&mut self) -> Result<String, TaskError> {
        let (mut line, waits) = (String::new(), Stopwatch::start());
        loop {
            match self.control.read_line(&mut line) {
                Ok(0) => return Err(TaskError::Failed("the host ended early; its run".into())),
                Ok(_) => return Ok(line.trim_end().to_owned()),
                // Bytes that were read before stay in the line.
                Err(error) if is_late(&error) && !waits.left(TIMEOUT).is_zero() => {}
                Err(error) => return Err(failed("read from", Path::new("the host"))(error)),
            }
        }
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state").join(self.address.port().to_string())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // Fails if the host has just ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn is_late(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

fn count(folder: &Path) -> Result<usize, TaskError> {
    match fs::read_dir(folder) {
        Ok(entries) => Ok(entries.count()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(failed("read", folder)(error)),
    }
}

fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> TaskError {
    let path = path.to_owned();
    move |error| TaskError::Io(operation, path, error)
}
