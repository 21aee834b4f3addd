//! A pulled cable: neither end is notified, and keepalive detects it.
#![cfg(target_os = "linux")]

use std::net::SocketAddr;

use dropin_tests::{
    LIMIT, Lines, Resp, Setup,
    cable::Cable,
    resp::encode,
    system::{has_session_threads, sockets},
    wait_until,
};

#[test]
#[cfg_attr(not(all(tool = "ip", right = "namespaces")), ignore = "needs ip and network namespaces")]
fn clients_behind_a_pulled_cable_leave_nothing_behind() {
    let cable = Cable::create();
    let host = Setup::new()
        .plugins(&["busy", "store"])
        .flags(&["--keepalive", "1", "--write-timeout", "10"])
        .flags(&["--trust", "lan"])
        .started_by(&cable.host_end())
        .start();
    let mut observer = Lines::from_connection(cable.connect_locally(host.v4()));
    assert_eq!(observer.ask("ping"), "PONG");
    let sockets_before = sockets(host.pid());

    let mut idle = Resp::from_connection(cable.connect(host.port()));
    idle.ask(&["PING"]);
    let mut halfway = Resp::from_connection(cable.connect(host.port()));
    halfway.ask(&["PING"]);
    halfway.send("*2\r\n$4\r\nec");
    let mut waiting = Resp::from_connection(cable.connect(host.port()));
    waiting.say(&["linger", "600000"]);
    host.wait_for_log(&format!("lingering for {}", waiting.local()));
    let mut owed = Resp::from_connection(cable.connect(host.port()));
    owed.say(&["block", "3000"]);
    host.wait_for_log(&format!("blocking for {}", owed.local()));
    // This client does not read, so that the host is in the middle of a write.
    let mut deaf = Resp::from_connection(cable.connect(host.port()));
    deaf.ask(&[b"set", b"big", &[b'x'; 1 << 20][..]]);
    deaf.send(encode(&["get", "big"]).repeat(20));
    assert_eq!(observer.ask_all("client list").len(), 6);

    cable.pull();
    host.wait_for_log(&format!("cancelled for {}", waiting.local()));
    wait_until("their entries have gone", LIMIT, || observer.ask_all("client list").len() == 1);
    wait_until("their threads and sockets too", LIMIT, || {
        has_session_threads(host.pid(), 1) && sockets(host.pid()) == sockets_before
    });
}

#[test]
#[cfg_attr(not(all(tool = "ip", right = "namespaces")), ignore = "needs ip and network namespaces")]
fn silent_live_client_is_kept() {
    let cable = Cable::create();
    let host = Setup::new()
        .flags(&["--keepalive", "1", "--write-timeout", "1"])
        .flags(&["--trust", "lan"])
        .started_by(&cable.host_end())
        .start();
    let mut silent = Lines::from_connection(cable.connect(host.port()));
    assert_eq!(silent.ask("client id"), "1");
    let mut observer = Lines::from_connection(cable.connect_locally(host.v4()));
    // Far longer than it takes to detect a client that is gone.
    wait_until("it has been silent for a while", LIMIT, || {
        let list = observer.ask_all("client list");
        assert_eq!(list.len(), 2);
        let line = list.iter().find(|line| line.starts_with("id=1 ")).unwrap();
        let (_, idle) = line.split_once(" idle=").unwrap();
        idle.split(' ').next().unwrap().parse::<u64>().unwrap() >= 5
    });
    assert_eq!(silent.ask("client id"), "1");
}

#[test]
#[cfg_attr(not(all(tool = "ip", right = "namespaces")), ignore = "needs ip and network namespaces")]
fn the_port_is_5000_where_none_is_named() {
    let cable = Cable::create();
    let host = Setup::new()
        .default_port()
        .flags(&["--trust", "lan"])
        .started_by(&cable.host_end())
        .start();
    let address = |text: &str| text.parse::<SocketAddr>().unwrap();
    assert_eq!(host.addresses(), [address("[::]:5000"), address("0.0.0.0:5000")]);
    assert_eq!(Lines::from_connection(cable.connect(5000)).ask("ping"), "PONG");
    assert_eq!(Lines::from_connection(cable.connect_locally(host.v6())).ask("ping"), "PONG");
}

#[test]
#[cfg_attr(not(all(tool = "ip", right = "namespaces")), ignore = "needs ip and network namespaces")]
fn remote_client_is_listed_with_its_address() {
    let cable = Cable::create();
    let host = Setup::new()
        .plugins(&["server"])
        .flags(&["--trust", "lan"])
        .started_by(&cable.host_end())
        .start();
    let mut client = Lines::from_connection(cable.connect(host.port()));
    let peer = client.local();
    let start = format!("ip: {}, port: {},", peer.ip(), peer.port());
    assert_ne!(peer.ip().to_string(), "127.0.0.1");
    let listed = client.ask_all("clients");
    assert!(listed[0].starts_with(&start), "{listed:?}");
}
