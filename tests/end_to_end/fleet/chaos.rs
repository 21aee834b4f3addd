//! Calls over hosts of which one is killed again and again.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

use dropin_tests::{Frame, LIMIT, Resp, load::Ending, nats::Nats, wait_until};

use super::{expect_in_step, is_outage, member, wait_for_hosts};

/// The number of calls, at least.
const CALLS: usize = 20_000;

/// The number of times that the host is killed.
const KILLS: usize = 8;

/// The number of calls between the host's start and its end: about a second.
const BETWEEN: usize = CALLS / KILLS / 2;

/// The counts of a run.
#[derive(Default, Debug)]
struct Counts {
    calls: AtomicUsize,
    right: AtomicUsize,
    down: AtomicUsize,
    unavailable: AtomicUsize,
}

impl Counts {
    /// Counts a reply, which must be the text or an error of an outage.
    #[track_caller]
    fn add(&self, reply: &Frame, text: &str) {
        let counter = match reply {
            Frame::Text(bytes) if bytes == text.as_bytes() => &self.right,
            Frame::Error(error) if error.starts_with("HOSTDOWN ") => &self.down,
            reply if is_outage(reply) => &self.unavailable,
            _ => panic!("'{text}' is answered {reply:?}"),
        };
        counter.fetch_add(1, Ordering::Relaxed);
        self.calls.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
fn killing_a_host_gives_no_wrong_reply() {
    let nats = Nats::start();
    let a = member(&nats, "a", &[]).start();
    let _b = member(&nats, "b", &["text"]).start();
    wait_for_hosts(&a, "echo", 1);
    let (counts, is_over) = (Counts::default(), AtomicBool::new(false));
    let made = || counts.calls.load(Ordering::Relaxed);
    thread::scope(|scope| {
        for session in 0..8 {
            let (a, counts, is_over) = (&a, &counts, &is_over);
            scope.spawn(move || {
                let mut client = Resp::connect(a);
                for number in 0.. {
                    if is_over.load(Ordering::Relaxed) {
                        break;
                    }
                    let text = format!("{session}-{number}");
                    counts.add(&client.ask(&["echo", &text]), &text);
                }
                // A doubled reply would have come before this one.
                expect_in_step(&mut client, "end");
            });
        }
        let _ending = Ending(&is_over);
        let go_on = || {
            let goal = made() + BETWEEN;
            wait_until("calls go on", LIMIT, || made() >= goal);
        };
        for _ in 0..KILLS {
            let mut c = member(&nats, "c", &["text"]).start();
            wait_for_hosts(&a, "echo", 2);
            go_on();
            c.kill();
        }
        while made() < CALLS {
            go_on();
        }
    });
    println!("{KILLS} kills, {counts:?}");
    let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
    // Most calls succeed: the other host was there all the time.
    assert!(count(&counts.right) * 10 >= count(&counts.calls) * 9, "{counts:?}");
}
