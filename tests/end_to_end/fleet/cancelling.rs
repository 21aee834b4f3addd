//! Cancelling a call that another host runs.

use dropin_tests::{Frame, Lines, Resp, nats::Nats};

use super::{error, expect_in_step, linger, pair};

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
fn cancelled_call_ends_at_its_host() {
    let nats = Nats::start();
    let (a, b) = pair(&nats, &["busy", "text"], "linger");
    let (mut client, id) = linger(&a, &b);
    assert_eq!(Resp::connect(&a).ask(&["client", "cancel", &id]), 1.into());
    // On a loaded machine the caller gives up before it has the reply.
    assert_eq!(error(&client.frame()).0, "CANCELLED");
    b.wait_for_log(&format!("busy: cancelled for {}", client.local()));
    expect_in_step(&mut client, "next");
    // The cancellation has ended with its call.
    assert_eq!(client.ask(&["linger", "1"]), "lingered".into());
    assert_eq!(client.ask(&["echo", "still here"]), "still here".into());
}

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
fn call_that_ignores_cancelling_is_given_up() {
    let nats = Nats::start();
    let (a, b) = pair(&nats, &["busy"], "block");
    let mut client = Resp::connect(&a);
    let id = client.ask(&["CLIENT", "ID"]).as_integer().to_string();
    let gate = b.state_dir().join("gate");
    client.say(&["hold", gate.to_str().unwrap()]);
    b.wait_for_log(&format!("holding for {}", client.local()));
    assert_eq!(Resp::connect(&a).ask(&["client", "cancel", &id]), 1.into());
    assert_eq!(client.frame(), Frame::error("CANCELLED the command was cancelled"));
    expect_in_step(&mut client, "next");
    // Its late reply goes nowhere.
    std::fs::write(&gate, "").unwrap();
    for number in 0..20 {
        let number = number.to_string();
        assert_eq!(client.ask(&["linger", "1"]), "lingered".into());
        expect_in_step(&mut client, &number);
    }
}

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
fn vanished_client_cancels_its_call() {
    let nats = Nats::start();
    let (a, b) = pair(&nats, &["busy"], "linger");
    let (client, _) = linger(&a, &b);
    let peer = client.local();
    client.into_connection().reset();
    b.wait_for_log(&format!("busy: cancelled for {peer}"));
    assert_eq!(Lines::connect(&a).ask("linger 1"), "lingered");
}

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
fn killed_session_cancels_its_call() {
    let nats = Nats::start();
    let (a, b) = pair(&nats, &["busy"], "linger");
    let (mut client, id) = linger(&a, &b);
    let peer = client.local();
    assert_eq!(Resp::connect(&a).ask(&["client", "kill", &id]), Frame::ok());
    b.wait_for_log(&format!("busy: cancelled for {peer}"));
    client.wait_for_end();
}

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
#[cfg(unix)]
fn killed_host_cancels_its_calls() {
    let nats = Nats::start();
    let (mut a, b) = pair(&nats, &["busy"], "linger");
    let (client, id) = linger(&a, &b);
    a.kill();
    let line = b.wait_for_log("its host does not ask for it any more");
    let caller = format!("'linger' of session {id} of host 'a' from {}", client.local());
    assert!(line.contains(&caller), "{line}");
    b.wait_for_log(&format!("busy: cancelled for {}", client.local()));
}

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
fn ending_host_cancels_its_calls() {
    let nats = Nats::start();
    let (mut a, b) = pair(&nats, &["busy"], "linger");
    let (client, _) = linger(&a, &b);
    let peer = client.local();
    assert_eq!(Lines::connect(&a).ask("ks"), "OK");
    b.wait_for_log(&format!("busy: cancelled for {peer}"));
    assert_eq!(a.exit(), Some(0));
}
