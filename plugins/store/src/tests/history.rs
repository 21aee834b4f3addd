//! A journal: commands with the times of their first run, which are run again later.

use std::{thread, time::Duration};

use proptest::prelude::*;

use super::{NOW, Tester};

/// Generates any command that changes the store, with few keys and short times.
pub(super) fn command() -> impl Strategy<Value = String> {
    let key = || prop::sample::select(vec!["a", "b", "c", "d", "e", "f"]);
    let time = 1..5_i64;
    let at = (0..4_500_u64).prop_map(|after| NOW + after);
    let options = vec!["NX", "XX", "GET", "KEEPTTL", "NX GET", "EX 2", "PX 700 XX", "EX 3 GET"];
    prop_oneof![
        (key(), 0..100).prop_map(|(key, value)| format!("set {key} {value}")),
        (key(), at.clone()).prop_map(|(key, at)| format!("set {key} at PXAT {at}")),
        (key(), prop::sample::select(options))
            .prop_map(|(key, options)| format!("set {key} 5 {options}")),
        (key(), key()).prop_map(|(one, other)| format!("del {one} {other}")),
        (key(), 0..9).prop_map(|(key, by)| format!("incr {key} {by}")),
        (key(), key()).prop_map(|(one, other)| format!("mset {one} 1 {other} 2")),
        (key(), time.clone()).prop_map(|(key, time)| format!("setex {key} {time} 3")),
        (key(), time.clone()).prop_map(|(key, time)| format!("getex {key} EX {time}")),
        (key(), -1..5_i64, prop::sample::select(vec!["", "NX", "XX", "GT", "LT"]))
            .prop_map(|(key, time, condition)| format!("expire {key} {time} {condition}")),
        (key(), at).prop_map(|(key, at)| format!("pexpireat {key} {at}")),
        (key(), prop::sample::select(vec!["persist", "getdel", "decr", "getex"]))
            .prop_map(|(key, command)| format!("{command} {key}")),
        key().prop_map(|key| format!("append {key} 4")),
        key().prop_map(|key| format!("setnx {key} 6")),
        Just("flushall".to_owned()),
    ]
}

proptest! {
    /// The clock may be set back by less than the margin of the sweep, and the sweep runs at any moment.
    #[test]
    fn replay_makes_the_same_state(
        calls in prop::collection::vec((0..4_500_u64, command(), 0..40_u64), 1..60),
    ) {
        let (first, second) = (Tester::start(), Tester::start());
        let run = |store: &Tester, waits: bool| {
            let mut replies = Vec::new();
            for (after, command, wait) in &calls {
                if waits && *wait == 0 {
                    thread::sleep(Duration::from_millis(2));
                }
                store.at(NOW + after);
                replies.push(store.run(command));
            }
            // Reads may have any time: they leave no trace.
            store.at(NOW + 2_000);
            (replies, store.content())
        };
        let before = run(&first, true);
        // Between: as if the store was read much later.
        first.at(NOW + 90_000);
        first.content();
        prop_assert_eq!(run(&second, false), before);
    }

    #[test]
    fn reads_leave_no_trace(
        calls in prop::collection::vec((0..4_500_u64, command(), 0..4_500_u64), 1..40),
    ) {
        let (one, other) = (Tester::start(), Tester::start());
        for (after, command, read) in &calls {
            one.at(NOW + read);
            one.content();
            for store in [&one, &other] {
                store.at(NOW + after);
            }
            prop_assert_eq!(one.run(command), other.run(command), "{}", command);
        }
    }
}
