//! Hosts that cannot take a version for a reason of their own.

use dropin_tests::{Setup, built::library_name, reload::marked, signer::Signer};

use super::{Fleet, PLUGIN, field, mark_of, wait_for_mark, wait_for_phase, wait_for_rollouts};

/// Checks that a host that cannot take a version says this, and that all others go on.
#[track_caller]
fn expect_others_go_on(odd: impl FnOnce(&Fleet) -> Setup, said: &str) {
    let fleet = Fleet::new("0");
    let a = fleet.member("a").start();
    wait_for_rollouts(&a);
    let ended = fleet.push(&a, &library_name(PLUGIN), &marked(PLUGIN, "1"));
    assert_eq!(ended.status, Some(0), "{ended:?}");
    wait_for_phase(&a, "everyone");
    let odd = odd(&fleet).start();
    odd.wait_for_log(said);
    // A later host gets it all the same, and so do all the next version.
    let c = fleet.member("c").start();
    wait_for_mark(&c, "1");
    assert_eq!(field(&a, "phase").as_deref(), Some("everyone"));
    let ended = fleet.push(&a, &library_name(PLUGIN), &marked(PLUGIN, "2"));
    assert_eq!(ended.status, Some(0), "{ended:?}");
    [&a, &c].into_iter().for_each(|host| wait_for_mark(host, "2"));
    wait_for_phase(&c, "everyone");
    assert_eq!(mark_of(&odd), None);
}

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
fn host_of_another_key_leaves_others_alone() {
    let key = Signer::new();
    let with_other_key = |fleet: &Fleet| {
        fleet.unsigned("odd").flags(&["--plugin-key", key.file().to_str().unwrap()])
    };
    expect_others_go_on(with_other_key, "is not taken: ");
}

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
fn host_with_unusable_folder_leaves_others_alone() {
    // A file is where the copies of files before belong.
    let with_bad_folder = |fleet: &Fleet| fleet.member("odd").file(".fleet-before", b"");
    expect_others_go_on(with_bad_folder, "has failed here: cannot make ");
}

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
fn same_file_signed_anew_is_rolled_out_again() {
    let mut fleet = Fleet::new("0");
    let a = fleet.member("a").start();
    wait_for_rollouts(&a);
    let push = |fleet: &Fleet, host| {
        let ended = fleet.push(host, &library_name(PLUGIN), &marked(PLUGIN, "1"));
        assert_eq!(ended.status, Some(0), "{ended:?}");
    };
    push(&fleet, &a);
    wait_for_phase(&a, "everyone");
    // The key is another one from now on.
    fleet.signer = Signer::new();
    let hosts = ["b", "c"].map(|name| fleet.member(name).start());
    hosts.iter().for_each(|host| drop(host.wait_for_log("is not taken: ")));
    push(&fleet, &hosts[0]);
    hosts.iter().for_each(|host| wait_for_mark(host, "1"));
    wait_for_phase(&hosts[1], "everyone");
}
