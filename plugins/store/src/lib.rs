//! A key-value store. Keys and values are arbitrary bytes; they are handed over to the plugin's
//! next version and survive a restart of the host.

mod glob;
mod map;
mod record;
mod snapshot;

use std::collections::BTreeSet;

use plugin_api::{Host, Request, Result, Saved, State, plugin};

use crate::{glob::Pattern, map::Map, record::Record};

plugin! {
    state: Map,
    commands: {
        "set" "KEY VALUE" => set, "Keeps VALUE under KEY.";
        "get" "KEY" => get, "Replies the value under KEY, or nothing.";
        "del" "KEY.." => del, "Removes each KEY and replies how many were there.";
        "incr" "KEY [BY]" => incr, "Adds BY, or 1, to the integer under KEY and replies the sum.";
        "incrby" "KEY BY" => incr, "Adds BY to the integer under KEY and replies the sum.";
        "keys" "[GLOB]" => keys, "Lists the keys, or those like GLOB, such as a*, a?, [a-c] or [^x].";
    }
}

impl State for Map {
    fn create(_: &Host) -> Result<Self> {
        Ok(Self::default())
    }
}

impl Saved for Map {
    fn save(&self) -> Result<Vec<u8>> {
        Ok(snapshot::write(self))
    }

    fn restore(&self, saved: &[u8]) -> Result<()> {
        self.replace(snapshot::read(saved)?)
    }
}

fn set(map: &Map, request: &Request) -> Result<()> {
    map.set(request.bytes(0)?, request.bytes(1)?);
    Ok(())
}

fn get(map: &Map, request: &Request) -> Result<Option<Record>> {
    Ok(map.get(request.bytes(0)?))
}

fn del(map: &Map, request: &Request) -> usize {
    // Never ended early, since the number of removed keys would be lost. A request bounds the keys.
    request.arguments().filter(|key| map.remove(key)).count()
}

fn incr(map: &Map, request: &Request) -> Result<i64> {
    let by = if request.len() > 1 { request.integer(1)? } else { 1 };
    map.add(request.bytes(0)?, by)
}

fn keys(map: &Map, request: &Request) -> Result<Vec<Vec<u8>>> {
    let pattern = Pattern::parse(request.get(0).unwrap_or(b"*"))?;
    let mut cancel = request.cancel_check();
    // Sorted while they arrive: a sort at the end could not be interrupted.
    let mut keys = BTreeSet::new();
    for record in map.records() {
        cancel.step()?;
        if pattern.matches(record.key(), || cancel.step())? {
            keys.insert(record.key().to_vec());
        }
    }
    Ok(keys.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use std::thread;

    use plugin_api::{Value, testing::Plugin};

    use super::*;

    fn start() -> Plugin<Map> {
        Plugin::start(&PLUGIN).unwrap()
    }

    #[test]
    fn set_value_can_be_read() {
        let store = start();
        assert_eq!(store.call("get", &["key"]), Ok(Value::Null));
        assert_eq!(store.call("set", &["key", "one"]), Ok(Value::Ok));
        assert_eq!(store.call("set", &["key", "two"]), Ok(Value::Ok));
        assert_eq!(store.call("get", &["key"]), Ok("two".into()));
        assert_eq!(store.call("get", &["Key"]), Ok(Value::Null));
    }

    #[test]
    fn keys_and_values_are_any_bytes() {
        let (store, bytes) = (start(), [0, 0xff, b'\r', b'\n']);
        for key in [&b""[..], &bytes] {
            assert_eq!(store.call_bytes("set", &[key, &bytes]), Ok(Value::Ok));
            assert_eq!(store.call_bytes("get", &[key]), Ok(bytes.to_vec().into()));
        }
        store.call("set", &["empty", ""]).unwrap();
        assert_eq!(store.call("get", &["empty"]), Ok("".into()));
        assert_eq!(store.call_bytes("keys", &[b"?\xff*"]), Ok(Value::list([bytes.to_vec()])));
    }

    #[test]
    fn del_counts_what_was_there() {
        let store = start();
        store.call("set", &["a", "1"]).unwrap();
        store.call("set", &["b", "1"]).unwrap();
        assert_eq!(store.call("del", &["a", "b", "a", "c"]), Ok(2.into()));
        assert_eq!(store.call("get", &["a"]), Ok(Value::Null));
    }

    #[test]
    fn incr_adds_to_what_is_there() {
        let store = start();
        assert_eq!(store.call("incr", &["n"]), Ok(1.into()));
        assert_eq!(store.call("incr", &["n", "41"]), Ok(42.into()));
        assert_eq!(store.call("incr", &["n", "-50"]), Ok((-8).into()));
        assert_eq!(store.call("get", &["n"]), Ok("-8".into()));
    }

    #[test]
    fn incr_leaves_alone_what_it_cannot_add_to() {
        let store = start();
        let cases = [
            ("ten", "1", "ERR value is not an integer or out of range"),
            ("1", "one", "ERR value is not an integer or out of range"),
            ("9223372036854775808", "1", "ERR value is not an integer or out of range"),
            ("9223372036854775807", "1", "ERR increment or decrement would overflow"),
            ("-9223372036854775808", "-1", "ERR increment or decrement would overflow"),
        ];
        for (value, by, expected) in cases {
            store.call("set", &["n", value]).unwrap();
            assert_eq!(store.call("incr", &["n", by]).unwrap_err().to_string(), expected);
            assert_eq!(store.call("get", &["n"]), Ok(value.into()));
        }
    }

    #[test]
    fn no_increment_is_lost() {
        let store = start();
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for turn in 0..1_000 {
                        store.call("incr", &["all"]).unwrap();
                        store.call("incr", &[["even", "odd"][turn % 2], "2"]).unwrap();
                    }
                });
            }
        });
        for key in ["all", "even", "odd"] {
            assert_eq!(store.call("get", &[key]), Ok("8000".into()), "{key}");
        }
    }

    #[test]
    fn keys_are_sorted_and_picked() {
        let store = start();
        assert_eq!(store.call("keys", &[]), Ok(Value::List(vec![])));
        for key in ["b2", "a1", "c*", "b1"] {
            store.call("set", &[key, ""]).unwrap();
        }
        assert_eq!(store.call("keys", &[]), Ok(Value::list(["a1", "b1", "b2", "c*"])));
        assert_eq!(store.call("keys", &["b?"]), Ok(Value::list(["b1", "b2"])));
        assert_eq!(store.call("keys", &["[^b]1"]), Ok(Value::list(["a1"])));
        assert_eq!(store.call("keys", &["*\\*"]), Ok(Value::list(["c*"])));
    }

    #[test]
    fn arguments_are_counted() {
        let store = start();
        let wrong: [(&str, &[&str]); 6] = [
            ("set", &["key"]),
            ("set", &["key", "one", "two"]),
            ("get", &[]),
            ("del", &[]),
            ("incr", &["n", "1", "1"]),
            ("keys", &["*", "*"]),
        ];
        for (command, arguments) in wrong {
            assert!(store.call(command, arguments).is_err(), "{command} {arguments:?}");
        }
    }
}
