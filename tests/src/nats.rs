//! A NATS server of a test's own, or several that are a cluster.

use std::{
    fs::File,
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use crate::{
    port::Port,
    wait::{LIMIT, wait_until},
};

/// A running NATS server, with JetStream, in a folder of its own. Dropping it ends the server.
pub struct Nats {
    folder: TempDir,
    port: Port,
    cluster: Port,
    /// The addresses of the routes to the other servers of a cluster.
    routes: Vec<String>,
    /// A program that starts the server, such as `ip netns exec NAME`.
    wrapper: Vec<String>,
    address: String,
    flags: Vec<String>,
    child: Option<Child>,
}

impl Nats {
    /// Starts a server on a free port of the loopback address.
    #[must_use]
    #[track_caller]
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// Starts a server with further flags.
    ///
    /// # Panics
    /// The server cannot be started, or does not listen.
    #[must_use]
    #[track_caller]
    pub fn with(flags: &[&str]) -> Self {
        let mut server = Self::new();
        server.flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        server.restart();
        server
    }

    /// Starts a server at this address with further flags, by a program that must become the server
    /// by `exec`. It may not listen yet.
    ///
    /// # Panics
    /// The server cannot be started.
    #[must_use]
    pub fn started_by(wrapper: &[&str], address: &str, flags: &[&str]) -> Self {
        let mut server = Self::new();
        server.flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        server.wrapper = wrapper.iter().map(|word| (*word).to_owned()).collect();
        address.clone_into(&mut server.address);
        server.spawn();
        server
    }

    /// Starts a cluster of three servers.
    ///
    /// # Panics
    /// A server cannot be started.
    #[must_use]
    #[track_caller]
    pub fn cluster() -> [Self; 3] {
        let mut servers = [Self::new(), Self::new(), Self::new()];
        let route = |server: &Self| format!("nats://127.0.0.1:{}", server.cluster.number());
        let routes = servers.each_ref().map(route);
        for server in &mut servers {
            server.routes = routes.to_vec();
            server.restart();
        }
        servers
    }

    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("there is room for a folder"),
            port: Port::hold(),
            cluster: Port::hold(),
            routes: Vec::new(),
            wrapper: Vec::new(),
            address: "127.0.0.1".into(),
            flags: Vec::new(),
            child: None,
        }
    }

    /// Returns the address for the flag `--fleet`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://{}:{}", self.address, self.port.number())
    }

    /// Returns the address itself.
    ///
    /// # Panics
    /// The server has no IP address.
    #[must_use]
    pub fn socket(&self) -> SocketAddr {
        let ip = self.address.parse().expect("an IP address");
        SocketAddr::new(ip, self.port.number())
    }

    /// Returns the server's folder.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// Returns the server's process id.
    ///
    /// # Panics
    /// The server does not run.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("the server runs").id()
    }

    /// Kills the server.
    pub fn kill(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        // It may have ended by itself.
        let _ = child.kill();
        let _ = child.wait();
    }

    /// Starts the server again, on the same port, and waits until it listens.
    ///
    /// # Panics
    /// The server does not listen.
    #[track_caller]
    pub fn restart(&mut self) {
        self.spawn();
        wait_until("the NATS server listens", LIMIT, || {
            let ended = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten());
            assert!(ended.is_none(), "the NATS server has ended: {}", self.log());
            TcpStream::connect((self.address.as_str(), self.port.number())).is_ok()
        });
    }

    /// Returns the server's log.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    fn spawn(&mut self) {
        self.kill();
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.folder.path().join("log"))
            .expect("a file can be made");
        let mut words = self.wrapper.iter().map(String::as_str).chain(["nats-server"]);
        let mut command = Command::new(words.next().expect("there is a program"));
        command.args(words);
        command.args(["-a", &self.address, "-p", &self.port.number().to_string()]);
        command.arg("-sd").arg(self.folder.path().join("data")).args(&self.flags);
        if self.routes.is_empty() {
            command.arg("-js");
        } else {
            let own = format!("nats://127.0.0.1:{}", self.cluster.number());
            command.args(["--cluster_name", "test", "--cluster", &own]);
            command.args(["--routes", &self.routes.join(",")]);
        }
        let log_too = log.try_clone().expect("a file can be opened twice");
        command.stdin(Stdio::null()).stdout(log).stderr(log_too);
        let child = command.spawn();
        self.child =
            Some(child.unwrap_or_else(|error| panic!("cannot start nats-server: {error}")));
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- the NATS server's log\n{}", self.log());
        }
    }
}
