//! Clients that vanish: nothing of them is left, and no other session notices.

use std::{io::Read, net::SocketAddr, process::Command};

#[cfg(target_os = "linux")]
use dropin_tests::system::{has_session_threads, sockets};
use dropin_tests::{
    Connection, Frame, Host, LIMIT, Lines, Resp, Setup, resp::encode, tool::Running, wait_until,
};

/// A client that stays, and checks that nothing is left of another.
struct Observer {
    client: Lines,
    host: Host,
    #[cfg(target_os = "linux")]
    sockets: usize,
}

impl Observer {
    fn of(host: Host) -> Self {
        let mut client = Lines::connect(&host);
        assert_eq!(client.ask("ping"), "PONG");
        Self {
            client,
            #[cfg(target_os = "linux")]
            sockets: sockets(host.pid()),
            host,
        }
    }

    fn is_listed(&mut self, peer: SocketAddr) -> bool {
        let entry = format!(" addr={peer} ");
        self.client.ask_all("client list").iter().any(|line| line.contains(&entry))
    }

    #[track_caller]
    fn wait_until_listed(&mut self, peer: SocketAddr) {
        wait_until("the client is listed", LIMIT, || self.is_listed(peer));
    }

    /// No entry, no thread, no socket; and this session has not noticed.
    #[track_caller]
    fn assert_alone(&mut self) {
        wait_until("its entry has gone", LIMIT, || self.client.ask_all("client list").len() == 1);
        #[cfg(target_os = "linux")]
        wait_until("its thread and its socket have gone", LIMIT, || {
            has_session_threads(self.host.pid(), 1) && sockets(self.host.pid()) == self.sockets
        });
        assert_eq!(self.client.ask("client id"), "1");
    }
}

#[test]
fn a_client_that_is_reset_while_idle() {
    let mut observer = Observer::of(Host::start(&[]));
    let mut client = Lines::connect(&observer.host);
    assert_eq!(client.ask("ping"), "PONG");
    assert!(observer.is_listed(client.local()));
    client.into_connection().reset();
    observer.assert_alone();
}

#[test]
fn client_reset_within_a_request() {
    let mut observer = Observer::of(Host::start(&[]));
    for bytes in ["*2\r\n$4\r\nec", "echo half a li"] {
        let mut client = Connection::connect(observer.host.v4());
        client.send(bytes);
        observer.wait_until_listed(client.local());
        client.reset();
        observer.assert_alone();
    }
}

#[test]
fn client_reset_while_worker_waits() {
    let mut observer = Observer::of(Host::start(&["busy"]));
    let mut client = Resp::connect(&observer.host);
    let peer = client.local();
    client.say(&["linger", "600000"]);
    observer.host.wait_for_log(&format!("lingering for {peer}"));
    client.into_connection().reset();
    observer.host.wait_for_log(&format!("cancelled for {peer}"));
    observer.assert_alone();
}

#[test]
fn client_reset_while_subscribed_to_plugins() {
    let mut observer = Observer::of(Host::start(&[]));
    let mut client = Resp::connect3(&observer.host);
    assert_eq!(client.ask(&["plugin", "watch"]), Frame::ok());
    observer.wait_until_listed(client.local());
    client.into_connection().reset();
    observer.assert_alone();
}

#[test]
fn client_closing_while_worker_waits() {
    let mut observer = Observer::of(Host::start(&["busy"]));
    let mut client = Resp::connect(&observer.host);
    let peer = client.local();
    client.say(&["linger", "600000"]);
    observer.host.wait_for_log(&format!("lingering for {peer}"));
    drop(client);
    observer.host.wait_for_log(&format!("cancelled for {peer}"));
    observer.assert_alone();
}

#[test]
fn client_reset_while_worker_never_checks() {
    let mut observer = Observer::of(Host::start(&["busy"]));
    let mut client = Resp::connect(&observer.host);
    client.say(&["block", "1000"]);
    observer.host.wait_for_log("blocking for");
    client.into_connection().reset();
    observer.assert_alone();
}

#[test]
fn client_closing_before_reading_replies() {
    let mut observer = Observer::of(Host::start(&["text"]));
    let mut client = Resp::connect(&observer.host);
    client.send(encode(&[b"echo", &[b'x'; 100_000][..]]).repeat(20));
    drop(client);
    observer.assert_alone();
}

#[test]
#[cfg_attr(not(tool = "nc"), ignore = "needs nc")]
fn a_client_whose_process_is_killed() {
    let mut observer = Observer::of(Host::start(&["busy"]));
    for commands in ["ping\n", "linger 600000\n", "echo half a li"] {
        let mut nc = Command::new("nc");
        let mut nc = Running::start(nc.args(["127.0.0.1", &observer.host.port().to_string()]));
        nc.type_in(commands);
        wait_until("nc is there", LIMIT, || observer.client.ask_all("client list").len() == 2);
        nc.kill();
        observer.assert_alone();
    }
}

#[test]
fn write_timeout_disconnects_client_that_never_reads() {
    let host = Setup::new().plugins(&["text"]).flags(&["--write-timeout", "1"]).start();
    let mut observer = Observer::of(host);
    let mut client = Resp::connect(&observer.host);
    let peer = client.local();
    let request = encode(&[b"echo", &[b'x'; 1 << 20][..]]);
    let mut sender = client.stream().try_clone().unwrap();
    assert_eq!(client.ask(&["ping"]), Frame::Status("PONG".into()));
    observer.wait_until_listed(peer);
    std::thread::scope(|scope| {
        // Until the host accepts no more, and then until it disconnects this client.
        scope.spawn(move || {
            let mut sent = 0;
            while sent < 1_000 && std::io::Write::write_all(&mut sender, &request).is_ok() {
                sent += 1;
            }
            assert!(sent < 1_000, "the host has taken a thousand megabytes");
        });
        observer.assert_alone();
    });
    client.wait_for_end();
    observer.host.wait_for_log(&format!("from {peer} ended: lost: "));
}

#[test]
fn slow_reader_is_not_disconnected() {
    const SIZE: usize = 32 << 20;
    let flags = ["--write-timeout", "8", "--max-argument", "64M"];
    let host = Setup::new().plugins(&["store", "clock"]).flags(&flags).start();
    let (mut client, mut pace) = (Resp::connect(&host), Lines::connect(&host));
    let value = vec![b'x'; SIZE];
    assert_eq!(client.ask(&[b"set", b"big", &value[..]]), Frame::ok());
    client.say(&["get", "big"]);
    // In total longer than the timeout, but no single pause is.
    let mut part = vec![0; 1 << 20];
    let mut stream = client.reader();
    let mut read = 0;
    for _ in 0..12 {
        pace.ask("sleep 800");
        stream.read_exact(&mut part).unwrap();
        read += part.len();
    }
    let end = format!("${SIZE}\r\n").len() + SIZE + 2;
    client.take(|bytes| (bytes.len() + read == end).then_some(((), bytes.len())));
    assert_eq!(client.ask(&["get", "small"]), Frame::Null);
}
