//! Communication with systemd: sd_notify(3), sd_listen_fds(3).

use std::{
    io::ErrorKind,
    net::{SocketAddr, TcpListener, TcpStream},
    os::{fd::AsRawFd, unix::net::UnixDatagram},
    path::Path,
    thread,
    time::Duration,
};

use dropin_tests::{Host, LIMIT, Lines, Setup, system::unused_port, wait_for, wait_until};
use rustix::io::{FdFlags, fcntl_setfd};
use tempfile::tempdir;

/// The socket that receives the notifications.
struct NotifySocket(UnixDatagram);

impl NotifySocket {
    fn at(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self(socket)
    }

    /// Returns the next message.
    #[track_caller]
    fn next(&self) -> String {
        let mut buffer = [0; 4096];
        let length = wait_for("systemd gets a message", LIMIT, || match self.0.recv(&mut buffer) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            received => Some(received.unwrap()),
        });
        String::from_utf8(buffer[..length].to_vec()).unwrap().trim_end().to_owned()
    }

    /// Returns the next message with this start.
    #[track_caller]
    fn wait_for(&self, start: &str) -> String {
        wait_for(start, LIMIT, || Some(self.next()).filter(|said| said.starts_with(start)))
    }
}

#[test]
fn systemd_gets_ready_status_watchdog_and_stopping() {
    let folder = tempdir().unwrap();
    let socket = folder.path().join("notify");
    let systemd = NotifySocket::at(&socket);
    let mut host = Setup::new()
        .plugins(&["text", "store"])
        .variable("NOTIFY_SOCKET", socket.to_str().unwrap())
        .variable("WATCHDOG_USEC", "400000")
        .start();
    // It is ready only when its plugins are loaded. Other messages may come before.
    assert_eq!(
        systemd.wait_for("READY=1"),
        "READY=1\nSTATUS=plugins: 2, sessions: 0, calls so far: 0"
    );
    for _ in 0..3 {
        systemd.wait_for("WATCHDOG=1");
    }
    let mut client = Lines::connect(&host);
    assert_eq!(client.ask("echo x"), "x");
    systemd.wait_for("STATUS=plugins: 2, sessions: 1, calls so far: 1");
    host.terminate();
    systemd.wait_for("STOPPING=1\nSTATUS=shutting down");
    assert_eq!(host.exit(), Some(0));
}

#[test]
fn systemd_timeout_is_extended_while_saving() {
    let folder = tempdir().unwrap();
    let socket = folder.path().join("notify");
    let systemd = NotifySocket::at(&socket);
    let keeper = dropin_tests::reload::marked("keeper", "1 save-hangs");
    let mut host = Setup::new()
        .file(&dropin_tests::built::library_name("keeper"), &keeper)
        .flags(&["--save-timeout", "3"])
        .variable("NOTIFY_SOCKET", socket.to_str().unwrap())
        .start();
    host.terminate();
    let status = "STATUS=plugin keeper: in `save` (for ";
    wait_until("it asks for more time", LIMIT, || {
        let said = systemd.next();
        said.starts_with("EXTEND_TIMEOUT_USEC=30000000\n") && said.contains(status)
    });
    assert_eq!(host.exit(), Some(4));
}

#[test]
fn unreachable_service_manager_does_not_prevent_serving() {
    let host = Setup::new().variable("NOTIFY_SOCKET", "/nowhere/at/all").start();
    assert_eq!(Lines::connect(&host).ask("ping"), "PONG");
    host.wait_for_log("cannot notify the service manager");
}

/// Starts a host that is passed this socket as systemd does it: as descriptor 3.
fn start_with(listener: &TcpListener, flags: &[&str]) -> Host {
    // Other programs of the test inherit nothing.
    fcntl_setfd(listener, FdFlags::empty()).unwrap();
    let number = listener.as_raw_fd();
    // Other shells know only descriptors of one digit, and other tests use those.
    let shell = format!("LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" \"$@\" 3<&{number} {number}<&-");
    let shell = if number == 3 { shell.replace(" 3<&3 3<&-", "") } else { shell };
    let host = Setup::new().flags(flags).started_by(&["bash", "-c", &shell]).start();
    fcntl_setfd(listener, FdFlags::CLOEXEC).unwrap();
    host
}

#[test]
#[cfg_attr(not(tool = "bash"), ignore = "needs bash")]
fn passed_socket_is_served_and_left_listening() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // Its own flags do not matter: the port of this one is taken.
    let mut host = start_with(&listener, &["--bind", "127.0.0.2"]);
    assert_eq!(host.addresses(), [address]);
    assert_eq!(Lines::connect(&host).ask("ping"), "PONG");
    assert_eq!(host.ks(), Some(0));
    // A client that connects between two hosts waits, and the next host serves it.
    let mut early = Lines::connect_to(address);
    early.say("ping");
    let mut next = start_with(&listener, &[]);
    assert_eq!(early.line(), "PONG");
    next.terminate();
    assert_eq!(next.exit(), Some(0));
}

#[test]
#[cfg_attr(not(tool = "bash"), ignore = "needs bash")]
fn dual_stack_socket_shows_ipv4_clients_as_ipv4() {
    let listener = TcpListener::bind("[::]:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let host = start_with(&listener, &[]);
    // Trusted, since it is on this machine, and shown with its own address.
    let mut client = Lines::connect_to(SocketAddr::from(([127, 0, 0, 1], port)));
    let said = client.ask("client info");
    assert!(said.contains("addr=127.0.0.1:"), "{said}");
    drop(host);
}

#[test]
fn passed_descriptor_must_be_a_listening_socket() {
    let shell = "LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" \"$@\" 3</dev/null";
    let ended = Setup::new().started_by(&["sh", "-c", shell]).run();
    assert_eq!(ended.status, Some(1));
    assert!(ended.stderr.contains("use the service manager's sockets"), "{ended:?}");
    // A socket for another process is not used.
    let shell = "LISTEN_PID=1 LISTEN_FDS=1 exec \"$0\" \"$@\" 3</dev/null";
    let host = Setup::new().started_by(&["sh", "-c", shell]).start();
    assert_eq!(Lines::connect(&host).ask("ping"), "PONG");
}

#[test]
#[cfg_attr(not(tool = "systemd-socket-activate"), ignore = "needs systemd-socket-activate")]
fn socket_activation_starts_host_with_first_client() {
    let address = SocketAddr::from(([127, 0, 0, 1], unused_port()));
    let text = address.to_string();
    let first = thread::spawn(move || {
        let mut stream = None;
        wait_until("the socket is there", LIMIT, || {
            stream = TcpStream::connect_timeout(&address, Duration::from_secs(1)).ok();
            stream.is_some()
        });
        Lines::from_connection(dropin_tests::Connection::from_stream(stream.unwrap()))
            .ask("echo first")
    });
    let setup = Setup::new().plugins(&["text"]);
    let mut host = setup.started_by(&["systemd-socket-activate", "-l", &text]).start();
    assert_eq!(host.addresses(), [address]);
    assert_eq!(first.join().unwrap(), "first");
    assert_eq!(host.ks(), Some(0));
}
