//! A host whose connection to NATS is slow.

use std::time::{Duration, Instant};

use dropin_tests::{
    Frame, Host, LIMIT, built::library_name, reload::marked, slow_link::SlowLink, wait_until,
};

use super::{Fleet, PLUGIN, rollouts, wait_for_mark, wait_for_phase, wait_for_rollouts};

/// The rate of the slow connection, in bytes a second.
const RATE: usize = 256 << 10;

/// Pushes a small plugin to a host, which is its canary then.
#[track_caller]
fn become_canary(fleet: &Fleet, canary: &Host, other: &Host) {
    let script = b"#!/bin/sh\n# dropin: greet [WHO] -- Greets.\necho hello $1\n";
    let ended = fleet.push(canary, "greet.sh", script);
    assert_eq!(ended.status, Some(0), "{ended:?}");
    wait_until("it is a canary", LIMIT, || {
        let all = rollouts(other).unwrap_or_default();
        all.iter().any(|rollout| {
            let text = |name| rollout.get(name).map(Frame::as_str);
            (text("plugin"), text("phase")) == (Some("greet"), Some("canary"))
        })
    });
}

/// Returns a library of this mark whose transfer takes as long as a lease.
fn large_library(mark: &str) -> Vec<u8> {
    let mut library = marked(PLUGIN, mark);
    library.resize(library.len().max(10 * RATE), 7);
    library
}

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
fn canary_keeps_its_lease_while_storing_a_file() {
    // Longer than a lease.
    let fleet = Fleet::new("12");
    let link = SlowLink::to(fleet.nats.socket(), RATE);
    let url = format!("nats://{}", link.address());
    let canary = fleet.member_at(&url, "a").start();
    let other = fleet.member("b").start();
    [&canary, &other].into_iter().for_each(wait_for_rollouts);
    become_canary(&fleet, &canary, &other);
    let began = Instant::now();
    let ended = fleet.push(&canary, &library_name(PLUGIN), &large_library("1"));
    assert_eq!(ended.status, Some(0), "{ended:?}");
    let took = began.elapsed();
    assert!(took > Duration::from_secs(8), "the connection was not slow: {took:?}");
    assert!(!other.log().contains("the canary has vanished"), "{}", other.log());
}

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
fn canary_keeps_its_lease_while_fetching_a_file() {
    let fleet = Fleet::new("12");
    let other = fleet.member("b").start();
    wait_for_rollouts(&other);
    let ended = fleet.push(&other, &library_name(PLUGIN), &large_library("1"));
    assert_eq!(ended.status, Some(0), "{ended:?}");
    wait_for_phase(&other, "everyone");
    // A newcomer fetches it at once.
    let link = SlowLink::to(fleet.nats.socket(), RATE);
    let began = Instant::now();
    let canary = fleet.member_at(&format!("nats://{}", link.address()), "a").start();
    canary.wait_for_log("fetches 'chameleon");
    become_canary(&fleet, &canary, &other);
    wait_for_mark(&canary, "1");
    let took = began.elapsed();
    assert!(took > Duration::from_secs(8), "the connection was not slow: {took:?}");
    assert!(!other.log().contains("the canary has vanished"), "{}", other.log());
}
