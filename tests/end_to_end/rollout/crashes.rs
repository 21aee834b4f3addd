//! A version that ends the host that tries it.

use std::fs;

use dropin_tests::{
    Host, LIMIT, Resp,
    built::{library, library_name},
    system::unused_port,
    wait_until,
};

use super::{Fleet, field, files_of, wait_for_phase, wait_for_rollouts};

/// Returns true if a host has no plugin.
fn is_empty(host: &Host) -> bool {
    files_of(host).iter().all(|(name, _)| name.starts_with('.'))
}

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
fn canary_that_has_crashed_stops_the_rollout() {
    let fleet = Fleet::new("600");
    let (port, state) = (unused_port(), tempfile::tempdir().unwrap());
    let canary = || fleet.member("a").port(port).state_dir(&state.path().join("state"));
    let mut a = canary().start();
    let b = fleet.member("b").start();
    [&a, &b].into_iter().for_each(wait_for_rollouts);
    let content = fs::read(library("crashes")).unwrap();
    let ended = fleet.push(&a, &library_name("crashes"), &content);
    assert_eq!(ended.status, Some(0), "{ended:?}");
    a.wait_for_log("is served here");
    Resp::connect(&a).say(&["crash.fault"]);
    wait_until("it has crashed", LIMIT, || a.has_ended());
    // Nobody knows why it is gone, and the next one tries the version.
    b.wait_for_log("the canary has vanished");
    wait_for_phase(&b, "canary");
    b.wait_for_log("is served here");
    let files = files_of(&a);
    let setup = files.iter().fold(canary(), |setup, (name, bytes)| setup.file(name, bytes));
    let a = setup.start();
    wait_for_phase(&b, "stopped");
    assert_eq!(field(&b, "host").as_deref(), Some("a"));
    assert_eq!(field(&b, "reason").as_deref(), Some("the host crashed in it"));
    for host in [&a, &b] {
        wait_until("the file is gone", LIMIT, || is_empty(host));
    }
}
