//! Expiry, as Redis's own tests describe it.

use std::{thread, time::Duration};

use plugin_api::Value::{self, Null, Ok as Done};

use super::{NOW, Tester};

#[test]
fn expiry_is_set_again_and_again() {
    let store = Tester::start();
    store.check("expire x 5", 0);
    store.check("set x foobar", Done);
    store.check("expire x 5", 1);
    store.check("ttl x", 5);
    store.check("expire x 10", 1);
    store.check("ttl x", 10);
    store.check("expire x 2", 1);
    store.at(NOW + 1_999);
    store.check("get x", "foobar");
    store.at(NOW + 2_000);
    store.check("get x", Null);
    store.check("exists x", 0);
}

#[test]
fn each_unit_and_base() {
    let store = Tester::start();
    store.check("set x foo", Done);
    store.check(&format!("expireat x {}", NOW / 1_000 + 15), 1);
    store.check("pttl x", 15_000);
    store.check("expiretime x", i64::try_from(NOW / 1_000 + 15).unwrap());
    store.check("pexpire x 1500", 1);
    store.check("pttl x", 1_500);
    store.check("ttl x", 2);
    store.check(&format!("pexpireat x {}", NOW + 20), 1);
    store.check("pexpiretime x", i64::try_from(NOW + 20).unwrap());
    for command in ["ttl", "pttl", "expiretime", "pexpiretime"] {
        store.check(&format!("{command} none"), -2);
        store.check("set y foo", Done);
        store.check(&format!("{command} y"), -1);
    }
    store.at(NOW + 20);
    for command in ["ttl", "pttl", "expiretime", "pexpiretime"] {
        store.check(&format!("{command} x"), -2);
    }
}

#[test]
fn persist_undoes_an_expiry() {
    let store = Tester::start();
    store.check("set x foo EX 50", Done);
    store.check("persist x", 1);
    store.check("persist x", 0);
    store.check("persist none", 0);
    store.at(NOW + 60_000);
    store.check("get x", "foo");
}

#[test]
fn a_past_time_removes_the_key() {
    let store = Tester::start();
    for command in
        ["expire x -1", "pexpire x 0", "expireat x 1", "pexpireat x -9223372036854770000"]
    {
        store.check("set x foo", Done);
        store.check(command, 1);
        store.check("exists x", 0);
    }
}

#[test]
fn conditions_decide_about_the_expiry() {
    let store = Tester::start();
    store.check("set x foo", Done);
    store.check("expire x 100 XX", 0);
    store.check("expire x 100 GT", 0);
    store.check("expire x 100 nx", 1);
    store.check("expire x 50 NX", 0);
    store.check("expire x 100 GT", 0);
    store.check("expire x 200 gt", 1);
    store.check("expire x 300 LT", 0);
    store.check("expire x 200 XX", 1);
    store.check("expire x 100 LT XX", 1);
    store.check("ttl x", 100);
    store.check("persist x", 1);
    store.check("expire x 100 LT", 1);
    store.check("expire none 100 NX", 0);
    store.fail("expire x 1 AB", "ERR Unsupported option AB");
    store.fail("expire x 1 XX AB", "ERR Unsupported option AB");
    let together = "ERR NX and XX, GT or LT options at the same time are not compatible";
    for conditions in ["NX XX", "NX GT", "LT NX"] {
        store.fail(&format!("expire x 1 {conditions}"), together);
    }
    let together = "ERR GT and LT options at the same time are not compatible";
    store.fail("expire x 1 GT LT", together);
    store.check("ttl x", 100);
}

#[test]
fn times_beyond_63_bits_are_errors() {
    let store = Tester::start();
    store.check("set foo bar", Done);
    for time in ["9223370399119966", "9223372036854776", "-9223372036854776", "-9999999999999999"] {
        let command = format!("expire foo {time}");
        store.fail(&command, "ERR invalid expire time in 'expire' command");
    }
    store.fail("pexpire foo 9223372036854770000", "ERR invalid expire time in 'pexpire' command");
    store.fail("expire foo x", "ERR value is not an integer or out of range");
    store.check("ttl foo", -1);
    store.check("pexpireat foo 9223372036854770000", 1);
}

#[test]
fn expired_keys_are_absent_for_all_commands() {
    for (command, reply) in [
        ("get x", Null),
        ("del x", 0.into()),
        ("incr x", 1.into()),
        ("exists x x", 0.into()),
        ("mget x", Value::List(vec![Null])),
        ("setnx x new", 1.into()),
        ("set x new NX", Done),
        ("set x new XX", Null),
        ("set x new GET", Null),
        ("set x new KEEPTTL", Done),
        ("getset x new", Null),
        ("getdel x", Null),
        ("getex x EX 10", Null),
        ("append x new", 3.into()),
        ("strlen x", 0.into()),
        ("expire x 10", 0.into()),
        ("persist x", 0.into()),
        ("type x", "none".into()),
        ("keys", Value::List(vec![])),
        ("scan 0", Value::list([Value::from("0"), Value::List(vec![])])),
        ("dbsize", 0.into()),
    ] {
        let store = Tester::start();
        store.check("set x old PX 500", Done);
        store.at(NOW + 500);
        store.check(command, reply);
        assert_ne!(store.run("pexpiretime x"), Ok((NOW as i64 + 500).into()), "{command}");
    }
}

#[test]
fn expired_key_stays_away_when_clock_returns() {
    let store = Tester::start();
    store.check("set x 1 PX 500", Done);
    store.at(NOW + 500);
    store.check("incr x", 1);
    store.check("set y 1 PX 500", Done);
    store.at(NOW + 1_000);
    store.check("expire y 1", 0);
    store.at(NOW);
    store.check("exists y", 0);
    store.check("set z 1 PX 500", Done);
    store.check("get z", "1");
    store.check("pexpiretime z", NOW as i64 + 1_500);
}

#[test]
fn sweep_frees_memory_of_expired_keys() {
    let store = Tester::start_with("max-memory = '100kb'");
    let set = |key: usize| store.run(&format!("set key:{key} value PX 1000"));
    let full = (0..).take_while(|key| set(*key).is_ok()).count();
    assert!((500..1_100).contains(&full), "{full}");
    // Calls that are refused show the sweep how late it is.
    store.at(NOW + 6_000);
    for _ in 0..5_000 {
        if (0..full / 2).all(|key| set(full + key).is_ok()) {
            return;
        }
        thread::sleep(Duration::from_millis(1));
    }
    panic!("the memory is not freed");
}
