//! Files that come to the fleet, and what every host makes of them.

use std::{fs, time::Instant};

use dropin_tests::{
    LIMIT, Lines, Resp,
    built::library_name,
    reload::{marked, stripped},
    wait_until,
};

use super::{
    Fleet, PLUGIN, field, files_of, mark_of, push_file, rollouts, wait_for_hosts, wait_for_mark,
    wait_for_phase, wait_for_rollouts,
};

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
fn pushed_plugin_is_served_on_all_hosts() {
    let fleet = Fleet::new("0");
    let hosts = fleet.three();
    fleet.roll_out(&hosts, "1");
    wait_for_hosts(&hosts[2], "a b c");
    for host in &hosts {
        let names: Vec<_> = files_of(host).into_iter().map(|(name, _)| name).collect();
        assert!(names.contains(&format!("{}.minisig", library_name(PLUGIN))), "{names:?}");
    }
    fleet.roll_out(&hosts[1..], "2");
    wait_for_mark(&hosts[0], "2");
    assert!(field(&hosts[0], "before").is_some());
    assert_eq!(field(&hosts[0], "pushed-to").as_deref(), Some("b"));
}

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
fn dropped_plugin_is_served_soon_on_all_hosts() {
    let fleet = Fleet::new("0");
    let publisher = fleet.member("a").flags(&["--fleet-publish"]).start();
    let others = ["b", "c"].map(|name| fleet.member(name).start());
    wait_for_rollouts(&publisher);
    others.iter().for_each(wait_for_rollouts);
    for mark in ["1", "2"] {
        let mut library = marked(PLUGIN, mark);
        library.resize(2 << 20, 7);
        let started = Instant::now();
        fleet.drop_library(&publisher, &library);
        wait_until("all hosts serve it", LIMIT, || {
            others.iter().all(|host| mark_of(host).as_deref() == Some(mark))
        });
        println!("2 MiB from drop to served on three hosts: {:?}", started.elapsed());
        assert_eq!(mark_of(&publisher).as_deref(), Some(mark));
        wait_for_hosts(&publisher, "a b c");
    }
    // Files that the fleet puts there, or puts back, are not offered again.
    let ended = fleet.push(&publisher, &library_name(PLUGIN), &stripped("create-fails"));
    assert_eq!(ended.status, Some(0), "{ended:?}");
    publisher.wait_for_swaps(PLUGIN, 2);
    wait_for_phase(&publisher, "stopped");
    let ended = fleet.push(&others[0], &library_name(PLUGIN), &marked(PLUGIN, "3"));
    assert_eq!(ended.status, Some(0), "{ended:?}");
    wait_for_mark(&publisher, "3");
    wait_for_hosts(&publisher, "a b c");
    assert_eq!(publisher.log().matches("is offered to the fleet, from").count(), 2);
}

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
fn script_is_rolled_out_and_can_run() {
    let fleet = Fleet::new("0");
    let hosts = fleet.three();
    let script = b"#!/bin/sh\n# dropin: greet [WHO] -- Greets.\necho hello $1\n";
    let ended = fleet.push(&hosts[1], "greet.sh", script);
    assert_eq!(ended.status, Some(0), "{ended:?}");
    for host in &hosts {
        wait_until("the script is served", LIMIT, || {
            let info = Resp::connect3(host).ask(&["plugin", "info", "greet"]);
            info.get("status").is_some_and(|status| *status == "serving".into())
        });
        assert_eq!(Lines::connect(host).ask("greet Ada"), "hello Ada");
    }
    assert_eq!(field(&hosts[0], "target").as_deref(), Some("any"));
}

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
fn rollback_puts_version_before_back_everywhere() {
    let fleet = Fleet::new("0");
    let hosts = fleet.three();
    let roll_back = |name: &str| Lines::connect(&hosts[2]).ask(&format!("fleet rollback {name}"));
    assert!(roll_back(PLUGIN).contains("no plugin 'chameleon' has been rolled out"));
    fleet.roll_out(&hosts, "1");
    wait_for_hosts(&hosts[2], "a b c");
    assert!(roll_back(PLUGIN).contains("has no version before this one"));
    fleet.roll_out(&hosts, "2");
    wait_for_hosts(&hosts[2], "a b c");
    let said = roll_back(PLUGIN);
    assert!(said.contains("plugin 'chameleon' goes back to"), "{said}");
    hosts.iter().for_each(|host| wait_for_mark(host, "1"));
    wait_for_hosts(&hosts[0], "a b c");
}

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
fn host_without_key_takes_nothing() {
    let fleet = Fleet::new("0");
    let hosts = fleet.three();
    let other = fleet.unsigned("d").start();
    wait_for_rollouts(&other);
    let ended = fleet.push(&other, &library_name(PLUGIN), &marked(PLUGIN, "1"));
    assert_eq!(ended.status, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("it runs without --plugin-key"), "{ended:?}");
    fleet.roll_out(&hosts, "1");
    fleet.roll_out(&hosts, "2");
    wait_for_phase(&other, "everyone");
    let warning = "this host takes no plugins from the fleet: it runs without --plugin-key";
    other.wait_for_log(warning);
    assert_eq!(other.log().matches(warning).count(), 1, "it is said once");
    assert_eq!(files_of(&other), []);
    assert_eq!(mark_of(&other), None);
}

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
fn unsigned_file_cannot_be_pushed() {
    let fleet = Fleet::new("0");
    let host = fleet.member("a").start();
    wait_for_rollouts(&host);
    let folder = tempfile::tempdir().unwrap();
    let library = marked(PLUGIN, "1");
    let path = folder.path().join(library_name(PLUGIN));
    fs::write(&path, &library).unwrap();
    let signature = folder.path().join(format!("{}.minisig", library_name(PLUGIN)));
    let other = dropin_tests::signer::Signer::new();
    let name = library_name(PLUGIN);
    let of_other_file =
        format!("its signature is of a file other.so: sign the file under the name {name}");
    for (content, said) in [
        (None, "it has no signature"),
        (Some(other.sign_file(&name, &library)), "its signature was not made with the plugin key"),
        (Some(fleet.signer.sign_file(&name, b"other")), "its signature does not match its content"),
        (Some(fleet.signer.sign_file("other.so", &library)), &of_other_file),
        (Some(fleet.signer.sign(&library)), "its signature is of no file"),
        (Some(b"text".to_vec()), "it is not as `minisign -S` writes it"),
    ] {
        if let Some(content) = content {
            fs::write(&signature, content).unwrap();
        }
        let ended = push_file(&host, &path);
        assert_eq!(ended.status, Some(1), "{ended:?}");
        assert!(ended.stderr.contains(said), "{ended:?}");
    }
    assert_eq!(rollouts(&host), Some(Vec::new()));
}

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
fn pushes_are_bounded_and_checked() {
    let fleet = Fleet::new("0");
    let host = fleet.member("a").start();
    wait_for_rollouts(&host);
    let mut client = Resp::connect3(&host);
    let mut refusal = |words: &[&str]| client.ask(words).as_str().to_owned();
    for (words, said) in [
        (&["fleet", "push", "begin", "../x", "1"][..], "is not that of a plugin"),
        (&["fleet", "push", "begin", "notes.txt", "1"], "is not that of a plugin"),
        (&["fleet", "push", "begin", "greet", "999999999999"], "the limit is 268435456"),
        (&["fleet", "push", "begin", "greet", "many"], "is not a number of bytes"),
        (&["fleet", "push", "part", "77", "x"], "has no such upload"),
        (&["fleet", "push", "end", "77"], "has no such upload"),
        (&["fleet", "push", "sideways"], "usage: fleet push begin"),
        (&["fleet", "sideways"], "'fleet' has: FORGET, PUSH, ROLLBACK, ROLLOUT"),
    ] {
        let text = refusal(words);
        assert!(text.contains(said), "{words:?}: {text}");
    }
    let number = client.ask(&["fleet", "push", "begin", "greet", "4"]).as_integer().to_string();
    client.ask(&["fleet", "push", "part", &number, "ab"]);
    let text = client.ask(&["fleet", "push", "end", &number]).as_str().to_owned();
    assert!(text.contains("2 of its 4 bytes have arrived"), "{text}");
}

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
fn same_file_pushed_again_changes_nothing() {
    let fleet = Fleet::new("0");
    let hosts = fleet.three();
    fleet.roll_out(&hosts, "1");
    fleet.roll_out(&hosts, "2");
    let before = field(&hosts[1], "before");
    for host in &hosts[..2] {
        let ended = fleet.push(host, &library_name(PLUGIN), &marked(PLUGIN, "2"));
        assert_eq!(ended.status, Some(0), "{ended:?}");
        assert!(ended.stdout.contains("already; nothing changes"), "{ended:?}");
    }
    assert!(before.is_some());
    assert_eq!(field(&hosts[1], "before"), before);
    let reply = Resp::connect3(&hosts[0]).ask(&["fleet", "rollback", PLUGIN]);
    assert!(reply.as_str().contains("goes back to"), "{reply:?}");
    hosts.iter().for_each(|host| wait_for_mark(host, "1"));
}

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
fn forgotten_plugin_reaches_no_further_host() {
    let fleet = Fleet::new("0");
    let hosts = fleet.three();
    fleet.roll_out(&hosts, "1");
    wait_for_hosts(&hosts[0], "a b c");
    let forget = || Lines::connect(&hosts[1]).ask(&format!("fleet forget {PLUGIN}"));
    assert_eq!(
        forget(),
        format!(
            "no further host takes plugin '{PLUGIN}'; those that have it keep its file until it is \
             removed there"
        )
    );
    for host in &hosts {
        wait_until("it is not listed", LIMIT, || rollouts(host) == Some(Vec::new()));
    }
    assert!(forget().contains("has been rolled out; `fleet rollout` lists"), "{}", forget());
    let late = fleet.member("d").start();
    wait_for_rollouts(&late);
    // A later rollout reaches all hosts, and what was forgotten is no version before.
    let ended = fleet.push(&hosts[2], "greet.sh", b"#!/bin/sh\n# dropin: greet -- Greets.\n");
    assert_eq!(ended.status, Some(0), "{ended:?}");
    wait_for_hosts(&late, "a b c d");
    assert_eq!(mark_of(&late), None);
    hosts.iter().for_each(|host| assert_eq!(mark_of(host).as_deref(), Some("1")));
    let ended = fleet.push(&hosts[0], &library_name(PLUGIN), &marked(PLUGIN, "2"));
    assert_eq!(ended.status, Some(0), "{ended:?}");
    wait_for_mark(&late, "2");
    hosts.iter().for_each(|host| wait_for_mark(host, "2"));
}
