//! NATS servers that are away, and settings that cannot work.

use std::time::{Duration, Instant};

use dropin_tests::{Frame, LIMIT, Lines, Resp, Setup, nats::Nats, wait_until};

use super::{
    error, expect_in_step, hosts_of, is_outage, linger, member, nats_state, pair, wait_for_error,
    wait_for_hosts, wait_for_reply, wait_until_connected,
};

/// Far less than any time limit of a call.
const AT_ONCE: Duration = Duration::from_secs(5);

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
fn killed_server_fails_only_remote_calls() {
    let mut nats = Nats::start();
    let a = member(&nats, "a", &["text"]).start();
    let b = member(&nats, "b", &["busy", "store"]).start();
    wait_for_hosts(&a, "get", 1);
    let mut client = Resp::connect(&a);
    assert_eq!(client.ask(&["set", "key", "value"]), Frame::ok());
    for _ in 0..2 {
        let (mut lingerer, _) = linger(&a, &b);
        nats.kill();
        let reply = lingerer.frame();
        assert_eq!(error(&reply).0, "HOSTDOWN");
        assert!(error(&reply).1.contains("may have run"), "{reply:?}");
        let text = wait_for_error(&a, "get key", "UNAVAILABLE ");
        assert!(text.contains("NATS server has been away for "), "{text}");
        assert!(nats_state(&a).contains("has been away for "), "{}", nats_state(&a));
        let began = Instant::now();
        for number in 0..20 {
            let reply = client.ask(&["get", "key"]);
            assert_eq!(error(&reply).0, "UNAVAILABLE");
            // Commands of this host are answered as ever.
            let number = number.to_string();
            assert_eq!(client.ask(&["echo", &number]), Frame::text(&number));
        }
        assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
        assert_eq!(Lines::connect(&b).ask("get key"), "value");
        b.wait_for_log(&format!("busy: cancelled for {}", lingerer.local()));
        nats.restart();
        wait_for_reply(&mut client, &["get", "key"], &"value".into());
        wait_until_connected(&a);
        expect_in_step(&mut lingerer, "next");
        // The other direction works again as well.
        wait_for_hosts(&b, "echo", 1);
    }
    a.wait_for_log("connected again to NATS");
}

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
fn host_joins_when_the_server_appears() {
    let mut nats = Nats::start();
    nats.kill();
    let a = member(&nats, "a", &["text"]).start();
    let _b = member(&nats, "b", &["store"]).start();
    let mut client = Resp::connect(&a);
    assert_eq!(client.ask(&["echo", "text"]), "text".into());
    assert_ne!(nats_state(&a), "connected");
    assert_eq!(client.ask(&["get", "key"]), Frame::error("ERR unknown command 'get'"));
    nats.restart();
    wait_for_hosts(&a, "get", 1);
    assert_eq!(client.ask(&["set", "key", "value"]), Frame::ok());
    wait_until_connected(&a);
}

#[test]
fn unusable_settings_end_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing").to_str().unwrap().to_owned();
    let garbage = folder.path().join("garbage").to_str().unwrap().to_owned();
    std::fs::write(&garbage, "SUnonsense").unwrap();
    let cause_of = |flag: &str| format!("cannot read {missing} ({flag}): ");
    let good = "nats://127.0.0.1:4222";
    for (flags, cause) in [
        (&["--fleet", "nats://"][..], "cannot use the NATS server 'nats://': it names no host"),
        (
            &["--fleet", good, "--fleet-nkey", &garbage],
            &format!("{garbage} holds no seed of a NATS user's nkey"),
        ),
        (&["--fleet", "nats://[1"], "cannot use the NATS server 'nats://[1'"),
        (
            &["--fleet", good, "--fleet-name", "two words"],
            "the fleet's name 'two words' is not valid",
        ),
        (&["--fleet", good, "--fleet-name", ""], "the fleet's name '' is not valid"),
        (&["--fleet", good, "--fleet-host", "a b"], "the host's name 'a b' in the fleet is not"),
        (&["--fleet", good, "--fleet-credentials", &missing], &cause_of("--fleet-credentials")),
        (&["--fleet", good, "--fleet-nkey", &missing], &cause_of("--fleet-nkey")),
        (&["--fleet", good, "--fleet-roots", &missing], &cause_of("--fleet-roots")),
        (&["--fleet", good, "--fleet-roots", &garbage], "it has no certificate in PEM form"),
    ] {
        let ended = Setup::new().flags(flags).run();
        assert_eq!(ended.status, Some(1), "{flags:?}: {ended:?}");
        assert!(ended.stderr.contains(cause), "{flags:?}: {ended:?}");
        assert!(!ended.stdout.contains("listening on"), "{flags:?}: {ended:?}");
    }
}

#[test]
fn fleet_flags_without_a_server_are_reported() {
    let host = Setup::new().flags(&["--fleet-name", "garage"]).start();
    host.wait_for_log("this host is in no fleet: name a NATS server with --fleet");
    let ended = Setup::new().flags(&["--fleet-call-timeout", "0"]).run();
    assert_eq!(ended.status, Some(2), "{ended:?}");
    assert!(ended.stderr.contains("a command needs at least 0.001 s"), "{ended:?}");
}

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
fn wrong_password_is_reported_while_the_host_serves() {
    let nats = Nats::with(&["--user", "alice", "--pass", "right"]);
    let url = |password: &str| nats.url().replace("//", &format!("//alice:{password}@"));
    let with = |name: &str, password: &str, plugins: &[&str]| {
        let flags = ["--fleet", &url(password), "--fleet-host", name];
        Setup::new().plugins(plugins).flags(&flags).start()
    };
    let a = with("a", "forbidden", &["text"]);
    a.wait_for_log("authorization violation");
    assert_eq!(Lines::connect(&a).ask("echo text"), "text");
    wait_until("the state says why", LIMIT, || nats_state(&a).contains("authorization violation"));
    assert!(!a.log().contains("forbidden"), "the password is in the log");
    let (b, _c) = (with("b", "right", &[]), with("c", "right", &["store"]));
    wait_for_hosts(&b, "get", 1);
    assert_eq!(super::described(&b, "a"), None);
}

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
fn cluster_survives_the_end_of_any_server() {
    let mut servers = Nats::cluster();
    let urls = servers.each_ref().map(Nats::url);
    let with = |name: &str, first: usize, plugins: &[&str]| {
        let order = (0..3).map(|at| urls[(first + at) % 3].as_str());
        let flags: Vec<_> = order.flat_map(|url| ["--fleet", url]).collect();
        Setup::new().plugins(plugins).flags(&flags).flags(&["--fleet-host", name]).start()
    };
    let a = with("a", 0, &["clock"]);
    let _others = [with("b", 1, &["text"]), with("c", 2, &["text"])];
    wait_for_hosts(&a, "echo", 2);
    let mut client = Resp::connect(&a);
    for server in &mut servers {
        server.kill();
        let mut in_a_row = 0;
        // All hosts are together again, whichever server they use.
        wait_until("calls go on", LIMIT, || {
            let reply = client.ask(&["echo", "text"]);
            let is_unknown = reply == Frame::error("ERR unknown command 'echo'");
            assert!(reply == "text".into() || is_outage(&reply) || is_unknown, "{reply:?}");
            in_a_row = if reply == "text".into() { in_a_row + 1 } else { 0 };
            in_a_row >= 200 && hosts_of(&a, "echo") == Some(2)
        });
        server.restart();
    }
}

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
fn host_ends_in_order_without_its_server() {
    let mut nats = Nats::start();
    let (mut a, mut b) = pair(&nats, &["busy"], "linger");
    let (mut client, _) = linger(&a, &b);
    nats.kill();
    assert_eq!(error(&client.frame()).0, "HOSTDOWN");
    assert_eq!(a.ks(), Some(0));
    assert_eq!(b.ks(), Some(0));
}
