//! Ends of a host and of a plugin's process: which acknowledged changes are there afterwards.

use dropin_tests::{Frame, Host, LIMIT, Lines, Resp, system, wait_for, wait_until};

use super::{Counters, Hosts};

const SYNCS: [&str; 3] = ["always", "everysec", "never"];

#[track_caller]
fn assert_value(host: &Host, key: &str, value: Option<&str>) {
    let expected = value.map_or(Frame::Null, Frame::from);
    assert_eq!(Resp::connect(host).ask(&["get", key]), expected, "{key}");
}

#[track_caller]
fn set(host: &Host, key: &str, value: &str) {
    assert_eq!(Lines::connect(host).ask(&format!("set {key} {value}")), "OK");
}

#[track_caller]
fn assert_mode(host: &Host, mode: &str) {
    assert_eq!(host.info("store").get("durability"), Some(&mode.into()));
}

#[test]
fn killed_host_keeps_acknowledged_writes() {
    for sync in SYNCS {
        let (hosts, counters) = (Hosts::new(), Counters::new(3));
        let mut host = hosts.start(&["--journal-sync", sync]);
        assert_mode(&host, &format!("journal {sync}"));
        for _ in 0..2 {
            counters.kill_under_load(&mut host);
            host = hosts.start(&["--journal-sync", sync]);
            counters.assert_kept(&host);
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn killed_process_keeps_acknowledged_writes() {
    for sync in SYNCS {
        let (hosts, counters) = (Hosts::new(), Counters::new(3));
        let flags = ["--journal-sync", sync, "--isolate", "store"];
        let mut host = hosts.start(&flags);
        counters.while_incremented(&mut host, |host| {
            for _ in 0..3 {
                let pids = || match host.info("store").get("pids").map(Frame::items) {
                    Some([pid]) => u32::try_from(pid.as_integer()).ok(),
                    _ => None,
                };
                let pid = wait_for("a process serves", LIMIT, pids);
                system::kill(pid);
                wait_until("another one serves", LIMIT, || pids().is_some_and(|new| new != pid));
                counters.flow();
            }
        });
        // The replies were counted one by one, over all processes.
        counters.assert_exact(&host);
        host.kill();
        counters.assert_exact(&hosts.start(&flags));
    }
}

#[test]
fn durability_off_keeps_only_orderly_ends() {
    let hosts = Hosts::new();
    let start = || hosts.start(&["--durability", "off"]);
    let mut host = start();
    assert_mode(&host, "off");
    set(&host, "saved", "1");
    assert_eq!(host.ks(), Some(0));
    let mut host = start();
    assert_value(&host, "saved", Some("1"));
    set(&host, "lost", "1");
    host.kill();
    assert!(hosts.segments().is_empty());
    let host = start();
    assert_value(&host, "saved", Some("1"));
    assert_value(&host, "lost", None);
}

#[test]
fn snapshot_by_time_outlives_a_kill() {
    let hosts = Hosts::new();
    let start =
        |interval| hosts.start(&["--durability", "snapshot", "--snapshot-interval", interval]);
    let mut host = start("1");
    assert_mode(&host, "snapshot");
    assert_eq!(host.figure("store", "snapshots"), 0);
    set(&host, "saved", "1");
    // It is due by this call, so it began behind it.
    wait_until("a snapshot is taken", LIMIT, || host.figure("store", "snapshots") >= 1);
    host.kill();
    let mut host = start("0");
    assert_value(&host, "saved", Some("1"));
    set(&host, "lost", "1");
    host.kill();
    let host = start("1");
    assert_value(&host, "saved", Some("1"));
    assert_value(&host, "lost", None);
}

#[test]
fn change_of_durability_over_restarts_loses_nothing() {
    let hosts = Hosts::new();
    let start = |mode| hosts.start(&["--durability", mode]);
    let mut host = start("journal");
    set(&host, "one", "1");
    host.kill();
    assert!(!hosts.segments().is_empty());
    let mut host = start("off");
    assert_mode(&host, "off");
    assert!(hosts.segments().is_empty(), "a snapshot replaces the journal");
    // What the journal had must not depend on this host's orderly end.
    host.kill();
    let mut host = start("off");
    assert_value(&host, "one", Some("1"));
    set(&host, "two", "2");
    assert_eq!(host.ks(), Some(0));
    let mut host = start("journal");
    assert_value(&host, "one", Some("1"));
    assert_value(&host, "two", Some("2"));
    set(&host, "three", "3");
    host.kill();
    let host = start("journal");
    for (key, value) in [("one", "1"), ("two", "2"), ("three", "3")] {
        assert_value(&host, key, Some(value));
    }
}

#[test]
fn change_of_durability_by_reload_loses_nothing() {
    let (hosts, counters) = (Hosts::new(), Counters::new(3));
    let toml = |mode: &str| format!("[plugin.store]\ndurability = \"{mode}\"\n");
    let mut host = hosts.setup(&[]).settings(&toml("journal")).start();
    assert_mode(&host, "journal everysec");
    counters.while_incremented(&mut host, |host| {
        for (mode, shown) in
            [("off", "off"), ("journal", "journal everysec"), ("snapshot", "snapshot")]
                .into_iter()
                .chain([("journal", "journal everysec")])
        {
            host.replace_settings(&toml(mode));
            let said = Lines::connect(host).ask("plugin reload store");
            assert!(said.starts_with("plugin 'store' serves generation "), "{said}");
            assert_mode(host, shown);
            assert_eq!(hosts.segments().is_empty(), !mode.starts_with("journal"), "{mode}");
            counters.flow();
        }
        host.kill();
    });
    let host = hosts.start(&[]);
    counters.assert_kept(&host);
}
