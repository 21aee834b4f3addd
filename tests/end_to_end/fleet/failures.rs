//! Hosts that fail while they run a call of another one.

use std::{fs, thread};

use dropin_tests::{
    Frame, Host, LIMIT, Lines, Resp, Setup, executable::Script, nats::Nats, wait_for, wait_until,
};

use super::{described, error, expect_in_step, hosts_of, linger, member, pair, wait_for_hosts};

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
fn killed_host_fails_its_calls_by_name() {
    let nats = Nats::start();
    let a = member(&nats, "a", &["text"]).start();
    let mut b = member(&nats, "b", &["busy"]).start();
    wait_for_hosts(&a, "linger", 1);
    let (mut client, _) = linger(&a, &b);
    b.kill();
    let reply = client.frame();
    let (kind, text) = error(&reply);
    assert_eq!(kind, "HOSTDOWN", "{text}");
    assert!(text.contains("'b'") && text.contains("may have run"), "{text}");
    expect_in_step(&mut client, "next");
    // Another host takes its place without a restart of this one.
    a.wait_until_unknown("linger 1");
    let _c = member(&nats, "c", &["busy"]).start();
    wait_for_hosts(&a, "linger", 1);
    assert_eq!(client.ask(&["linger", "1"]), "lingered".into());
}

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
fn call_that_may_not_repeat_fails_at_once() {
    let nats = Nats::start();
    let a = member(&nats, "a", &[]).start();
    let mut hosts = ["b", "c"].map(|name| member(&nats, name, &["busy"]).start());
    wait_for_hosts(&a, "linger", 2);
    let mut client = Resp::connect(&a);
    client.say(&["linger", "600000"]);
    let lingering = format!("lingering for {}", client.local());
    let at = wait_for("a host runs the call", LIMIT, || {
        hosts.iter().position(|host| host.logged(&lingering).is_some())
    });
    hosts[at].kill();
    let reply = client.frame();
    assert_eq!(error(&reply).0, "HOSTDOWN");
    assert!(error(&reply).1.contains(if at == 0 { "'b'" } else { "'c'" }), "{reply:?}");
    expect_in_step(&mut client, "next");
    assert_eq!(hosts[1 - at].logged(&lingering), None, "it ran a second time");
}

/// Starts a host with an executable whose `hold` is idempotent or not.
fn with_script(nats: &Nats, name: &str, idempotent: &[&str]) -> Setup {
    let script = Script::fixture("sound").set("VERSION", name).set("IDEMPOTENT", idempotent);
    member(nats, name, &[]).executable("sound.py", script)
}

/// Has host `a` call `sound.hold`, kills the host that runs it, and returns the client, the hosts,
/// the number of the one that lives, and the gate that ends the call.
fn killed_in_hold(nats: &Nats, setups: [Setup; 2]) -> (Resp, [Host; 2], usize, Host) {
    let a = member(nats, "a", &[]).start();
    let mut hosts = setups.map(Setup::start);
    wait_for_hosts(&a, "sound.hold", 2);
    let mut client = Resp::connect(&a);
    client.say(&["sound.hold", a.state_dir().join("gate").to_str().unwrap()]);
    let at = wait_for("a host runs the call", LIMIT, || {
        hosts.iter().position(|host| host.logged("sound: holding").is_some())
    });
    hosts[at].kill();
    (client, hosts, 1 - at, a)
}

#[test]
#[cfg_attr(
    not(all(tool = "nats-server", tool = "python3")),
    ignore = "needs nats-server and python3"
)]
fn idempotent_call_is_repeated_elsewhere() {
    let nats = Nats::start();
    let setups = ["b", "c"].map(|name| with_script(&nats, name, &["hold"]));
    let (mut client, hosts, living, a) = killed_in_hold(&nats, setups);
    hosts[living].wait_for_log("sound: holding");
    fs::write(a.state_dir().join("gate"), "").unwrap();
    assert_eq!(client.frame(), ["b", "c"][living].into());
    expect_in_step(&mut client, "next");
}

#[test]
#[cfg_attr(
    not(all(tool = "nats-server", tool = "python3")),
    ignore = "needs nats-server and python3"
)]
fn promise_of_one_host_does_not_suffice() {
    let nats = Nats::start();
    let setups = [with_script(&nats, "b", &["hold"]), with_script(&nats, "c", &[])];
    let (mut client, hosts, living, a) = killed_in_hold(&nats, setups);
    let reply = client.frame();
    assert_eq!(error(&reply).0, "HOSTDOWN");
    fs::write(a.state_dir().join("gate"), "").unwrap();
    expect_in_step(&mut client, "next");
    assert_eq!(hosts[living].logged("sound: holding"), None, "it ran a second time");
}

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
fn stopped_host_fails_its_calls() {
    let nats = Nats::start();
    let (a, b) = pair(&nats, &["busy", "store", "text"], "linger");
    let (mut client, _) = linger(&a, &b);
    let mut counter = Resp::connect(&a);
    assert_eq!(counter.ask(&["incr", "count"]), 1.into());
    b.while_stopped(|| {
        let reply = client.frame();
        assert_eq!(error(&reply).0, "HOSTDOWN");
        assert!(error(&reply).1.contains("'b'"), "{reply:?}");
        expect_in_step(&mut client, "next");
        // A call that begins now fails, too.
        let reply = counter.ask(&["incr", "count"]);
        assert!(super::is_outage(&reply) || reply == unknown("incr"), "{reply:?}");
    });
    wait_for_hosts(&a, "incr", 1);
    // Until the host has said that it is back, its calls fail.
    super::wait_for_reply(&mut client, &["echo", "back"], &"back".into());
    // The late replies of the stopped host go nowhere.
    let mut last = 0;
    for number in 0..200 {
        let text = number.to_string();
        for client in [&mut client, &mut counter] {
            assert_eq!(client.ask(&["echo", &text]), Frame::text(&text));
        }
        last = counter.ask(&["incr", "count"]).as_integer();
    }
    // The failed call has run once at most.
    assert!((201..=202).contains(&last), "{last}");
    b.wait_for_log(&format!("busy: cancelled for {}", client.local()));
}

fn unknown(command: &str) -> Frame {
    Frame::error(&format!("ERR unknown command '{command}'"))
}

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
fn stopped_caller_keeps_its_call() {
    let nats = Nats::start();
    let (a, b) = pair(&nats, &["busy"], "linger");
    let mut client = Resp::connect(&a);
    let gate = b.state_dir().join("gate");
    client.say(&["hold", gate.to_str().unwrap()]);
    b.wait_for_log("busy: holding for ");
    a.while_stopped(|| {
        // The reply arrives while the caller is stopped.
        fs::write(&gate, "").unwrap();
        wait_until("the call has ended", LIMIT, || {
            let fleet = Resp::connect3(&b).ask(&["fleet"]);
            fleet.get("running") == Some(&0.into())
        });
    });
    assert_eq!(client.frame(), "held".into());
    expect_in_step(&mut client, "next");
}

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
fn killed_host_leaves_the_others_undisturbed() {
    let nats = Nats::start();
    let a = member(&nats, "a", &[]).start();
    let mut b = member(&nats, "b", &["text"]).start();
    let c = member(&nats, "c", &["busy"]).start();
    for command in ["echo", "linger"] {
        wait_for_hosts(&a, command, 1);
    }
    let (mut client, id) = linger(&a, &c);
    b.kill();
    wait_until("the host is gone", LIMIT, || described(&a, "b").is_none());
    a.wait_until_unknown("echo text");
    assert_eq!(hosts_of(&a, "linger"), Some(1));
    // The call at the other host runs on.
    assert_eq!(Lines::connect(&a).ask(&format!("client cancel {id}")), "1");
    assert_eq!(error(&client.frame()).0, "CANCELLED");
}

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
fn every_call_at_a_killed_host_fails() {
    let nats = Nats::start();
    let (a, mut b) = pair(&nats, &["busy"], "linger");
    let clients: Vec<_> = (0..20).map(|_| linger(&a, &b).0).collect();
    b.kill();
    thread::scope(|scope| {
        for mut client in clients {
            scope.spawn(move || {
                let reply = client.frame();
                assert_eq!(error(&reply).0, "HOSTDOWN");
                expect_in_step(&mut client, "next");
            });
        }
    });
}
