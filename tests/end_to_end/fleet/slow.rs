//! Hosts whose connection to NATS is slow: they are late, and not gone.

use std::{
    thread,
    time::{Duration, Instant},
};

use dropin_tests::{Frame, Host, LIMIT, Resp, nats::Nats, slow_link::SlowLink, wait_until};

use super::{is_outage, linger, member, member_at, wait_for_hosts};

/// The rate of the slow connection, in bytes a second: about 1 Mbit/s.
const RATE: usize = 128 << 10;

/// A value that takes several times as long as a host may be silent.
const SIZE: usize = 900_000;

/// Returns hosts `a`, and `b` behind a slow connection.
fn slow_pair(nats: &Nats) -> (Host, Host, SlowLink) {
    let link = SlowLink::to(nats.socket(), RATE);
    let url = format!("nats://{}", link.address());
    let b = member_at(&url, "b", &["store", "busy"]).start();
    let a = member(nats, "a", &[]).start();
    wait_for_hosts(&a, "linger", 1);
    (a, b, link)
}

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
fn large_reply_over_a_slow_link_arrives() {
    let nats = Nats::start();
    let (a, b, _link) = slow_pair(&nats);
    let value = vec![b'x'; SIZE];
    let mut near = Resp::connect(&b);
    assert_eq!(near.ask(&[b"set", &b"large"[..], &value]), Frame::ok());
    assert_eq!(near.ask(&["set", "small", "1"]), Frame::ok());
    thread::scope(|scope| {
        let large = scope.spawn(|| {
            let began = Instant::now();
            (Resp::connect(&a).ask(&["get", "large"]), began.elapsed())
        });
        // Other calls wait behind it, and are not lost.
        let mut far = Resp::connect(&a);
        while !large.is_finished() {
            assert_eq!(far.ask(&["get", "small"]), "1".into());
        }
        let (reply, took) = large.join().unwrap();
        assert!(reply == Frame::text(&value), "{:.200}", format!("{reply:?}"));
        assert!(took > Duration::from_secs(5), "the connection was not slow: {took:?}");
    });
}

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
fn interrupted_large_reply_is_whole_or_an_error() {
    let nats = Nats::start();
    let (a, b, link) = slow_pair(&nats);
    let value = vec![b'x'; SIZE];
    assert_eq!(Resp::connect(&b).ask(&[b"set", &b"large"[..], &value]), Frame::ok());
    let before = link.passed();
    thread::scope(|scope| {
        let large = scope.spawn(|| Resp::connect(&a).ask(&["get", "large"]));
        wait_until("parts arrive", LIMIT, || link.passed() > before + SIZE / 3);
        link.cut();
        let reply = large.join().unwrap();
        // The command is idempotent: it is asked for again, and the host may be there again by then.
        let is_right = is_outage(&reply) || reply == Frame::text(&value);
        assert!(is_right, "{:.200}", format!("{reply:?}"));
    });
    // All goes on by itself.
    wait_for_hosts(&a, "linger", 1);
    wait_until("it is answered again", LIMIT, || {
        Resp::connect(&a).ask(&["get", "large"]) == Frame::text(&value)
    });
}

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
fn call_behind_large_requests_is_not_forsaken() {
    let nats = Nats::start();
    let (a, b, _link) = slow_pair(&nats);
    let (mut long, id) = linger(&a, &b);
    let value = vec![b'x'; SIZE];
    assert_eq!(Resp::connect(&a).ask(&[b"set", &b"large"[..], &value]), Frame::ok());
    assert!(!b.log().contains("does not ask for it any more"), "{}", b.log());
    assert_eq!(Resp::connect(&a).ask(&["client", "cancel", &id]), 1.into());
    assert!(matches!(long.frame(), Frame::Error(text) if text.starts_with("CANCELLED")));
}
