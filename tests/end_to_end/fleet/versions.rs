//! Hosts with different versions of one plugin.

use std::collections::BTreeSet;

use dropin_tests::{
    Frame, LIMIT, Resp, Setup, built::library_name, executable::Script, nats::Nats, reload::marked,
    wait_until,
};

use super::{hosts_of, member, wait_for_hosts};

/// Calls a command until these replies have all come, and checks that no other one comes.
#[track_caller]
fn expect_replies(client: &mut Resp, words: &[&str], expected: &[&str]) {
    let mut seen = BTreeSet::new();
    wait_until(&format!("{words:?} is answered {expected:?}"), LIMIT, || {
        let reply = client.ask(words).as_str().to_owned();
        assert!(expected.contains(&reply.as_str()), "{words:?}: {reply}");
        seen.insert(reply);
        seen.len() == expected.len()
    });
}

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
fn hosts_with_two_versions_both_answer() {
    let nats = Nats::start();
    let a = member(&nats, "a", &[]).start();
    let with_keeper = |name: &str, version: &str| {
        member(&nats, name, &[]).file(&library_name("keeper"), &marked("keeper", version)).start()
    };
    let (b, _c) = (with_keeper("b", "1"), with_keeper("c", "2"));
    wait_for_hosts(&a, "keeper.version", 2);
    let mut client = Resp::connect(&a);
    expect_replies(&mut client, &["keeper.version"], &["1", "2"]);
    b.place("keeper", &marked("keeper", "3"));
    b.wait_for_answer("keeper.version", "3");
    expect_replies(&mut client, &["keeper.version"], &["2", "3"]);
    assert_eq!(hosts_of(&a, "keeper.version"), Some(2));
}

/// Returns the fixture of this version, whose `echo` takes further arguments, which it ignores.
fn with_other_usage(version: &str) -> Vec<u8> {
    let script = Script::fixture("sound").set("VERSION", version);
    let text = String::from_utf8(script.as_ref().to_vec()).unwrap();
    let (old, new) = ("@command(\"BYTES\")\ndef echo", "@command(\"BYTES [MORE..]\")\ndef echo");
    assert!(text.contains(old), "the fixture has changed");
    text.replace(old, new).into_bytes()
}

#[test]
#[cfg_attr(
    not(all(tool = "nats-server", tool = "python3")),
    ignore = "needs nats-server and python3"
)]
fn other_usage_and_more_commands_are_served() {
    let nats = Nats::start();
    let a = member(&nats, "a", &[]).start();
    let start = |setup: Setup, script: &[u8]| setup.executable("sound.py", script).start();
    let old = Script::fixture("sound");
    let b = start(member(&nats, "b", &[]), old.as_ref());
    let c = start(member(&nats, "c", &[]), &with_other_usage("2"));
    wait_for_hosts(&a, "sound.echo", 2);
    let mut client = Resp::connect(&a);
    expect_replies(&mut client, &["sound.version"], &["1", "2"]);
    assert_eq!(Resp::connect(&c).ask(&["sound.add", "sound.more"]), "added".into());
    wait_for_hosts(&a, "sound.more", 1);
    for _ in 0..20 {
        assert_eq!(client.ask(&["sound.echo", "one"]), "one".into());
        assert_eq!(client.ask(&["sound.more"]), "this is sound.more".into());
    }
    // Another host's usage decides whether it takes the arguments, and it says so.
    for _ in 0..20 {
        let reply = client.ask(&["sound.echo", "one", "two"]);
        let is_refused = matches!(&reply, Frame::Error(text)
            if text.starts_with("ERR wrong number of arguments for 'sound.echo' command"));
        assert!(reply == "one".into() || is_refused, "{reply:?}");
    }
    drop(b);
    wait_for_hosts(&a, "sound.echo", 1);
    assert_eq!(client.ask(&["sound.echo", "one", "two"]), "one".into());
}
