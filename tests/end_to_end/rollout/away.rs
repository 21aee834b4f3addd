//! Hosts that were away, and servers that were.

use dropin_tests::{LIMIT, Lines, built::library_name, nats::Nats, reload::marked, wait_until};

use super::{Fleet, PLUGIN, files_of, mark_of, wait_for_hosts, wait_for_mark, wait_for_rollouts};

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
fn host_that_was_away_catches_up() {
    let fleet = Fleet::new("0");
    let [a, b, mut c] = fleet.three();
    let ended = fleet.push(&a, &library_name(PLUGIN), &marked(PLUGIN, "1"));
    assert_eq!(ended.status, Some(0), "{ended:?}");
    [&a, &b, &c].into_iter().for_each(|host| wait_for_mark(host, "1"));
    wait_for_hosts(&a, "a b c");
    let files = files_of(&c);
    c.kill();
    fleet.roll_out(&[a, b], "2");
    let setup =
        files.iter().fold(fleet.member("c"), |setup, (name, bytes)| setup.file(name, bytes));
    let c = setup.start();
    wait_for_mark(&c, "2");
    let newcomer = fleet.member("d").start();
    wait_for_mark(&newcomer, "2");
}

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
fn local_file_stays_until_the_next_rollout() {
    let fleet = Fleet::new("0");
    let hosts = fleet.three();
    fleet.roll_out(&hosts, "1");
    wait_for_hosts(&hosts[0], "a b c");
    fleet.drop_library(&hosts[2], &marked(PLUGIN, "own"));
    wait_for_mark(&hosts[2], "own");
    // It stays when the host starts again, too.
    let [a, b, mut c] = hosts;
    let files = files_of(&c);
    c.kill();
    let setup =
        files.iter().fold(fleet.member("c"), |setup, (name, bytes)| setup.file(name, bytes));
    let c = setup.start();
    wait_for_rollouts(&c);
    wait_for_hosts(&c, "a b c");
    assert_eq!(mark_of(&c).as_deref(), Some("own"));
    fleet.roll_out(&[a, b, c], "2");
}

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
fn serving_goes_on_without_jetstream() {
    let mut fleet = Fleet::new("0");
    fleet.nats.kill();
    let publisher = fleet.member("a").flags(&["--fleet-publish"]).start();
    let other = fleet.member("b").start();
    fleet.drop_library(&publisher, &marked(PLUGIN, "1"));
    wait_for_mark(&publisher, "1");
    let ended = fleet.push(&publisher, &library_name(PLUGIN), &marked(PLUGIN, "2"));
    assert_eq!(ended.status, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("cannot use the fleet's JetStream"), "{ended:?}");
    fleet.nats.restart();
    // The file that was put there meanwhile reaches the others.
    wait_for_mark(&other, "1");
    fleet.nats.kill();
    assert_eq!(Lines::connect(&other).ask("colour"), "1");
    fleet.nats.restart();
    wait_for_rollouts(&publisher);
    fleet.drop_library(&publisher, &marked(PLUGIN, "3"));
    wait_for_mark(&other, "3");
}

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
fn missing_jetstream_is_logged_once() {
    let mut fleet = Fleet::new("0");
    let config = fleet.nats.folder().join("nats.conf");
    let account = "accounts { A { users = [ {user: a, password: a} ] } }\nno_auth_user: a\n";
    std::fs::write(&config, account).unwrap();
    fleet.nats = Nats::with(&["-c", config.to_str().unwrap()]);
    let host = fleet.member("a").start();
    let said = "no plugins are rolled out while JetStream is away";
    host.wait_for_log(said);
    wait_until("it is tried again", LIMIT, || host.log().matches("asks for JetStream").count() > 2);
    assert_eq!(host.log().matches(said).count(), 1);
    assert_eq!(super::rollouts(&host), None);
}

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
fn lost_rollouts_are_reported_and_begin_anew() {
    let mut fleet = Fleet::new("0");
    let hosts = fleet.three();
    fleet.roll_out(&hosts, "1");
    wait_for_hosts(&hosts[0], "a b c");
    fleet.nats.kill();
    std::fs::remove_dir_all(fleet.nats.folder().join("data")).unwrap();
    fleet.nats.restart();
    hosts[0].wait_for_log("JetStream has lost the rollouts of 1 plugins");
    wait_for_rollouts(&hosts[0]);
    assert_eq!(super::rollouts(&hosts[0]), Some(Vec::new()));
    hosts.iter().for_each(|host| wait_for_mark(host, "1"));
    hosts.iter().for_each(wait_for_rollouts);
    fleet.roll_out(&hosts, "2");
}
