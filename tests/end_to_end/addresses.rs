//! Addresses: where the host listens, and its errors where it cannot.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};

use dropin_tests::{Host, LIMIT, Lines, Setup, setup::run_host, system::unused_port, wait_for};

#[test]
fn one_port_serves_ipv4_and_ipv6_at_once() {
    let host = Host::start(&["server"]);
    let unspecified = |text: &str| SocketAddr::new(text.parse().unwrap(), host.port());
    assert_eq!(host.addresses(), [unspecified("::"), unspecified("0.0.0.0")]);
    let (mut four, mut six) = (Lines::connect_to(host.v4()), Lines::connect_to(host.v6()));
    assert_eq!(four.ask_all("whoami")[..2], peer(&four));
    assert_eq!(six.ask_all("whoami")[..2], peer(&six));
    assert_eq!(four.ask_all("clients").len(), 2);
}

#[test]
fn bind_serves_the_named_addresses_and_no_other() {
    let host = Setup::new().flags(&["--bind", "127.0.0.1", "--bind", "::1"]).start();
    assert_eq!(host.addresses(), [host.v4(), host.v6()]);
    assert_eq!(Lines::connect_to(host.v4()).ask("ping"), "PONG");
    assert_eq!(Lines::connect_to(host.v6()).ask("ping"), "PONG");
    let elsewhere = (Ipv4Addr::new(127, 0, 0, 2), host.port()).into();
    assert!(TcpStream::connect_timeout(&elsewhere, LIMIT).is_err());
}

#[test]
fn foreign_address_is_a_clear_error() {
    let ended = Setup::new().flags(&["--bind", "192.0.2.1"]).run();
    assert_eq!((ended.status, ended.stdout.as_str()), (Some(1), ""));
    let said = "cannot serve on 192.0.2.1:0: this machine has no such address";
    assert!(ended.stderr.contains(said), "{ended:?}");
}

#[test]
fn privileged_port_is_a_clear_error() {
    for port in ["1", "80", "1023"] {
        let ended = run_host(&["--port", port]);
        assert_eq!(ended.status, Some(2));
        let said = format!("port {port} is one of the system's own (1 to 1023); choose one from");
        assert!(ended.stderr.contains(&said), "{ended:?}");
    }
}

#[test]
fn invalid_port_is_a_clear_error() {
    for port in ["65536", "-1", "http", ""] {
        let ended = run_host(&[&format!("--port={port}")]);
        assert_eq!(ended.status, Some(2));
        assert!(ended.stderr.contains("a port is a number from 1024 to 65535"), "{ended:?}");
    }
}

#[test]
fn port_in_use_is_error_in_both_families() {
    let used = unused_port();
    for ip in ["0.0.0.0", "::"] {
        let taken = SocketAddr::new(ip.parse::<IpAddr>().unwrap(), used);
        // A process that another test started may have held the last one for a moment.
        let _listener = wait_for("a listener", LIMIT, || TcpListener::bind(taken).ok());
        let ended = Setup::new().port(used).run();
        assert_eq!((ended.status, ended.stdout.as_str()), (Some(1), ""));
        let said = format!("port {used} is in use; end the program that has it, or choose another");
        assert!(ended.stderr.contains(&said), "{ended:?}");
    }
}

#[test]
fn second_host_on_port_is_rejected() {
    let first = Setup::new().port(unused_port()).start();
    let mut client = Lines::connect(&first);
    let ended = Setup::new().port(first.port()).run();
    assert_eq!(ended.status, Some(1));
    assert!(ended.stderr.contains(&format!("port {} is in use", first.port())), "{ended:?}");
    assert_eq!(client.ask("ping"), "PONG");
}

#[test]
fn nobody_else_can_take_the_port() {
    use socket2::{Domain, Socket, Type};
    let host = Host::start(&[]);
    for address in [host.v4(), (Ipv4Addr::UNSPECIFIED, host.port()).into(), host.v6()] {
        let thief = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
        // On Windows this is enough to take the port, unless the host prevents it.
        thief.set_reuse_address(true).unwrap();
        thief.bind(&address.into()).unwrap_err();
    }
}

#[test]
fn port_is_free_once_host_has_ended() {
    let port = unused_port();
    for _ in 0..3 {
        let mut host = Setup::new().port(port).start();
        // The host ends these first, so that its own side lingers in the system.
        let mut clients = [Lines::connect_to(host.v4()), Lines::connect_to(host.v6())];
        assert!(clients.iter_mut().all(|client| client.ask("ping") == "PONG"));
        assert_eq!(host.ks(), Some(0));
        // Closing with unread input resets the connection, and nothing lingers.
        clients.iter_mut().for_each(|client| drop(client.end()));
    }
}

/// Returns the first two lines of `whoami`.
fn peer(client: &Lines) -> [String; 2] {
    [format!("ip: {}", client.local().ip()), format!("port: {}", client.local().port())]
}
