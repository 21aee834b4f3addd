//! The list of the fleet's members.

use dropin_tests::{Frame, Host, LIMIT, Lines, Resp, nats::Nats, wait_until};

use super::{described, hosts_of, member, pair, wait_for_hosts};

#[track_caller]
fn text<'a>(host: &'a Frame, key: &str) -> &'a str {
    host.get(key).unwrap_or_else(|| panic!("no '{key}' in {host:?}")).as_str()
}

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
fn fleet_lists_hosts_and_their_plugins() {
    let nats = Nats::start();
    let a = member(&nats, "a", &["server"]).start();
    let b = member(&nats, "b", &["text", "busy"]).start();
    let mut c = member(&nats, "c", &["clock"]).start();
    for command in ["echo", "sleep"] {
        wait_for_hosts(&a, command, 1);
    }
    wait_until("the members are described", LIMIT, || {
        let is_complete = |host: Frame| matches!(host.get("latency-ms"), Some(Frame::Float(_)));
        ["b", "c"].iter().all(|name| described(&a, name).is_some_and(is_complete))
    });
    let fleet = Resp::connect3(&a).ask(&["fleet"]);
    assert_eq!(
        ["fleet", "host", "nats"].map(|key| text(&fleet, key)),
        ["default", "a", "connected"]
    );
    let hosts = fleet.get("hosts").unwrap().items();
    assert_eq!(hosts.iter().map(|host| text(host, "host")).collect::<Vec<_>>(), ["b", "c"]);
    let version = Lines::connect(&a).ask("version");
    for (host, running) in hosts.iter().zip([&b, &c]) {
        assert!(version.contains(text(host, "version")), "{version}: {host:?}");
        let addresses: Vec<_> = running.addresses().iter().map(ToString::to_string).collect();
        assert_eq!(text(host, "addresses"), addresses.join(" "));
        assert!(text(host, "target").contains(std::env::consts::ARCH), "{host:?}");
    }
    let plugins: Vec<_> = text(&hosts[0], "plugins").split(", ").collect();
    assert!(
        plugins.len() == 2 && plugins[0].starts_with("busy ") && plugins[1].starts_with("text "),
        "{plugins:?}"
    );
    let docs = Resp::connect3(&b).ask(&["plugin", "info", "text"]);
    let loaded = format!("text {}", text(&docs, "version"));
    assert_eq!(plugins[1], loaded);
    // A host that ends is no member any more.
    assert_eq!(c.ks(), Some(0));
    wait_until("the host has left", LIMIT, || described(&a, "c").is_none());
    wait_until("the others are members", LIMIT, || {
        described(&a, "b").is_some() && described(&b, "a").is_some()
    });
}

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
fn running_calls_are_counted() {
    let nats = Nats::start();
    let (a, b) = pair(&nats, &["busy"], "linger");
    let running = |host: &Host| Resp::connect3(host).ask(&["fleet"]).get("running").cloned();
    assert_eq!(running(&b), Some(0.into()));
    let (mut client, id) = super::linger(&a, &b);
    assert_eq!((running(&a), running(&b)), (Some(0.into()), Some(1.into())));
    let seen = |count: i64| described(&a, "b").unwrap().get("running") == Some(&count.into());
    wait_until("the caller sees it", LIMIT, || seen(1));
    assert_eq!(Resp::connect(&a).ask(&["client", "cancel", &id]), 1.into());
    assert!(matches!(client.frame(), Frame::Error(_)));
    wait_until("it has ended", LIMIT, || running(&b) == Some(0.into()) && seen(0));
}

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
fn fleets_on_one_server_are_apart() {
    let nats = Nats::start();
    let start = |name: &str, fleet: &str, plugins: &[&str]| {
        member(&nats, name, plugins).flags(&["--fleet-name", fleet]).start()
    };
    let (a, b) = (start("a", "one", &[]), start("b", "two", &["text"]));
    let (c, d) = (start("c", "one", &["clock"]), start("d", "two", &[]));
    wait_for_hosts(&a, "sleep", 1);
    wait_for_hosts(&d, "echo", 1);
    // Each host has been seen by its fleet.
    assert_eq!(Lines::connect(&a).ask("echo text"), "error: unknown command 'echo'");
    assert_eq!(Lines::connect(&d).ask("sleep 1"), "error: unknown command 'sleep'");
    assert_eq!(Lines::connect(&d).ask("echo text"), "text");
    for (host, others) in [(&a, ["b", "d"]), (&b, ["a", "c"]), (&c, ["b", "d"])] {
        assert!(others.iter().all(|other| described(host, other).is_none()));
    }
    assert_eq!(hosts_of(&c, "echo"), None);
}

#[test]
fn host_without_fleet_has_no_members() {
    let host = Host::start(&[]);
    assert_eq!(
        Lines::connect(&host).ask("fleet"),
        "error: this host is not a member of a fleet, see its flag --fleet"
    );
}
