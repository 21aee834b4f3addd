//! Calls of other hosts' commands while they run: progress, the time limit, many at once.

use std::thread;

use dropin_tests::{Frame, Lines, Resp, nats::Nats};

use super::{error, expect_in_step, member, pair, wait_for_hosts, wait_for_reply};

/// A limit that calls of these tests exceed.
const SHORT: [&str; 2] = ["--fleet-call-timeout", "1"];

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
fn progress_of_another_host_arrives() {
    let nats = Nats::start();
    let (a, _b) = pair(&nats, &["busy"], "step");
    let mut client = Resp::connect3(&a);
    client.say(&["step", "1000000", "steps"]);
    let mut pushes = Vec::new();
    let reply = loop {
        match client.frame() {
            Frame::Push(items) => pushes.push(items),
            reply => break reply,
        }
    };
    assert_eq!(reply, 1_000_000.into());
    assert!(pushes.len() >= 2, "{pushes:?}");
    let mut last = 0;
    for push in &pushes {
        let [kind, done, total, text] = &push[..] else { panic!("{push:?}") };
        assert_eq!([kind, total, text], [&"progress".into(), &1_000_000.into(), &"steps".into()]);
        assert!(done.as_integer() > last, "{pushes:?}");
        last = done.as_integer();
    }
    // Other protocols get the reply alone.
    assert_eq!(Resp::connect(&a).ask(&["step", "5"]), 5.into());
    let mut lines = Lines::connect(&a);
    assert_eq!(lines.ask_all("step 5"), ["5"]);
}

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
fn call_has_a_time_limit() {
    let nats = Nats::start();
    let a = member(&nats, "a", &["text"]).flags(&SHORT).start();
    let b = member(&nats, "b", &["busy"]).start();
    wait_for_hosts(&a, "linger", 1);
    let mut client = Resp::connect(&a);
    for command in ["linger", "block"] {
        let reply = client.ask(&[command, "20000"]);
        let (kind, text) = error(&reply);
        assert_eq!(kind, "TIMEOUT", "{text}");
        assert!(text.contains(&format!("'{command}'")), "{text}");
        assert!(text.contains("1 s (--fleet-call-timeout)"), "{text}");
        expect_in_step(&mut client, command);
    }
    b.wait_for_log(&format!("busy: cancelled for {}", client.local()));
    // A call within the limit is not affected. A loaded machine may need more time for one.
    wait_for_reply(&mut client, &["linger", "100"], &"lingered".into());
    assert_eq!(client.ask(&["echo", "next"]), "next".into());
}

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
fn call_longer_than_a_silence_is_answered() {
    let nats = Nats::start();
    let (a, b) = pair(&nats, &["busy"], "linger");
    let mut client = Resp::connect(&a);
    // Longer than the times after which a host counts as silent, and a call as forsaken.
    assert_eq!(client.ask(&["linger", "5000"]), "lingered".into());
    assert_eq!(client.ask(&["block", "5000"]), "blocked".into());
    for host in [&a, &b] {
        for text in ["is gone", "silent for too long", "does not ask for it any more"] {
            assert_eq!(host.logged(text), None);
        }
    }
}

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
fn each_of_many_sessions_gets_its_replies() {
    let nats = Nats::start();
    let a = member(&nats, "a", &[]).start();
    let _others = ["b", "c"].map(|name| member(&nats, name, &["text"]).start());
    wait_for_hosts(&a, "echo", 2);
    thread::scope(|scope| {
        for session in 0..50 {
            let mut client = Resp::connect(&a);
            scope.spawn(move || {
                for number in 0..100 {
                    let text = format!("{session}-{number}");
                    assert_eq!(client.ask(&["echo", &text]), Frame::text(&text));
                }
                expect_in_step(&mut client, "end");
            });
        }
    });
}

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
fn batch_is_answered_in_order() {
    let nats = Nats::start();
    let a = member(&nats, "a", &["clock"]).start();
    let _others = ["b", "c"].map(|name| member(&nats, name, &["text"]).start());
    wait_for_hosts(&a, "echo", 2);
    let mut client = Lines::connect(&a);
    let batch: String = (0..1_000).map(|n| format!("echo {n}\nping local{n}\n")).collect();
    client.send(batch);
    for number in 0..1_000 {
        assert_eq!(client.line(), number.to_string());
        assert_eq!(client.line(), format!("local{number}"));
    }
}
