//! The canary: what it finds out, and what happens when it vanishes.

use std::time::{Duration, Instant};

use dropin_tests::{
    Host, LIMIT, Resp, built::library_name, reload::marked, reload::stripped, wait_until,
};

use super::{
    Fleet, PLUGIN, field, files_of, mark_of, wait_for_hosts, wait_for_mark, wait_for_phase,
};

/// A program whose only command ends it.
const FRAIL: &[u8] = b"#!/bin/sh\n\
    echo '{\"dropin\":1,\"name\":\"frail\",\"version\":\"1.0\",\"commands\":[{\"name\":\"frail\"}]}'\n\
    while read -r line; do case $line in *call*) exit 3;; esac; done\n";

/// Returns the content of the plugin's file in a host's plugins folder.
fn library_of(host: &Host) -> Option<Vec<u8>> {
    files_of(host).into_iter().find(|(name, _)| *name == library_name(PLUGIN)).map(|file| file.1)
}

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
fn failing_canary_stops_the_rollout() {
    let fleet = Fleet::new("0");
    let hosts = fleet.three();
    fleet.roll_out(&hosts, "1");
    wait_for_hosts(&hosts[0], "a b c");
    let ended = fleet.push(&hosts[1], &library_name(PLUGIN), &stripped("create-fails"));
    assert_eq!(ended.status, Some(0), "{ended:?}");
    hosts.iter().for_each(|host| wait_for_phase(host, "stopped"));
    assert_eq!(field(&hosts[0], "host").as_deref(), Some("b"));
    let reason = field(&hosts[0], "reason").unwrap();
    assert!(reason.contains("the moon is not full"), "{reason}");
    hosts[1].wait_for_log("has failed here, and the file before is back");
    for host in &hosts {
        wait_until("the file before is there", LIMIT, || {
            library_of(host) == Some(marked(PLUGIN, "1"))
        });
        wait_for_mark(host, "1");
    }
    for host in [&hosts[0], &hosts[2]] {
        assert!(!host.log().contains("the moon is not full\n"), "only the canary has tried it");
        assert!(!host.log().contains("refused"), "only the canary has tried it");
    }
    // The next version is another chance.
    fleet.roll_out(&hosts, "3");
    // A stopped version is no version before.
    assert!(
        Resp::connect3(&hosts[0]).ask(&["fleet", "rollback", PLUGIN]).as_str().contains("goes")
    );
    hosts.iter().for_each(|host| wait_for_mark(host, "1"));
}

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
fn failed_first_version_is_removed() {
    let fleet = Fleet::new("0");
    let host = fleet.member("a").start();
    super::wait_for_rollouts(&host);
    let ended = fleet.push(&host, &library_name(PLUGIN), &stripped("create-fails"));
    assert_eq!(ended.status, Some(0), "{ended:?}");
    wait_for_phase(&host, "stopped");
    wait_until("the file is gone", LIMIT, || library_of(&host).is_none());
    let names: Vec<_> = files_of(&host).into_iter().map(|(name, _)| name).collect();
    assert!(names.iter().all(|name| name.starts_with('.')), "{names:?}");
}

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
fn others_wait_while_the_canary_serves() {
    let fleet = Fleet::new("10");
    let hosts = fleet.three();
    let pushed = Instant::now();
    let ended = fleet.push(&hosts[2], &library_name(PLUGIN), &marked(PLUGIN, "1"));
    assert_eq!(ended.status, Some(0), "{ended:?}");
    wait_for_mark(&hosts[2], "1");
    wait_for_phase(&hosts[0], "canary");
    assert_eq!(field(&hosts[0], "host").as_deref(), Some("c"));
    assert_eq!((mark_of(&hosts[0]), mark_of(&hosts[1])), (None, None));
    wait_until("another host serves it", LIMIT, || mark_of(&hosts[0]).is_some());
    assert!(pushed.elapsed() >= Duration::from_secs(10), "{:?}", pushed.elapsed());
    hosts.iter().for_each(|host| wait_for_mark(host, "1"));
    wait_for_phase(&hosts[0], "everyone");
}

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
fn crash_during_the_wait_stops_the_rollout() {
    let fleet = Fleet::new("600");
    let hosts = fleet.three();
    let ended = fleet.push(&hosts[0], "frail", FRAIL);
    assert_eq!(ended.status, Some(0), "{ended:?}");
    wait_until("the canary serves it", LIMIT, || {
        let info = Resp::connect3(&hosts[0]).ask(&["plugin", "info", "frail"]);
        info.get("status").is_some_and(|status| *status == "serving".into())
    });
    hosts[0].wait_for_log("plugin 'frail'");
    hosts[0].wait_for_log("is served here");
    let said = Resp::connect3(&hosts[0]).ask(&["frail"]).as_str().to_owned();
    assert!(said.contains("CRASHED"), "{said}");
    wait_for_phase(&hosts[1], "stopped");
    let reason = field(&hosts[1], "reason").unwrap();
    assert!(reason.contains("crashed"), "{reason}");
    wait_until("the file is gone", LIMIT, || {
        files_of(&hosts[0]).iter().all(|(name, _)| name.starts_with('.'))
    });
    assert!(files_of(&hosts[1]).iter().all(|(name, _)| name.starts_with('.')));
}

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
fn another_host_replaces_a_killed_canary() {
    let fleet = Fleet::new("12");
    let mut hosts = fleet.three();
    let ended = fleet.push(&hosts[0], &library_name(PLUGIN), &marked(PLUGIN, "1"));
    assert_eq!(ended.status, Some(0), "{ended:?}");
    wait_for_mark(&hosts[0], "1");
    wait_for_phase(&hosts[1], "canary");
    hosts[0].kill();
    wait_until("another host notices it", LIMIT, || {
        hosts[1..].iter().any(|host| host.log().contains("the canary has vanished"))
    });
    for host in &hosts[1..] {
        wait_for_mark(host, "1");
        wait_for_phase(host, "everyone");
    }
}

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
fn forgotten_version_on_trial_stays() {
    let fleet = Fleet::new("600");
    let host = fleet.member("a").start();
    super::wait_for_rollouts(&host);
    let ended = fleet.push(&host, "frail", FRAIL);
    assert_eq!(ended.status, Some(0), "{ended:?}");
    host.wait_for_log("is served here");
    let reply = Resp::connect3(&host).ask(&["fleet", "forget", "frail"]);
    assert!(reply.as_str().contains("no further host takes plugin 'frail'"), "{reply:?}");
    let said = Resp::connect3(&host).ask(&["frail"]).as_str().to_owned();
    assert!(said.contains("CRASHED"), "{said}");
    host.wait_for_log("plugin frail: generation 1 crashed");
    host.wait_for_log("plugin frail: generation 1 restarted");
    assert!(files_of(&host).iter().any(|(name, _)| name == "frail"));
}
