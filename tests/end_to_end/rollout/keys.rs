//! Hosts whose plugin key is another one.

use dropin_tests::{built::library_name, reload::marked, signer::Signer};

use super::{Fleet, PLUGIN, field, mark_of, wait_for_mark, wait_for_phase, wait_for_rollouts};

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
fn host_of_another_key_leaves_the_others_alone() {
    let fleet = Fleet::new("0");
    let a = fleet.member("a").start();
    wait_for_rollouts(&a);
    let ended = fleet.push(&a, &library_name(PLUGIN), &marked(PLUGIN, "1"));
    assert_eq!(ended.status, Some(0), "{ended:?}");
    wait_for_phase(&a, "everyone");
    let key = Signer::new();
    let flags = ["--plugin-key", key.file().to_str().unwrap()].map(str::to_owned);
    let url = fleet.nats.url();
    let setup = dropin_tests::Setup::new().flags(&["--fleet", &url, "--fleet-host", "other"]);
    let other = setup.flags(&flags.each_ref().map(String::as_str)).start();
    other.wait_for_log("is not taken: ");
    // A later host gets it all the same, and so do all the next version.
    let c = fleet.member("c").start();
    wait_for_mark(&c, "1");
    assert_eq!(field(&a, "phase").as_deref(), Some("everyone"));
    let ended = fleet.push(&a, &library_name(PLUGIN), &marked(PLUGIN, "2"));
    assert_eq!(ended.status, Some(0), "{ended:?}");
    [&a, &c].into_iter().for_each(|host| wait_for_mark(host, "2"));
    wait_for_phase(&c, "everyone");
    assert_eq!(mark_of(&other), None);
}
