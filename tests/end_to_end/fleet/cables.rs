//! Pulled cables between hosts and the NATS server: neither end is notified.

use std::{
    fs,
    time::{Duration, Instant},
};

use dropin_tests::{
    Frame, Host, LIMIT, Lines, Resp, Setup, nats::Nats, network::Network, wait_until,
};

use tempfile::NamedTempFile;

use super::{error, is_outage};

/// The places in the network: that of the NATS server, which is the bridge's, and those of hosts.
const NATS: usize = 0;
/// See [`NATS`].
const A: usize = 1;
/// See [`NATS`].
const B: usize = 2;

/// Far less than the time limit of a call: a host is silent for a few seconds only.
const SOON: Duration = Duration::from_secs(20);

/// A fleet in a network.
struct Fleet {
    hosts: Vec<Host>,
    _nats: Nats,
    _settings: NamedTempFile,
    network: Network,
}

impl Fleet {
    /// Starts host `a` with these plugins, and others with those.
    #[track_caller]
    fn start(own: &[&str], others: &[&[&str]]) -> Self {
        let network = Network::create(2 + others.len());
        // A server that notices a silent host soon.
        let settings = NamedTempFile::new().unwrap();
        fs::write(settings.path(), "ping_interval: \"1s\"\nping_max: 2\nwrite_deadline: \"2s\"\n")
            .unwrap();
        let flags = ["-c", settings.path().to_str().unwrap()];
        let nats = Nats::started_by(&network.at(NATS), &Network::address(NATS), &flags);
        let all = [&[own], others].concat();
        let start = |(at, plugins): (usize, &&[&str])| {
            let name = ["a", "b", "c"][at];
            Setup::new()
                .plugins(plugins)
                .flags(&["--fleet", &nats.url(), "--fleet-host", name])
                .started_by(&network.at(A + at))
                .start()
        };
        let hosts = all.iter().enumerate().map(start).collect();
        Self { hosts, _nats: nats, _settings: settings, network }
    }

    /// Returns a session at a host.
    #[track_caller]
    fn connect(&self, place: usize) -> Resp {
        let address = self.hosts[place - A].v4();
        Resp::from_connection(self.network.connect(place, address))
    }

    /// Waits until this many other hosts answer a command of host `a`.
    #[track_caller]
    fn wait_for_hosts(&self, command: &str, count: i64) {
        let mut client = self.connect(A);
        wait_until(&format!("{count} other hosts answer '{command}'"), LIMIT, || {
            let docs = client.ask(&["COMMAND", "DOCS", command]);
            let hosts = docs.get(command).and_then(|docs| docs.get("hosts"));
            hosts == Some(&count.into())
        });
    }

    /// Returns a session of host `a` whose call of `linger` runs at host `b`.
    #[track_caller]
    fn linger(&self) -> Resp {
        let mut client = self.connect(A);
        client.say(&["linger", "600000"]);
        self.hosts[B - A].wait_for_log(&format!("lingering for {}", client.local()));
        client
    }
}

#[test]
#[cfg_attr(
    not(all(tool = "nats-server", tool = "ip", right = "namespaces")),
    ignore = "needs nats-server, ip and network namespaces"
)]
fn host_behind_a_pulled_cable_fails_its_calls() {
    let fleet = Fleet::start(&[], &[&["busy", "text"], &["text"]]);
    fleet.wait_for_hosts("linger", 1);
    fleet.wait_for_hosts("echo", 2);
    let mut lingerer = fleet.linger();
    let mut client = fleet.connect(A);
    fleet.network.pull(B);
    let pulled = Instant::now();
    let reply = lingerer.frame();
    assert_eq!(error(&reply).0, "HOSTDOWN");
    assert!(error(&reply).1.contains("'b'"), "{reply:?}");
    assert!(pulled.elapsed() < SOON, "{:?}", pulled.elapsed());
    // The other host answers alone, at the latest when NATS has noticed the silence.
    let mut in_a_row = 0;
    wait_until("calls go on", LIMIT, || {
        let began = Instant::now();
        let reply = client.ask(&["echo", "text"]);
        assert!(reply == "text".into() || is_outage(&reply), "{reply:?}");
        assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
        in_a_row = if reply == "text".into() { in_a_row + 1 } else { 0 };
        in_a_row >= 100
    });
    // The call that ran there is cancelled, and its late reply goes nowhere.
    fleet.hosts[B - A].wait_for_log(&format!("busy: cancelled for {}", lingerer.local()));
    fleet.network.plug(B);
    fleet.wait_for_hosts("linger", 1);
    assert_eq!(client.ask(&["linger", "1"]), "lingered".into());
    assert_eq!(lingerer.ask(&["ping", "next"]), "next".into());
}

#[test]
#[cfg_attr(
    not(all(tool = "nats-server", tool = "ip", right = "namespaces")),
    ignore = "needs nats-server, ip and network namespaces"
)]
fn caller_behind_pulled_cable_serves_own_commands() {
    let fleet = Fleet::start(&["text"], &[&["busy", "store"]]);
    fleet.wait_for_hosts("get", 1);
    let mut lingerer = fleet.linger();
    let mut client = fleet.connect(A);
    assert_eq!(client.ask(&["set", "key", "value"]), Frame::ok());
    let mut local = Lines::from_connection(fleet.network.connect(A, fleet.hosts[0].v4()));
    fleet.network.pull(A);
    let pulled = Instant::now();
    client.say(&["get", "key"]);
    for number in 0..100 {
        assert_eq!(local.ask(&format!("echo {number}")), number.to_string());
    }
    for session in [&mut lingerer, &mut client] {
        let reply = session.frame();
        assert!(is_outage(&reply), "{reply:?}");
        assert!(pulled.elapsed() < SOON, "{:?}", pulled.elapsed());
    }
    wait_until("the host knows that NATS is away", LIMIT, || {
        let reply = client.ask(&["get", "key"]);
        assert!(is_outage(&reply), "{reply:?}");
        error(&reply).0 == "UNAVAILABLE"
    });
    fleet.hosts[B - A].wait_for_log(&format!("busy: cancelled for {}", lingerer.local()));
    fleet.network.plug(A);
    wait_until("calls go on", LIMIT, || client.ask(&["get", "key"]) == "value".into());
    assert_eq!(local.ask("echo end"), "end");
}
