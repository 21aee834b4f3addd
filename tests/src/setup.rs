//! The setup of a host before its start: folder, flags and environment.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use tempfile::TempDir;

use crate::{
    built, files,
    host::Host,
    wait::{LIMIT, wait_until},
};

/// The name of a host's settings file.
pub(crate) const SETTINGS: &str = "host.toml";

/// Time limits for plugins that are long enough for a loaded machine. Flags override them; a
/// settings file does not.
const LONG_LIMITS: [(&str, &str); 2] =
    [("DROPIN_PROBE_TIMEOUT", "60"), ("DROPIN_HANDOVER_TIMEOUT", "30")];

/// A host before its start, in a folder of its own.
pub struct Setup {
    folder: TempDir,
    program: PathBuf,
    wrapper: Vec<OsString>,
    developed: Option<PathBuf>,
    port: String,
    flags: Vec<OsString>,
    environment: Vec<(String, String)>,
    state_dir: PathBuf,
    log_level: String,
}

/// The exit status and the output of a program that has ended.
#[derive(Debug, PartialEq, Eq)]
pub struct Ended {
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Self {
            status: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}

impl Default for Setup {
    fn default() -> Self {
        Self::new()
    }
}

impl Setup {
    /// Returns a host with an empty plugins folder, on any free port.
    ///
    /// # Panics
    /// Its folder cannot be created.
    #[must_use]
    pub fn new() -> Self {
        files::close_to_others();
        let folder = tempfile::tempdir().expect("there is room for a folder");
        fs::create_dir(folder.path().join("plugins")).expect("a folder can be made");
        Self {
            state_dir: folder.path().join("state"),
            log_level: "debug".into(),
            folder,
            program: built::program("host"),
            wrapper: Vec::new(),
            developed: None,
            port: "0".into(),
            flags: Vec::new(),
            environment: Vec::new(),
        }
    }

    /// Installs the libraries of these packages.
    #[must_use]
    pub fn plugins(self, packages: &[&str]) -> Self {
        packages.iter().for_each(|package| files::install(&self.plugins_folder(), package));
        self
    }

    /// Installs a library under another file name, given without its extension.
    #[must_use]
    pub fn plugin_as(self, package: &str, name: &str) -> Self {
        let bytes = fs::read(built::library(package)).expect("the library is built");
        self.file(&built::library_name(name), &bytes)
    }

    /// Writes a file into the plugins folder.
    ///
    /// # Panics
    /// The file cannot be written.
    #[must_use]
    pub fn file(self, name: &str, bytes: &[u8]) -> Self {
        let path = self.plugins_folder().join(name);
        fs::create_dir_all(path.parent().expect("a file lies in a folder")).expect("a folder");
        fs::write(path, bytes).expect("a file can be written");
        self
    }

    /// Removes the plugins folder.
    ///
    /// # Panics
    /// The folder cannot be removed.
    #[must_use]
    pub fn without_plugins_folder(self) -> Self {
        fs::remove_dir_all(self.plugins_folder()).expect("a folder can be removed");
        self
    }

    /// Sets the port, instead of any free one.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = port.to_string();
        self
    }

    /// Omits `--port`.
    #[must_use]
    pub fn default_port(mut self) -> Self {
        self.port.clear();
        self
    }

    /// Adds flags.
    #[must_use]
    pub fn flags(mut self, flags: &[&str]) -> Self {
        self.flags.extend(flags.iter().map(OsString::from));
        self
    }

    /// Writes a settings file, which is beside the plugins folder, and has the host read it.
    ///
    /// # Panics
    /// The file cannot be written.
    #[must_use]
    pub fn settings(self, toml: &str) -> Self {
        let path = self.folder.path().join(SETTINGS);
        fs::write(&path, toml).expect("a file can be written");
        self.flags(&["--config", path.to_str().expect("its path is text")])
    }

    /// Sets the state directory, instead of one in the host's own folder.
    #[must_use]
    pub fn state_dir(mut self, path: &Path) -> Self {
        path.clone_into(&mut self.state_dir);
        self
    }

    /// Sets the log level, instead of debug.
    #[must_use]
    pub fn log_level(mut self, level: &str) -> Self {
        level.clone_into(&mut self.log_level);
        self
    }

    /// Sets a variable of the host's environment.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Starts this copy of the host's program.
    #[must_use]
    pub fn program(mut self, path: &Path) -> Self {
        self.program = path.to_owned();
        self
    }

    /// Starts the host by another program, which must become the host by `exec`.
    #[must_use]
    pub fn started_by(mut self, command: &[&str]) -> Self {
        self.wrapper = command.iter().map(OsString::from).collect();
        self
    }

    /// Starts `host dev` for the crate in this folder, with a plugins folder and a state directory
    /// that it creates itself. Cargo works offline.
    #[must_use]
    pub fn develop(mut self, crate_folder: &Path) -> Self {
        self.developed = Some(crate_folder.to_owned());
        let target = crate::workspace::target();
        let target = target.to_str().expect("its path is text");
        let variables = crate::workspace::VARIABLES.into_iter();
        variables
            .chain([("CARGO_TARGET_DIR", target)])
            .fold(self, |setup, (name, value)| setup.variable(name, value))
    }

    /// Returns the plugins folder.
    #[must_use]
    pub fn plugins_folder(&self) -> PathBuf {
        self.folder.path().join("plugins")
    }

    /// Starts the host and waits until it serves.
    ///
    /// # Panics
    /// The host does not serve.
    #[must_use]
    #[track_caller]
    pub fn start(self) -> Host {
        let (child, command) = self.spawn();
        Host::serving(child, command, self.folder, self.state_dir)
    }

    /// Starts the host and waits until it has ended by itself.
    ///
    /// # Panics
    /// The host serves instead.
    #[must_use]
    #[track_caller]
    pub fn run(self) -> Ended {
        let (child, _) = self.spawn();
        ended(child, self.folder.path())
    }

    fn spawn(&self) -> (Child, String) {
        let mut words = self.wrapper.iter().cloned().chain([self.program.clone().into()]);
        let mut command = Command::new(words.next().expect("there is a program"));
        command.args(words);
        if let Some(folder) = &self.developed {
            command.arg("dev").arg(folder);
        } else {
            command.arg("--plugins").arg(self.plugins_folder());
            command.arg("--state-dir").arg(&self.state_dir);
        }
        if !self.port.is_empty() {
            command.args(["--port", &self.port]);
        }
        command.args(["--log-level", &self.log_level]).args(&self.flags);
        if let Some(threads) = threads().filter(|_| !self.flags.contains(&"--threads".into())) {
            command.args(["--threads", &threads]);
        }
        hide_user_settings(&mut command, self.folder.path());
        command.envs(LONG_LIMITS);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        (spawn_into(&mut command, self.folder.path()), format!("{command:?}"))
    }
}

/// Returns how the sessions of each host get their threads, from the variable
/// `DROPIN_TEST_THREADS`; `None` as the host does by itself.
#[must_use]
pub fn threads() -> Option<String> {
    std::env::var("DROPIN_TEST_THREADS").ok()
}

/// Returns whether the sessions of each host share threads.
#[must_use]
pub fn are_threads_shared() -> bool {
    threads().as_deref() == Some("shared")
}

/// Runs the host's program with only these arguments, to its end. Its time limits for plugins are
/// long, as those of a [`Setup`].
///
/// # Panics
/// The program does not end.
#[must_use]
#[track_caller]
pub fn run_host(arguments: &[&str]) -> Ended {
    run_host_by(&[], arguments)
}

/// Runs [`run_host`] by another program, which must become the host by `exec`.
///
/// # Panics
/// The program does not end.
#[must_use]
#[track_caller]
pub fn run_host_by(starter: &[&str], arguments: &[&str]) -> Ended {
    files::close_to_others();
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let host = built::program("host");
    let mut words = starter.iter().map(OsStr::new).chain([host.as_os_str()]);
    let mut command = Command::new(words.next().expect("there is the host at least"));
    command.args(words).args(arguments).current_dir(folder.path());
    hide_user_settings(&mut command, folder.path());
    command.envs(LONG_LIMITS);
    ended(spawn_into(&mut command, folder.path()), folder.path())
}

/// Hides the settings of this machine's user from a host.
pub fn hide_user_settings(command: &mut Command, folder: &Path) {
    let inherited = std::env::vars_os().map(|(name, _)| name);
    for name in inherited.filter(|name| name.to_string_lossy().starts_with("DROPIN_")) {
        command.env_remove(name);
    }
    for name in ["NOTIFY_SOCKET", "WATCHDOG_USEC", "LISTEN_FDS", "JOURNAL_STREAM"] {
        command.env_remove(name);
    }
    // The folders in which Linux and Windows keep settings.
    for name in ["XDG_CONFIG_HOME", "APPDATA"] {
        command.env(name, folder.join("config"));
    }
}

fn spawn_into(command: &mut Command, folder: &Path) -> Child {
    #[cfg(windows)]
    {
        // A hidden console of its own, in which Ctrl-C can be typed.
        const CREATE_NO_WINDOW: u32 = 0x0800_0000;
        std::os::windows::process::CommandExt::creation_flags(command, CREATE_NO_WINDOW);
    }
    let file = |name| File::create(folder.join(name)).expect("a file can be made");
    command
        .stdin(Stdio::null())
        .stdout(file("stdout"))
        .stderr(file("stderr"))
        .spawn()
        // In the system's words, which tell a fault of Wine.
        .unwrap_or_else(|error| panic!("the host cannot be started: {error}"))
}

#[track_caller]
fn ended(mut child: Child, folder: &Path) -> Ended {
    let said = |name| fs::read_to_string(folder.join(name)).unwrap_or_default();
    let mut status = None;
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        wait_until("the program has ended by itself", LIMIT, || {
            status = child.try_wait().expect("a child can be asked");
            status.is_some()
        });
    }));
    if let Err(payload) = ended {
        // Fails if the host has just ended.
        let _ = child.kill();
        let _ = child.wait();
        eprintln!("stdout: {}\nstderr: {}", said("stdout"), said("stderr"));
        std::panic::resume_unwind(payload);
    }
    let status = status.and_then(|status| status.code());
    Ended { status, stdout: said("stdout"), stderr: said("stderr") }
}
