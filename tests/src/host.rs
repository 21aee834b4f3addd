//! A running host.

use std::{
    fs,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, ExitStatus},
    thread,
    time::Duration,
};

use tempfile::TempDir;

use crate::{
    files,
    lines::Lines,
    setup::{SETTINGS, Setup},
    system,
    wait::{LIMIT, wait_for, wait_until},
};

/// Length of the log's end that a failed test shows, in bytes.
const SHOWN: usize = 20_000;

/// A running host, with a folder of its own. Dropping it ends the host.
pub struct Host {
    child: Child,
    command: String,
    folder: TempDir,
    state_dir: PathBuf,
    addresses: Vec<SocketAddr>,
    status: Option<ExitStatus>,
}

impl Host {
    /// Starts a host with these plugins.
    #[must_use]
    #[track_caller]
    pub fn start(plugins: &[&str]) -> Self {
        Setup::new().plugins(plugins).start()
    }

    #[track_caller]
    pub(crate) fn serving(
        child: Child,
        command: String,
        folder: TempDir,
        state_dir: PathBuf,
    ) -> Self {
        let addresses = Vec::new();
        let mut host = Self { child, command, folder, state_dir, addresses, status: None };
        host.addresses = wait_for("the host serves", LIMIT, || {
            assert!(!host.has_ended(), "the host has ended at once");
            let said = host.stdout();
            let mut lines = said.lines().filter(|_| said.ends_with('\n'));
            // The program that started it may have printed lines before.
            let (_, addresses) = lines.find_map(|line| line.split_once(" listening on "))?;
            Some(addresses.split(" and ").map(|text| text.parse().expect("an address")).collect())
        });
        host
    }

    /// Returns the addresses that the host serves on, from its output.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Returns its port.
    ///
    /// # Panics
    /// It serves no port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.addresses.first().expect("it serves on an address").port()
    }

    /// Returns its IPv4 address.
    #[must_use]
    pub fn v4(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port()).into()
    }

    /// Returns its IPv6 address.
    #[must_use]
    pub fn v6(&self) -> SocketAddr {
        (Ipv6Addr::LOCALHOST, self.port()).into()
    }

    /// Returns its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns its plugins folder.
    #[must_use]
    pub fn plugins_folder(&self) -> PathBuf {
        self.folder.path().join("plugins")
    }

    /// Replaces the settings file of a host that was started with one.
    ///
    /// # Panics
    /// The file cannot be written.
    pub fn replace_settings(&self, toml: &str) {
        let beside = self.folder.path().join("settings.new");
        fs::write(&beside, toml).expect("a file can be written");
        files::rename(&beside, self.folder.path().join(SETTINGS));
    }

    /// Returns its state directory.
    #[must_use]
    pub fn state_dir(&self) -> &Path {
        &self.state_dir
    }

    /// Copies a package's library into the plugins folder: to a temporary name, then renamed.
    pub fn install(&self, package: &str) {
        files::install(&self.plugins_folder(), package);
    }

    /// Returns its standard output so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        fs::read_to_string(self.folder.path().join("stdout")).unwrap_or_default()
    }

    /// Returns the fingerprint of its certificate.
    ///
    /// # Panics
    /// The host has not printed one.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let said = self.stdout();
        let line = said.lines().find_map(|line| line.strip_prefix("fingerprint "));
        line.expect("the host tells its fingerprint").to_owned()
    }

    /// Returns its log so far.
    #[must_use]
    pub fn log(&self) -> String {
        let bytes = fs::read(self.folder.path().join("stderr")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits until the log has a line with this text, and returns the line.
    #[track_caller]
    pub fn wait_for_log(&self, text: &str) -> String {
        wait_for(&format!("the log says '{text}'"), LIMIT, || self.logged(text))
    }

    /// Returns the log's line with this text, once the line is complete.
    #[must_use]
    pub fn logged(&self, text: &str) -> Option<String> {
        let log = self.log();
        let complete = log.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        complete.flat_map(str::lines).find(|line| line.contains(text)).map(str::to_owned)
    }

    /// Returns the log's first warning, except those of session threads that end late, as they do on
    /// a loaded machine.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        let log = self.log();
        let mut warnings = log.lines().filter(|line| line.contains(" WARN "));
        warnings.find(|line| !line.contains("of sessions do not end")).map(str::to_owned)
    }

    /// Ends the host by `ks`, which must succeed, and returns its exit status.
    ///
    /// # Panics
    /// The host does not end.
    #[track_caller]
    pub fn ks(&mut self) -> Option<i32> {
        let ipv4 = self.addresses.iter().any(SocketAddr::is_ipv4);
        let mut client = Lines::connect_to(if ipv4 { self.v4() } else { self.v6() });
        assert_eq!(client.ask("ks"), "OK");
        self.exit()
    }

    /// Ends the host as the system does, with SIGTERM.
    pub fn terminate(&self) {
        system::terminate(&self.child);
    }

    /// Ends the host as Ctrl-C does.
    pub fn interrupt(&self) {
        system::interrupt(&self.child);
    }

    /// Sends the signal that a closed terminal sends.
    #[cfg(unix)]
    pub fn hang_up(&self) {
        system::hang_up(&self.child);
    }

    /// Makes the host abort.
    #[cfg(unix)]
    pub fn abort(&self) {
        system::abort(&self.child);
    }

    /// Returns the exit status, once it is known.
    #[must_use]
    pub fn status(&self) -> Option<ExitStatus> {
        self.status
    }

    /// Waits for the host's end and returns its exit status; a killed host has none.
    #[track_caller]
    pub fn exit(&mut self) -> Option<i32> {
        self.exit_within(LIMIT)
    }

    /// Waits for the host's end within this time; see [`exit`](Self::exit).
    ///
    /// # Panics
    /// The host takes longer.
    #[track_caller]
    pub fn exit_within(&mut self, limit: Duration) -> Option<i32> {
        wait_until("the host has ended", limit, || self.has_ended());
        self.status.and_then(|status| status.code())
    }

    /// Returns whether the host has ended.
    ///
    /// # Panics
    /// The system does not know.
    pub fn has_ended(&mut self) -> bool {
        if self.status.is_none() {
            self.status = self.child.try_wait().expect("a child can be asked");
        }
        self.status.is_some()
    }

    fn report(&self) {
        let log = self.log();
        let start = log.len().saturating_sub(SHOWN);
        let log = log.get(start..).unwrap_or(&log);
        let state = match self.status {
            Some(status) => status.to_string(),
            None => "still running".into(),
        };
        eprintln!("--- {}\n--- {state}; stdout:\n{}--- log:\n{log}", self.command, self.stdout());
        eprintln!("--- files:");
        list(self.folder.path());
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let ended = self.has_ended();
        if thread::panicking() {
            self.report();
        }
        if !ended {
            // Fails if the host has just ended.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn list(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let size = entry.metadata().map(|data| data.len()).unwrap_or_default();
        eprintln!("{size:>10} {}", entry.path().display());
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            list(&entry.path());
        }
    }
}
