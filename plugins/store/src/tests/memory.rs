//! The bound of the memory.

use plugin_api::Value::{Null, Ok as Done};

use super::Tester;
use crate::{
    clock::NEVER,
    map::Map,
    memory::Room,
    part::{Entry, Key},
    record::Record,
};

const OOM: &str = "OOM command not allowed when used memory > 'maxmemory'.";

#[test]
fn only_growth_is_refused() {
    let store = Tester::start_with("max-memory = 1000");
    let value = "x".repeat(800);
    store.check(&format!("set large {value}"), Done);
    for command in [
        format!("set other {value}"),
        format!("mset a 1 other {value}"),
        format!("append large {value}"),
        format!("setnx other {value}"),
        format!("getset other {value}"),
        format!("setex other 5 {value}"),
        format!("set large {value}{value} GET"),
    ] {
        store.fail(&command, OOM);
    }
    store.check("exists a other", 0);
    store.check("strlen large", 800);
    store.check(&format!("set large {value}"), Done);
    store.check(&format!("set other {value} XX"), Null);
    store.check("set large short", Done);
    store.check("incr n", 1);
    store.0.configure("max-memory = '1'").unwrap();
    for command in ["incr m", "set m 1", "append m 1"] {
        store.fail(command, OOM);
    }
    store.check("incr n", 2);
    store.check("expire n 100", 1);
    store.check("del large", 1);
    store.check("flushall", Done);
    store.0.configure("").unwrap();
    store.check(&format!("set large {value}"), Done);
}

#[test]
fn a_wrong_bound_is_rejected() {
    let store = Tester::start();
    for toml in ["max-memory = -1", "max-memory = '1 MB'", "max-memory = ''", "max = 1"] {
        assert!(store.0.configure(toml).is_err(), "{toml}");
    }
    for toml in ["max-memory = 0", "max-memory = '256MB'", "max-memory = 5"] {
        assert_eq!(store.0.configure(toml), Ok(()), "{toml}");
    }
}

#[test]
fn memory_is_counted_back_to_zero() {
    let map = Map::default();
    let entry = |number: u64, expiry| {
        let bytes = number.to_string();
        let (key, record) = (map.key(bytes.as_bytes()), Record::new(bytes.as_bytes(), b"value"));
        Entry { hash: key.hash, expiry, record }
    };
    let fill = || {
        for number in 0..500 {
            map.put(entry(number, NEVER), Room::UNBOUNDED).unwrap();
            map.put(entry(number, 1 + number), Room::UNBOUNDED).unwrap();
        }
        map.put_all((250..750).map(|number| entry(number, 10)).collect(), Room::UNBOUNDED).unwrap();
        assert!(map.memory.used() > 750 * 5);
    };
    fill();
    map.sweep(1_000, || false);
    assert_eq!((map.memory.used(), map.len(|| 0)), (0, 0));
    fill();
    let texts: Vec<String> = (0..750).map(|number| number.to_string()).collect();
    let keys: Vec<Key<'_>> = texts.iter().map(|text| map.key(text.as_bytes())).collect();
    map.edit(keys[7], |part| part.expire(keys[7], NEVER));
    assert_eq!(map.take_all(&keys).len(), 750);
    assert_eq!(map.memory.used(), 0);
    fill();
    map.clear();
    assert_eq!((map.memory.used(), map.len(|| 0)), (0, 0));
}

#[test]
fn a_value_is_shared_and_not_copied() {
    let map = Map::default();
    let key = map.key(b"key");
    let entry = Entry { hash: key.hash, expiry: NEVER, record: Record::new(b"key", b"value") };
    map.put(entry, Room::UNBOUNDED).unwrap();
    assert!(map.get(key).unwrap().record.is(&map.get(key).unwrap().record));
}
