//! Copies of the state that are made while a host serves and takes snapshots.

use std::{
    path::Path,
    process::Command,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
};

use dropin_tests::{Frame, Host, LIMIT, Resp, wait_until};

use super::{Hosts, StopAtEnd, number};

const COPIES: usize = 10;

/// Increments `a` and sets `b` to the reply, until the stop. Counts the increments.
fn count_up(host: &Host, stop: &AtomicBool, acknowledged: &AtomicU64) {
    let mut client = Resp::connect(host);
    while !stop.load(Ordering::Relaxed) {
        let a = client.ask(&["incr", "a"]).as_integer();
        acknowledged.fetch_add(1, Ordering::Relaxed);
        assert_eq!(client.ask(&["set", "b", &a.to_string()]), Frame::ok());
    }
}

/// Takes one snapshot after another until the stop. Counts them.
fn save(host: &Host, stop: &AtomicBool, saves: &AtomicU64) {
    let mut client = Resp::connect(host);
    while !stop.load(Ordering::Relaxed) {
        let said = client.ask(&["plugin", "save", "store"]);
        assert!(said.as_str().starts_with("plugin 'store': snapshot of "), "{said:?}");
        saves.fetch_add(1, Ordering::Relaxed);
    }
}

/// Copies a folder as an operator does. An old segment, or a draft, may vanish meanwhile.
#[track_caller]
fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-r").args([from, to]).output().unwrap();
    let said = String::from_utf8_lossy(&copied.stderr);
    let vanished = said.lines().all(|line| line.contains("No such file or directory"));
    assert!(vanished && (copied.status.success() || !said.is_empty()), "{said}");
}

#[test]
fn copy_of_a_serving_host_is_consistent() {
    let hosts = Hosts::new();
    let host = hosts.start(&[]);
    let (stop, acknowledged, saves) =
        (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let copies: Vec<_> = thread::scope(|scope| {
        let _end = StopAtEnd(&stop);
        scope.spawn(|| count_up(&host, &stop, &acknowledged));
        scope.spawn(|| save(&host, &stop, &saves));
        (0..COPIES)
            .map(|_| {
                let before = [&acknowledged, &saves].map(|count| count.load(Ordering::Relaxed));
                wait_until("clients write and snapshots are taken", LIMIT, || {
                    let now = [&acknowledged, &saves].map(|count| count.load(Ordering::Relaxed));
                    now[0] > before[0] + 10 && now[1] > before[1] + 1
                });
                let copied = Hosts::new();
                copied.make_state();
                let at_least = acknowledged.load(Ordering::Relaxed);
                copy(&hosts.state().join("."), &copied.state());
                (copied, at_least)
            })
            .collect()
    });
    for (copied, at_least) in copies {
        let host = copied.start(&[]);
        let refused = host.logged("plugin store: refused ");
        assert_eq!(refused, None, "{at_least}: {:?}", copied.segments());
        let mut client = Resp::connect(&host);
        let [a, b] = ["a", "b"].map(|key| number(&mut client, key));
        assert!(b <= a && a <= b + 1, "a is {a}, b is {b}");
        assert!(a >= at_least, "a is {a}, {at_least} were acknowledged before the copy");
    }
}
