//! Two hosts behind HAProxy, with the settings of `examples/haproxy`.

use std::{
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr},
    os::unix::net::UnixStream,
    path::PathBuf,
    process::Command,
};

use dropin_tests::{
    Host, LIMIT, Lines, NOTICE, Port, Setup, tool::Running, wait_until, workspace::root,
};
use tempfile::TempDir;

/// HAProxy in front of the hosts `a` and `b`. Dropping it ends it.
struct Balancer {
    front: Port,
    ports: [Port; 2],
    folder: TempDir,
    _program: Running,
}

impl Balancer {
    /// Starts HAProxy with the example's settings, for ports of this test. The hosts need not run.
    fn start() -> Self {
        let (front, ports) = (Port::hold(), [Port::hold(), Port::hold()]);
        let folder = tempfile::tempdir().unwrap();
        let example = root().join("examples/haproxy/haproxy.cfg");
        let mut settings = fs::read_to_string(example).unwrap();
        let socket = folder.path().join("socket");
        for (from, to) in [
            ("bind :5000", format!("bind 127.0.0.1:{}", front.number())),
            ("/run/haproxy/dropin.sock", socket.display().to_string()),
            ("10.0.0.11:5000", format!("127.0.0.1:{}", ports[0].number())),
            ("10.0.0.12:5000", format!("127.0.0.1:{}", ports[1].number())),
            ("    server c 10.0.0.13:5000\n", String::new()),
        ] {
            assert_eq!(settings.matches(from).count(), 1, "{from}");
            settings = settings.replace(from, &to);
        }
        let file = folder.path().join("haproxy.cfg");
        fs::write(&file, settings).unwrap();
        let mut command = Command::new("haproxy");
        // In the foreground. The system's `sbin` is not in every user's path.
        command.args(["-db", "-f"]).arg(file);
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{path}:/usr/sbin:/sbin"));
        let balancer = Self { front, ports, folder, _program: Running::start(&mut command) };
        wait_until("HAProxy serves", LIMIT, || UnixStream::connect(balancer.socket()).is_ok());
        balancer
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    /// Starts the host of this number, which takes headers from HAProxy.
    fn host(&self, number: usize) -> Host {
        let setup = Setup::new().plugins(&["busy", "server", "text"]);
        setup.port(self.ports[number].number()).flags(&["--proxy-from", "127.0.0.1"]).start()
    }

    /// Returns a new session of one of the hosts.
    fn connect(&self) -> Lines {
        Lines::connect_to(SocketAddr::from((Ipv4Addr::LOCALHOST, self.front.number())))
    }

    /// Returns this many new sessions, each of which was answered before the next one connected.
    fn sessions(&self, count: usize) -> Vec<Lines> {
        let connect = |number: usize| {
            let mut client = self.connect();
            assert_eq!(client.ask(&format!("echo {number}")), number.to_string());
            client
        };
        (0..count).map(connect).collect()
    }

    /// Sends a command to HAProxy itself, and returns the reply.
    fn ask(&self, command: &str) -> String {
        let mut stream = UnixStream::connect(self.socket()).unwrap();
        stream.write_all(format!("{command}\n").as_bytes()).unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        reply
    }

    /// Waits until HAProxy's checks have found this host well, or not.
    #[track_caller]
    fn wait_for_check(&self, host: &str, is_well: bool) {
        // A host counts as up before its first check, too.
        let (state, result) = if is_well { ("UP", "L7OK") } else { ("DOWN", "L4CON") };
        wait_until(&format!("host {host} is {state}"), LIMIT, || {
            let all = self.ask("show stat");
            let mut lines = all.lines().map(|line| line.split(',').collect::<Vec<_>>());
            let names = lines.next().unwrap();
            let [status, check] = ["status", "check_status"]
                .map(|name| names.iter().position(|found| *found == name).unwrap());
            let is_meant = |line: &Vec<&str>| line[..2] == ["hosts", host];
            let line = lines.find(is_meant).unwrap();
            line[status] == state && line[check].contains(result)
        });
    }
}

/// Returns whether this client has a session at the host.
fn serves(host: &Host, client: &Lines) -> bool {
    let listed = Lines::connect_to(host.v6()).ask_all("client list").join("\n");
    listed.contains(&format!("addr={} ", client.local()))
}

#[test]
#[cfg_attr(not(tool = "haproxy"), ignore = "needs haproxy")]
fn haproxy_names_clients_and_leaves_ended_hosts() {
    let balancer = Balancer::start();
    let (mut first, second) = (balancer.host(0), balancer.host(1));
    ["a", "b"].iter().for_each(|name| balancer.wait_for_check(name, true));
    let clients = balancer.sessions(4);
    for client in &clients {
        let at = [&first, &second].map(|host| serves(host, client));
        assert!(at == [true, false] || at == [false, true], "{at:?}");
    }
    let (of_first, of_second): (Vec<_>, Vec<_>) =
        clients.into_iter().partition(|client| serves(&first, client));
    assert_eq!((of_first.len(), of_second.len()), (2, 2), "each has its share");
    first.wait_for_log(&format!(" from {} started", of_first[0].local()));
    for host in [&first, &second] {
        assert!(host.logged(" rejected: ").is_none(), "{}", host.log());
    }

    assert_eq!(Lines::connect_to(first.v6()).ask("ks"), "OK");
    of_first.into_iter().for_each(|mut client| assert_eq!(client.end(), [NOTICE]));
    assert_eq!(first.exit(), Some(0));
    // Its port refuses connections before a check fails: they go to the other host at once.
    for number in 0..10 {
        let mut client = balancer.connect();
        assert_eq!(client.ask(&format!("echo {number}")), number.to_string());
        assert!(serves(&second, &client));
    }
    balancer.wait_for_check("a", false);
    for mut client in of_second {
        assert_eq!(client.ask("echo 'all the time'"), "all the time");
    }

    let first = balancer.host(0);
    balancer.wait_for_check("a", true);
    let held = balancer.sessions(2);
    assert!(held.iter().any(|client| serves(&first, client)), "it gets sessions again");
}

#[test]
#[cfg_attr(not(tool = "haproxy"), ignore = "needs haproxy")]
fn drained_host_ends_after_its_sessions() {
    let balancer = Balancer::start();
    let (mut first, second) = (balancer.host(0), balancer.host(1));
    ["a", "b"].iter().for_each(|name| balancer.wait_for_check(name, true));
    let clients = balancer.sessions(4);
    let (mut of_first, of_second): (Vec<_>, Vec<_>) =
        clients.into_iter().partition(|client| serves(&first, client));
    assert_eq!((of_first.len(), of_second.len()), (2, 2), "each has its share");
    assert_eq!(balancer.ask("set server hosts/a state drain").trim(), "");
    // Without this, the least connections would be those of the drained host.
    drop(of_first.pop());
    wait_until("the session has ended", LIMIT, || {
        Lines::connect_to(first.v6()).ask_all("clients").len() == 2
    });
    for _ in 0..5 {
        let mut client = balancer.connect();
        assert_eq!(client.ask("echo in"), "in");
        assert!(serves(&second, &client));
    }
    let mut last = of_first.pop().unwrap();
    assert_eq!(last.ask("echo 'as before'"), "as before");
    assert_eq!(last.ask("close"), "OK");
    assert_eq!(Lines::connect_to(first.v6()).ask("ks"), "OK");
    assert_eq!(first.exit(), Some(0));
}

#[test]
#[cfg_attr(not(tool = "haproxy"), ignore = "needs haproxy")]
fn host_that_demands_keys_passes_checks() {
    let balancer = Balancer::start();
    let setup = Setup::new().port(balancer.ports[1].number());
    let host = setup.flags(&["--proxy-from", "127.0.0.1", "--trust", "none"]).start();
    balancer.wait_for_check("b", true);
    let answer = balancer.connect().ask("ping");
    assert!(answer.contains("NOAUTH"), "{answer}");
    assert!(host.logged(" rejected: ").is_none(), "{}", host.log());
}
