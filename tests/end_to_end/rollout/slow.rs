//! A host whose connection to NATS is slow.

use std::time::{Duration, Instant};

use dropin_tests::{built::library_name, reload::marked, slow_link::SlowLink};

use super::{Fleet, PLUGIN, wait_for_phase, wait_for_rollouts};

/// The rate of the slow connection, in bytes a second.
const RATE: usize = 256 << 10;

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
    let script = b"#!/bin/sh\n# dropin: greet [WHO] -- Greets.\necho hello $1\n";
    let ended = fleet.push(&canary, "greet.sh", script);
    assert_eq!(ended.status, Some(0), "{ended:?}");
    wait_for_phase(&other, "canary");
    // It is stored for as long as a lease lasts.
    let mut library = marked(PLUGIN, "1");
    library.resize(library.len().max(10 * RATE), 7);
    let began = Instant::now();
    let ended = fleet.push(&canary, &library_name(PLUGIN), &library);
    assert_eq!(ended.status, Some(0), "{ended:?}");
    let took = began.elapsed();
    assert!(took > Duration::from_secs(8), "the connection was not slow: {took:?}");
    assert!(!other.log().contains("the canary has vanished"), "{}", other.log());
}
