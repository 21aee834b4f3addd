//! Calls of a library in a worker process that are cancelled, and calls that report their progress.

use dropin_tests::{Frame, Host, LIMIT, Lines, Resp, wait_until};

use super::*;

/// Starts a call that heeds a cancellation.
#[track_caller]
fn linger(host: &Host) -> Resp {
    let mut client = Resp::connect(host);
    client.say(&["linger", "600000"]);
    host.wait_for_log(&format!("lingering for {}", client.local()));
    client
}

#[test]
fn call_of_gone_client_is_cancelled() {
    let host = isolated(&["busy"]);
    for reset in [true, false] {
        let client = linger(&host);
        let peer = client.local();
        if reset {
            client.into_connection().reset();
        } else {
            drop(client);
        }
        host.wait_for_log(&format!("cancelled for {peer}"));
    }
    let mut other = Lines::connect(&host);
    wait_until("their sessions are gone", LIMIT, || other.ask_all("client list").len() == 1);
}

#[test]
fn call_is_cancelled_by_another_session() {
    let host = isolated(&["busy", "clock"]);
    let (mut client, mut other) = (Resp::connect(&host), Resp::connect(&host));
    let id = client.ask(&["CLIENT", "ID"]).as_integer().to_string();
    for (words, error) in [
        (&["linger", "600000"][..], "CANCELLED lingered no longer"),
        (&["sleep", "600000"], "CANCELLED the sleep was cut short"),
    ] {
        client.say(words);
        wait_until("the command is cancelled", LIMIT, || {
            other.ask(&["client", "cancel", &id]) == Frame::Integer(1)
        });
        assert_eq!(client.frame(), Frame::error(error));
    }
    assert!(matches!(client.ask(&["sleep", "60"]), Frame::Integer(60..)), "the next one is not");
}

#[test]
fn killed_session_ends_beside_running_worker() {
    let host = isolated(&["busy"]);
    let (mut stuck, mut admin) = (Lines::connect(&host), Resp::connect(&host));
    let id = stuck.ask("client id");
    stuck.say("block 600000");
    host.wait_for_log("blocking for ");
    assert_eq!(admin.ask(&["client", "kill", &id]), Frame::ok());
    stuck.wait_for_end();
    assert_eq!(admin.ask(&["linger", "1"]), "lingered".into());
}

#[test]
fn ks_cancels_calls_and_ends_in_order() {
    let mut host = isolated(&["busy"]);
    let mut client = linger(&host);
    assert_eq!(host.ks(), Some(0));
    assert_eq!(client.frame(), Frame::error("CANCELLED lingered no longer"));
    client.wait_for_end();
}

#[test]
fn blocked_worker_delays_the_end_by_grace() {
    let mut host = isolated_setup(&["busy"]).flags(&["--grace", "1"]).start();
    let mut client = Lines::connect(&host);
    client.say("block 600000");
    host.wait_for_log("blocking for ");
    // It can be ended, other than one in the host, but its call was not answered.
    let status = host.ks();
    assert!(matches!(status, Some(0 | 3)), "{status:?}");
}

#[test]
fn progress_is_pushed_while_the_call_runs() {
    let host = isolated(&["clock", "busy"]);
    let mut client = Resp::connect3(&host);
    let id = client.ask(&["CLIENT", "ID"]).as_integer().to_string();
    client.say(&["sleep", "600000"]);
    let Frame::Push(items) = client.frame() else { panic!("no push") };
    assert_eq!(items[0], "progress".into());
    assert!((250..600_000).contains(&items[1].as_integer()), "{items:?}");
    assert_eq!(items[2..], [600_000.into(), "milliseconds slept".into()]);
    assert_eq!(Lines::connect(&host).ask(&format!("client cancel {id}")), "1");
    while matches!(client.frame(), Frame::Push(_)) {}
    client.say(&["step", "100000", "steps"]);
    let mut pushes = Vec::new();
    let reply = loop {
        match client.frame() {
            Frame::Push(items) => pushes.push(items),
            reply => break reply,
        }
    };
    assert_eq!(reply, 100_000.into());
    let push = |done: i64| vec!["progress".into(), done.into(), 100_000.into(), "steps".into()];
    assert_eq!(pushes.first(), Some(&push(1)));
    assert_eq!(pushes.last(), Some(&push(100_000)));
}

#[test]
fn protocols_without_pushes_get_the_reply_alone() {
    let host = isolated(&["busy"]);
    assert_eq!(Resp::connect(&host).ask(&["step", "5"]), 5.into());
    assert_eq!(Lines::connect(&host).ask("step 5"), "5");
}
