//! The state as a stream of commands.

use std::{collections::BTreeSet, thread};

use proptest::prelude::*;

use super::{NOW, Tester, history};

/// Returns a store with other keys on which a stream was replayed.
fn replayed(commands: &[Vec<Vec<u8>>]) -> Tester {
    let store = Tester::start();
    store.run("mset other 1 a 2").unwrap();
    store.replay(commands);
    store
}

#[test]
fn empty_store_clears_the_next_one() {
    let commands = Tester::start().0.stream().unwrap();
    assert_eq!(commands, [[b"flushall".to_vec()]]);
    assert!(replayed(&commands).content().is_empty());
}

#[test]
fn unread_stream_is_replaced() {
    let store = Tester::start();
    assert_eq!(store.0.next_of_stream(), Ok(None));
    store.run("set a 1").unwrap();
    store.0.begin_stream().unwrap();
    store.0.next_of_stream().unwrap();
    store.run("set b 1").unwrap();
    assert_eq!(replayed(&store.0.stream().unwrap()).content(), store.content());
    assert_eq!(store.0.next_of_stream(), Ok(None));
}

#[test]
fn pieces_are_bounded() {
    let store = Tester::start();
    for key in 0..20_000 {
        store.run(&format!("set key:{key} {key}")).unwrap();
    }
    for key in 0..40 {
        let value = vec![7; 50_000];
        store.0.call_bytes("set", &[format!("large:{key}").as_bytes(), &value]).unwrap();
    }
    store.run("set last 1 PX 500").unwrap();
    store.0.begin_stream().unwrap();
    let (mut commands, mut sizes) = (Vec::new(), Vec::new());
    while let Some(piece) = store.0.next_of_stream().unwrap() {
        sizes.push(piece.iter().flatten().map(Vec::len).sum::<usize>());
        commands.extend(piece);
    }
    assert!(sizes.iter().all(|size| *size < (128 << 10) + 60_000), "{sizes:?}");
    let (_, most) = sizes.split_last().unwrap();
    assert!(most.iter().all(|size| *size > 100 << 10), "{sizes:?}");
    assert_eq!(replayed(&commands).content(), store.content());
    // Nothing is sent twice.
    let mut keys = BTreeSet::new();
    for command in commands.iter().filter(|command| command[0] == b"mset") {
        assert!(command[1..].chunks(2).all(|pair| keys.insert(pair[0].clone())));
    }
    assert_eq!(keys.len(), 20_040);
}

#[test]
fn often_changed_key_is_sent_once_more() {
    let store = Tester::start();
    store.run("set n 0").unwrap();
    store.0.begin_stream().unwrap();
    store.0.next_of_stream().unwrap();
    for _ in 0..1_000 {
        store.run("incr n").unwrap();
    }
    let words = |text: &str| text.split(' ').map(|word| word.as_bytes().to_vec()).collect();
    let piece: Vec<Vec<Vec<u8>>> = vec![words("mset n 1000")];
    assert_eq!(store.0.next_of_stream(), Ok(Some(piece)));
    store.run("del n").unwrap();
    assert_eq!(store.0.next_of_stream(), Ok(Some(vec![words("del n")])));
    assert_eq!(store.0.next_of_stream(), Ok(None));
}

#[test]
fn flushall_while_streaming_is_sent() {
    let store = Tester::start();
    for key in 0..30_000 {
        store.run(&format!("set key:{key} {key}")).unwrap();
    }
    for pieces in 0..9 {
        store.0.begin_stream().unwrap();
        let mut commands = Vec::new();
        for _ in 0..pieces {
            commands.extend(store.0.next_of_stream().unwrap().unwrap_or_default());
        }
        store.run("flushall").unwrap();
        for key in 0..30_000 {
            store.run(&format!("set new:{pieces}:{key} {key}")).unwrap();
        }
        while let Some(piece) = store.0.next_of_stream().unwrap() {
            commands.extend(piece);
        }
        store.0.end_stream();
        assert_eq!(replayed(&commands).content(), store.content(), "{pieces}");
    }
}

#[test]
fn stream_converges_while_threads_write() {
    let store = Tester::start();
    for key in 0..50_000 {
        store.run(&format!("set {key} 0")).unwrap();
    }
    for round in 0..3 {
        store.0.begin_stream().unwrap();
        let commands = thread::scope(|scope| {
            for thread in 0..4 {
                let store = &store;
                scope.spawn(move || {
                    for turn in 0..3_000_u64 {
                        let key = (turn * 7_919 + thread * 104_729) % 60_000;
                        store.run(&format!("incr {key}")).unwrap();
                        store.run(&format!("del {}", (key * 31) % 60_000)).unwrap();
                        if thread == 0 && turn == 1_000 && round == 2 {
                            store.run("flushall").unwrap();
                        }
                    }
                });
            }
            let mut commands = Vec::new();
            for _ in 0..40 {
                commands.extend(store.0.next_of_stream().unwrap().unwrap_or_default());
                thread::yield_now();
            }
            commands
        });
        let mut commands = commands;
        while let Some(piece) = store.0.next_of_stream().unwrap() {
            commands.extend(piece);
        }
        store.0.end_stream();
        assert_eq!(replayed(&commands).content(), store.content(), "{round}");
    }
}

proptest! {
    #[test]
    fn stream_with_changes_makes_the_same_state(
        before in prop::collection::vec((0..500_u64, history::command()), 0..30),
        during in prop::collection::vec((0..500_u64, history::command(), any::<bool>()), 0..60),
        extra in 0..4_000_u64,
    ) {
        let (store, mut time) = (Tester::start(), NOW);
        for key in 0..extra {
            store.run(&format!("set extra:{key} {key}-of-those-that-fill-the-pieces")).unwrap();
        }
        let mut run = |after: u64, command: &str| {
            time += after;
            store.at(time);
            // An error changes nothing.
            let _ = store.run(command);
            time
        };
        for (after, command) in &before {
            run(*after, command);
        }
        store.0.begin_stream().unwrap();
        let mut commands = Vec::new();
        for (after, command, next) in &during {
            run(*after, command);
            if *next {
                commands.extend(store.0.next_of_stream().unwrap().unwrap_or_default());
            }
        }
        while let Some(piece) = store.0.next_of_stream().unwrap() {
            commands.extend(piece);
        }
        store.0.end_stream();
        let time = run(0, "get a");
        let other = replayed(&commands);
        other.at(time);
        prop_assert_eq!(other.content(), store.content());
        // Both go on alike.
        for (after, command, _) in &during {
            let time = run(*after, command);
            other.at(time);
            let _ = other.run(command);
        }
        prop_assert_eq!(other.content(), store.content());
    }
}
