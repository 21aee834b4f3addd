//! Tests of the commands, by a plugin without a host.

mod expiry;
mod history;
mod keyspace;
mod memory;
mod scan;
mod snapshot;
mod stream;
mod strings;

use std::{
    collections::BTreeMap,
    time::{Duration, UNIX_EPOCH},
};

use plugin_api::{Value, testing::Plugin};

use crate::{PLUGIN, Store};

/// The time of most tests, in milliseconds since 1970.
const NOW: u64 = 1_800_000_000_000;

/// A started store.
struct Tester(Plugin<Store>);

impl Tester {
    fn start() -> Self {
        Self::start_with("")
    }

    fn start_with(toml: &str) -> Self {
        let tester = Self(Plugin::start_with(&PLUGIN, toml).unwrap());
        tester.at(NOW);
        tester
    }

    fn at(&self, millis: u64) {
        self.0.set_time(UNIX_EPOCH + Duration::from_millis(millis));
    }

    /// Runs a command without spaces in its arguments.
    fn run(&self, command: &str) -> plugin_api::Result<Value> {
        let words: Vec<&str> = command.split_ascii_whitespace().collect();
        self.0.call(words[0], &words[1..])
    }

    /// Checks the reply of a command.
    #[track_caller]
    fn check(&self, command: &str, expected: impl Into<Value>) {
        assert_eq!(self.run(command), Ok(expected.into()), "{command}");
    }

    /// Checks that a command fails with this error.
    #[track_caller]
    fn fail(&self, command: &str, expected: &str) {
        assert_eq!(self.run(command).unwrap_err().to_string(), expected, "{command}");
    }

    fn replay(&self, commands: &[Vec<Vec<u8>>]) {
        for words in commands {
            let arguments: Vec<&[u8]> = words[1..].iter().map(Vec::as_slice).collect();
            self.0.call_bytes(str::from_utf8(&words[0]).unwrap(), &arguments).unwrap();
        }
    }

    /// Returns all keys with their values and expiries, read by the store's own commands.
    fn content(&self) -> BTreeMap<Vec<u8>, (Value, Value)> {
        let Ok(Value::List(keys)) = self.0.call("keys", &[]) else { panic!("no list of keys") };
        let content: BTreeMap<_, _> = keys
            .into_iter()
            .map(|key| {
                let key = bytes(key);
                let value = self.0.call_bytes("get", &[&key]).unwrap();
                (key.clone(), (value, self.0.call_bytes("pexpiretime", &[&key]).unwrap()))
            })
            .collect();
        assert_eq!(self.0.call("dbsize", &[]), Ok(content.len().into()));
        content
    }
}

fn bytes(value: Value) -> Vec<u8> {
    match value {
        Value::Text(text) => text,
        other => panic!("not bytes: {other:?}"),
    }
}
