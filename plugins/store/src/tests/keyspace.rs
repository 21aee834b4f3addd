//! The commands for keys.

use std::thread;

use plugin_api::Value::{self, Ok as Done};

use super::Tester;

#[test]
fn del_counts_what_was_there() {
    let store = Tester::start();
    store.check("mset a 1 b 1 d 1", Done);
    store.check("del a b a c", 2);
    store.check("unlink a d", 1);
    store.check("dbsize", 0);
}

#[test]
fn exists_counts_each_mention() {
    let store = Tester::start();
    store.check("mset a 1 b 1", Done);
    store.check("exists a a b c", 3);
    store.check("touch a", 1);
    store.check("touch c a", 1);
    store.check("type a", "string");
    store.check("type c", "none");
    store.check("dbsize", 2);
}

#[test]
fn flushall_removes_all() {
    let store = Tester::start();
    for command in ["flushall", "flushdb", "flushall async", "flushdb SYNC"] {
        store.check("mset a 1 b 1", Done);
        store.check(command, Done);
        store.check("keys", Value::List(vec![]));
    }
    store.check("set a 1", Done);
    store.fail("flushall now", "ERR syntax error");
    store.check("dbsize", 1);
}

#[test]
fn keys_are_sorted_and_picked() {
    let store = Tester::start();
    store.check("keys", Value::List(vec![]));
    store.check("mset b2 1 a1 1 c* 1 b1 1", Done);
    store.check("keys", Value::list(["a1", "b1", "b2", "c*"]));
    store.check("keys *", Value::list(["a1", "b1", "b2", "c*"]));
    store.check("keys b?", Value::list(["b1", "b2"]));
    store.check("keys [^b]1", Value::list(["a1"]));
    store.check("keys *\\*", Value::list(["c*"]));
}

#[test]
fn del_happens_at_one_moment() {
    let store = Tester::start();
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for _ in 0..1_000 {
                store.check("mset a 1 b 1 c 1", Done);
                store.check("del c a b", 3);
                store.check("mset a 1 b 1 c 1", Done);
                store.check("flushall", Done);
            }
        });
        while !writer.is_finished() {
            let count = store.run("exists a b c").unwrap();
            assert!(count == 0.into() || count == 3.into(), "{count:?}");
        }
    });
}
