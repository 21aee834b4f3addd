//! Hosts that end in order while others call their commands.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

use dropin_tests::{Frame, LIMIT, Lines, Resp, nats::Nats, wait_until};

use super::{expect_in_step, linger, member, wait_for_hosts};

/// A grace that suffices on a loaded machine.
const PATIENT: [&str; 2] = ["--grace", "60"];

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
fn ending_host_finishes_its_calls() {
    let nats = Nats::start();
    let a = member(&nats, "a", &[]).start();
    let mut b = member(&nats, "b", &["busy"]).flags(&PATIENT).start();
    wait_for_hosts(&a, "hold", 1);
    let gate = a.state_dir().join("gate");
    let mut holder = Resp::connect(&a);
    holder.say(&["hold", gate.to_str().unwrap()]);
    b.wait_for_log("busy: holding for ");
    // One that can be cancelled, too.
    let (mut lingerer, _) = linger(&a, &b);
    assert_eq!(Lines::connect(&b).ask("ks"), "OK");
    assert_eq!(lingerer.frame(), Frame::error("CANCELLED lingered no longer"));
    a.wait_until_unknown("linger 1");
    assert!(!b.has_ended(), "a call still runs");
    std::fs::write(&gate, "").unwrap();
    assert_eq!(holder.frame(), "held".into());
    assert_eq!(b.exit(), Some(0));
    expect_in_step(&mut holder, "next");
}

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
fn grace_bounds_the_wait_for_calls() {
    let nats = Nats::start();
    let a = member(&nats, "a", &[]).start();
    let mut b = member(&nats, "b", &["busy"]).flags(&["--grace", "1"]).start();
    wait_for_hosts(&a, "hold", 1);
    let mut holder = Resp::connect(&a);
    holder.say(&["hold", a.state_dir().join("never").to_str().unwrap()]);
    b.wait_for_log("busy: holding for ");
    assert_eq!(Lines::connect(&b).ask("ks"), "OK");
    b.exit();
    let reply = holder.frame();
    let (kind, text) = super::error(&reply);
    assert_eq!(kind, "HOSTDOWN", "{text}");
    assert!(text.contains("'b'"), "{text}");
    expect_in_step(&mut holder, "next");
}

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
fn calls_go_elsewhere_without_errors() {
    /// The number of calls before and after each end of a host.
    const CALLS: usize = 300;
    let nats = Nats::start();
    let a = member(&nats, "a", &[]).start();
    let _c = member(&nats, "c", &["text"]).start();
    wait_for_hosts(&a, "echo", 1);
    let (calls, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        for session in 0..4 {
            let (a, calls, is_over) = (&a, &calls, &is_over);
            scope.spawn(move || {
                let mut client = Resp::connect(a);
                for number in 0.. {
                    if is_over.load(Ordering::Relaxed) {
                        break;
                    }
                    let text = format!("{session}-{number}");
                    assert_eq!(client.ask(&["echo", &text]), Frame::text(&text));
                    calls.fetch_add(1, Ordering::Relaxed);
                }
                expect_in_step(&mut client, "end");
            });
        }
        let _ending = Ending(&is_over);
        let wait_for_calls = || {
            let goal = calls.load(Ordering::Relaxed) + CALLS;
            wait_until("calls go on", LIMIT, || calls.load(Ordering::Relaxed) >= goal);
        };
        for _ in 0..4 {
            let mut b = member(&nats, "b", &["text"]).flags(&PATIENT).start();
            wait_for_hosts(&a, "echo", 2);
            wait_for_calls();
            assert_eq!(b.ks(), Some(0));
            wait_for_calls();
            assert_eq!(b.logged("WARN  host: fleet"), None);
        }
    });
    println!("{} calls", calls.into_inner());
}

/// Ends the sessions of a test, even if it fails.
struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
