//! `scan`, as Redis's own tests describe it.

use std::collections::BTreeSet;

use plugin_api::Value;

use super::{NOW, Tester, bytes};

/// Returns the cursor and the keys of one call.
fn step(store: &Tester, command: &str) -> (String, Vec<Vec<u8>>) {
    let Ok(Value::List(reply)) = store.run(command) else { panic!("{command}") };
    let [cursor, Value::List(keys)] = <[Value; 2]>::try_from(reply).unwrap() else { panic!() };
    (String::from_utf8(bytes(cursor)).unwrap(), keys.into_iter().map(bytes).collect())
}

/// Returns the keys of a full iteration and the number of its calls; `each` runs between them.
fn scan(store: &Tester, options: &str, mut each: impl FnMut()) -> (Vec<Vec<u8>>, usize) {
    let (mut cursor, mut keys, mut calls) = ("0".to_owned(), Vec::new(), 0);
    loop {
        let (next, mut some) = step(store, &format!("scan {cursor} {options}"));
        keys.append(&mut some);
        calls += 1;
        if next == "0" {
            return (keys, calls);
        }
        cursor = next;
        each();
    }
}

fn populated(count: usize) -> Tester {
    let store = Tester::start();
    for key in 0..count {
        store.run(&format!("set key:{key} value")).unwrap();
    }
    store
}

fn count(store: &Tester, options: &str) -> usize {
    let (keys, _) = scan(store, options, || ());
    let unique: BTreeSet<_> = keys.iter().collect();
    assert_eq!(unique.len(), keys.len());
    keys.len()
}

#[test]
fn each_option_works() {
    let store = populated(1_000);
    for (options, expected) in [
        ("", 1_000),
        ("count 5", 1_000),
        ("COUNT 100000", 1_000),
        ("match key:1??", 100),
        ("MATCH nothing*", 0),
        ("type string", 1_000),
        ("TYPE list", 0),
        ("type string match key:* count 10", 1_000),
    ] {
        assert_eq!(count(&store, options), expected, "{options}");
    }
    store.run("set gone 1 PX 1").unwrap();
    store.at(NOW + 1);
    assert_eq!(count(&store, "count 10"), 1_000);
    assert_eq!(count(&Tester::start(), ""), 0);
}

#[test]
fn count_is_about_the_number_of_keys() {
    let store = populated(20_000);
    for wanted in [1, 10, 100, 1_000] {
        let (keys, calls) = scan(&store, &format!("count {wanted}"), || ());
        let mean = keys.len() / calls;
        assert!(mean >= wanted && mean <= 3 * wanted + 3, "{mean} for {wanted}");
    }
}

#[test]
fn arguments_are_checked() {
    let store = Tester::start();
    for cursor in ["x", "-1", "18446744073709551616"] {
        store.fail(&format!("scan {cursor}"), "ERR invalid cursor");
    }
    for options in ["count", "count 0", "count -5", "match", "limit 5", "type"] {
        store.fail(&format!("scan 0 {options}"), "ERR syntax error");
    }
    store.fail("scan 0 count x", "ERR value is not an integer or out of range");
}

#[test]
fn no_lasting_key_is_missed_while_others_change() {
    let store = populated(500);
    let mut turn = 0;
    let (keys, calls) = scan(&store, "count 20", || {
        turn += 1;
        if turn < 60 {
            (0..300).for_each(|other| drop(store.run(&format!("set {turn}:{other} x"))));
        }
        if (20..80).contains(&turn) {
            (0..250).for_each(|other| drop(store.run(&format!("del {}:{other}", turn - 20))));
        }
    });
    let keys: BTreeSet<_> = keys.into_iter().collect();
    for key in 0..500 {
        assert!(keys.contains(format!("key:{key}").as_bytes()), "{key}");
    }
    assert!(calls > 60, "{calls}");
}

#[test]
fn cursor_of_another_store_starts_again() {
    let (one, other) = (populated(100), populated(100));
    let (cursor, _) = step(&one, "scan 0 count 50");
    let (next, rest) = step(&other, &format!("scan {cursor} count 1000"));
    assert_eq!((next.as_str(), rest.len()), ("0", 100));
}
