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
    setup::Setup,
    system,
    wait::{LIMIT, wait_for, wait_until},
};

/// How much of a log is shown when a test fails. Bytes.
const SHOWN: usize = 20_000;

/// A running host, with a folder of its own. It ends with this.
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
            // What has started it may have printed lines before.
            let (_, addresses) = lines.find_map(|line| line.split_once(" listening on "))?;
            Some(addresses.split(" and ").map(|text| text.parse().expect("an address")).collect())
        });
        host
    }

    /// The addresses that it says it serves on.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Its port.
    ///
    /// # Panics
    /// Where it has none.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.addresses.first().expect("it serves on an address").port()
    }

    /// Where it is reached over IPv4.
    #[must_use]
    pub fn v4(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port()).into()
    }

    /// Where it is reached over IPv6.
    #[must_use]
    pub fn v6(&self) -> SocketAddr {
        (Ipv6Addr::LOCALHOST, self.port()).into()
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its plugins folder.
    #[must_use]
    pub fn plugins_folder(&self) -> PathBuf {
        self.folder.path().join("plugins")
    }

    /// Its state directory.
    #[must_use]
    pub fn state_dir(&self) -> &Path {
        &self.state_dir
    }

    /// Copies a package's library into the plugins folder: beside, then renamed.
    pub fn install(&self, package: &str) {
        files::install(&self.plugins_folder(), package);
    }

    /// What it has printed.
    #[must_use]
    pub fn stdout(&self) -> String {
        fs::read_to_string(self.folder.path().join("stdout")).unwrap_or_default()
    }

    /// The fingerprint of its certificate.
    ///
    /// # Panics
    /// Where it has not told.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let said = self.stdout();
        let line = said.lines().find_map(|line| line.strip_prefix("fingerprint "));
        line.expect("the host tells its fingerprint").to_owned()
    }

    /// What it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        let bytes = fs::read(self.folder.path().join("stderr")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits until the log says so, and returns the line.
    #[track_caller]
    pub fn wait_for_log(&self, text: &str) -> String {
        wait_for(&format!("the log says '{text}'"), LIMIT, || self.logged(text))
    }

    /// The line of the log that says so.
    #[must_use]
    pub fn logged(&self, text: &str) -> Option<String> {
        self.log().lines().find(|line| line.contains(text)).map(str::to_owned)
    }

    /// Ends it by `ks`, which must work, and returns its exit status.
    ///
    /// # Panics
    /// Where it does not end.
    #[track_caller]
    pub fn ks(&mut self) -> Option<i32> {
        let ipv4 = self.addresses.iter().any(SocketAddr::is_ipv4);
        let mut client = Lines::to(if ipv4 { self.v4() } else { self.v6() });
        assert_eq!(client.ask("ks"), "OK");
        self.exit()
    }

    /// Asks it to end, as the system does.
    pub fn terminate(&self) {
        system::terminate(&self.child);
    }

    /// Asks it to end, as Ctrl-C does.
    pub fn interrupt(&self) {
        system::interrupt(&self.child);
    }

    /// Tells it that its terminal is gone.
    #[cfg(unix)]
    pub fn hang_up(&self) {
        system::hang_up(&self.child);
    }

    /// Has it abort.
    #[cfg(unix)]
    pub fn abort(&self) {
        system::abort(&self.child);
    }

    /// How it has ended, once that is known.
    #[must_use]
    pub fn status(&self) -> Option<ExitStatus> {
        self.status
    }

    /// Waits for its end and returns its exit status, which a killed one does not have.
    #[track_caller]
    pub fn exit(&mut self) -> Option<i32> {
        self.exit_within(LIMIT)
    }

    /// As [`exit`](Self::exit), within this time.
    ///
    /// # Panics
    /// Where it takes longer.
    #[track_caller]
    pub fn exit_within(&mut self, limit: Duration) -> Option<i32> {
        wait_until("the host has ended", limit, || self.has_ended());
        self.status.and_then(|status| status.code())
    }

    /// Whether it has ended.
    ///
    /// # Panics
    /// Where the system does not know.
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
            // Where it ends just now, neither does anything.
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
