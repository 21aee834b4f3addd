//! The bound of the memory.

use plugin_api::Value::{Null, Ok as Done};

use super::Tester;

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
