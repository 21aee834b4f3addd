//! The commands for values, as Redis's own tests describe them.

use std::thread;

use plugin_api::Value::{self, Null, Ok as Done};

use super::{NOW, Tester};

#[test]
fn set_value_can_be_read() {
    let store = Tester::start();
    store.check("get key", Null);
    store.check("set key one", Done);
    store.check("set key two", Done);
    store.check("get key", "two");
    store.check("get Key", Null);
}

#[test]
fn keys_and_values_are_any_bytes() {
    let (store, bytes) = (Tester::start().0, [0, 0xff, b'\r', b'\n']);
    for key in [&b""[..], &bytes] {
        assert_eq!(store.call_bytes("set", &[key, &bytes]), Ok(Done));
        assert_eq!(store.call_bytes("get", &[key]), Ok(bytes.to_vec().into()));
    }
    store.call("set", &["empty", ""]).unwrap();
    assert_eq!(store.call("get", &["empty"]), Ok("".into()));
    let large = vec![7; 1 << 20];
    store.call_bytes("set", &[b"large", &large]).unwrap();
    assert_eq!(store.call("get", &["large"]), Ok(large.into()));
}

#[test]
fn set_meets_its_condition() {
    let store = Tester::start();
    store.check("set foo 1 XX", Null);
    store.check("exists foo", 0);
    store.check("set foo 1 nx", Done);
    store.check("set foo 2 NX", Null);
    store.check("get foo", "1");
    store.check("set foo 2 xx", Done);
    store.check("get foo", "2");
}

#[test]
fn set_replies_the_old_value() {
    let store = Tester::start();
    store.check("set foo bar XX GET", Null);
    store.check("get foo", Null);
    store.check("set foo bar NX GET", Null);
    store.check("get foo", "bar");
    store.check("set foo baz GET", "bar");
    store.check("set foo no GET NX", "baz");
    store.check("get foo", "baz");
    store.check("set foo yes XX GET", "baz");
    store.check("get foo", "yes");
}

#[test]
fn set_sets_or_keeps_the_expiry() {
    let store = Tester::start();
    store.check("set foo bar XX EX 10", Null);
    store.check("set foo bar EX 10", Done);
    store.check("pttl foo", 10_000);
    store.check("set foo bar px 1234 xx", Done);
    store.check("pttl foo", 1_234);
    store.check("set foo new KEEPTTL", Done);
    store.check("pttl foo", 1_234);
    store.check("set foo bar", Done);
    store.check("ttl foo", -1);
    store.check("set foo bar KEEPTTL", Done);
    store.check("ttl foo", -1);
    store.check(&format!("set foo bar EXAT {}", NOW / 1_000 + 7), Done);
    store.check("pttl foo", 7_000);
    store.check(&format!("set foo bar PXAT {}", NOW + 7), Done);
    store.check("pttl foo", 7);
    // A time that is over removes the key.
    store.check("set foo bar PXAT 1", Done);
    store.check("exists foo", 0);
    store.check("set foo new NX", Done);
}

#[test]
fn set_rejects_wrong_options() {
    let store = Tester::start();
    store.check("set foo old", Done);
    for options in ["XX NX", "EX", "GETS", "EX 1 PX 1", "KEEPTTL EX 1", "NX EX 1 GET XX"] {
        store.fail(&format!("set foo bar {options}"), "ERR syntax error");
    }
    for time in ["0", "-1", "10000000000000000", "-9999999999999999"] {
        for unit in ["EX", "EXAT"] {
            let command = format!("set foo bar {unit} {time}");
            store.fail(&command, "ERR invalid expire time in 'set' command");
        }
    }
    store.fail("set foo bar PX 9223372036854775807", "ERR invalid expire time in 'set' command");
    store.fail("set foo bar PX x", "ERR value is not an integer or out of range");
    store.check("get foo", "old");
    store.check("ttl foo", -1);
}

#[test]
fn setnx_setex_and_getset() {
    let store = Tester::start();
    store.check("setnx a 1", 1);
    store.check("setnx a 2", 0);
    store.check("get a", "1");
    store.check("getset b 1", Null);
    store.check("set b 1 EX 100", Done);
    store.check("getset b 2", "1");
    store.check("ttl b", -1);
    store.check("setex c 12 test", Done);
    store.check("ttl c", 12);
    store.check("psetex c 12 other", Done);
    store.check("pttl c", 12);
    store.fail("setex c -10 x", "ERR invalid expire time in 'setex' command");
    store.fail("psetex c 0 x", "ERR invalid expire time in 'psetex' command");
    store.check("get c", "other");
}

#[test]
fn mset_and_mget() {
    let store = Tester::start();
    store.check("mset x 10 y 20 x 30", Done);
    store.check("mget x none y x", Value::list([Some("30"), None, Some("20"), Some("30")]));
    store.fail("mset x 1 y", "ERR wrong number of arguments for 'mset' command");
    store.check("get x", "30");
    store.check("expire x 10", 1);
    store.check("mset x 1", Done);
    store.check("ttl x", -1);
}

#[test]
fn getdel_and_getex() {
    let store = Tester::start();
    store.check("getdel foo", Null);
    store.check("set foo bar", Done);
    store.check("getdel foo", "bar");
    store.check("getex foo", Null);
    store.check("getex foo EX nonsense", Null);
    store.check("set foo bar", Done);
    store.check("getex foo EX 10", "bar");
    store.check("ttl foo", 10);
    store.check("getex foo", "bar");
    store.check("ttl foo", 10);
    store.check("getex foo PX 1000", "bar");
    store.check("pttl foo", 1_000);
    store.check("getex foo persist", "bar");
    store.check("ttl foo", -1);
    store.fail("getex foo EX 0", "ERR invalid expire time in 'getex' command");
    store.fail("getex foo KEEPTTL", "ERR syntax error");
    store.check("getex foo PXAT 1", "bar");
    store.check("exists foo", 0);
}

#[test]
fn append_and_strlen() {
    let store = Tester::start();
    store.check("strlen foo", 0);
    store.check("append foo bar", 3);
    store.check("expire foo 100", 1);
    store.check("append foo 100", 6);
    store.check("get foo", "bar100");
    store.check("ttl foo", 100);
    store.check("strlen foo", 6);
    store.at(NOW + 100_000);
    store.check("append foo new", 3);
    store.check("ttl foo", -1);
}

#[test]
fn incr_adds_to_what_is_there() {
    let store = Tester::start();
    store.check("incr n", 1);
    store.check("incr n 41", 42);
    store.check("incrby n -50", -8);
    store.check("get n", "-8");
    store.check("decr n", -9);
    store.check("decrby n -19", 10);
    store.check("decr absent", -1);
    store.check("set n 17179869184", Done);
    store.check("incrby n 17179869184", 34_359_738_368_i64);
    store.check("expire n 100", 1);
    store.check("incr n", 34_359_738_369_i64);
    store.check("ttl n", 100);
    store.at(NOW + 100_000);
    store.check("incr n", 1);
}

#[test]
fn incr_leaves_alone_what_it_cannot_add_to() {
    let store = Tester::start();
    let cases = [
        ("ten", "incr n 1", "ERR value is not an integer or out of range"),
        ("1", "incr n one", "ERR value is not an integer or out of range"),
        ("1", "incrby n +1", "ERR value is not an integer or out of range"),
        ("9223372036854775808", "incr n", "ERR value is not an integer or out of range"),
        ("9223372036854775807", "incr n", "ERR increment or decrement would overflow"),
        ("-9223372036854775808", "decr n", "ERR increment or decrement would overflow"),
        ("0", "decrby n -9223372036854775808", "ERR decrement would overflow"),
    ];
    for (value, command, expected) in cases {
        store.check(&format!("set n {value}"), Done);
        store.fail(command, expected);
        store.check("get n", value);
    }
    store.0.call("set", &["n", "    11"]).unwrap();
    assert!(store.run("incr n").is_err());
}

#[test]
fn no_change_is_lost() {
    let store = Tester::start();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for turn in 0..1_000 {
                    store.run("incr all").unwrap();
                    store.run(["incr even 2", "incr odd 2"][turn % 2]).unwrap();
                    store.run("append text x").unwrap();
                }
            });
        }
    });
    for key in ["all", "even", "odd"] {
        store.check(&format!("get {key}"), "8000");
    }
    store.check("strlen text", 8_000);
}

#[test]
fn mset_happens_at_one_moment() {
    let store = Tester::start();
    store.run("mset a 0 b 0 c 0").unwrap();
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for turn in 0..2_000 {
                store.run(&format!("mset a {turn} b {turn} c {turn}")).unwrap();
            }
        });
        while !writer.is_finished() {
            let Ok(Value::List(values)) = store.run("mget c a b") else { panic!() };
            assert!(values.iter().all(|value| *value == values[0]), "{values:?}");
        }
    });
}

#[test]
fn arguments_are_counted() {
    let store = Tester::start();
    for command in ["set key", "get", "del", "incr n 1 1", "keys * *", "mset a", "flushall a b"] {
        assert!(store.run(command).is_err(), "{command}");
    }
}
