//! A key-value store with the commands of Redis for keys and strings.
//!
//! Keys and values are any bytes. They are handed over to the plugin's next version and survive a
//! restart of the host.

mod clock;
mod expiry;
mod glob;
mod keyspace;
mod map;
mod memory;
mod number;
mod options;
mod part;
mod position;
mod record;
mod snapshot;
mod stream;
mod strings;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use plugin_api::{Commands, Configured, Host, Request, Result, State, Streamed, plugin};

use crate::{
    clock::{NEVER, Present},
    expiry::{expire, expireat, expiretime, persist, pexpire, pexpireat, pexpiretime, pttl, ttl},
    keyspace::{dbsize, del, exists, flushall, keys, scan, type_of},
    map::Map,
    memory::{Config, Room},
    part::{Entry, Key},
    record::Record,
    strings::{
        append, decr, decrby, get, getdel, getex, getset, incr, incrby, mget, mset, psetex, set,
        setex, setnx, strlen,
    },
};

plugin! {
    state: Store,
    commands: {
        "set" "KEY VALUE [OPTION..]" => set, writes,
            "Keeps VALUE under KEY; options: EX S, PX MS, EXAT S, PXAT MS, KEEPTTL, NX, XX, GET.";
        "get" "KEY" => get, idempotent, "Replies the value under KEY, or nothing.";
        "del" "KEY.." => del, writes, "Removes each KEY and replies how many were there.";
        "unlink" "KEY.." => del, writes, "Removes each KEY and replies how many were there.";
        "incr" "KEY [BY]" => incr, writes,
            "Adds BY, or 1, to the integer under KEY and replies the sum.";
        "incrby" "KEY BY" => incrby, writes, "Adds BY to the integer under KEY; replies the sum.";
        "decr" "KEY" => decr, writes, "Subtracts 1 from the integer under KEY.";
        "decrby" "KEY BY" => decrby, writes, "Subtracts BY from the integer under KEY.";
        "mget" "KEY.." => mget, idempotent, "Replies the value of each KEY, or nothing for it.";
        "mset" "KEY VALUE [MORE..]" => mset, writes, idempotent,
            "Keeps each VALUE under its KEY, all at once.";
        "setnx" "KEY VALUE" => setnx, writes, "Keeps VALUE if KEY is absent; replies 1 or 0.";
        "setex" "KEY SECONDS VALUE" => setex, writes, idempotent,
            "Keeps VALUE under KEY for SECONDS.";
        "psetex" "KEY MILLIS VALUE" => psetex, writes, idempotent,
            "Keeps VALUE under KEY for MILLIS milliseconds.";
        "getset" "KEY VALUE" => getset, writes, "Keeps VALUE under KEY; replies the old value.";
        "getdel" "KEY" => getdel, writes, "Removes KEY and replies its value.";
        "getex" "KEY [OPTION..]" => getex, writes,
            "Replies the value of KEY; options: EX S, PX MS, EXAT S, PXAT MS, PERSIST.";
        "append" "KEY VALUE" => append, writes, "Appends VALUE to that of KEY; replies its length.";
        "strlen" "KEY" => strlen, idempotent, "Replies the length of the value in bytes, or 0.";
        "exists" "KEY.." => exists, idempotent, "Replies how many of the keys are there.";
        "touch" "KEY.." => exists, idempotent, "Replies how many of the keys are there.";
        "type" "KEY" => type_of, idempotent, "Replies string, or none if KEY is absent.";
        "expire" "KEY SECONDS [CONDITION..]" => expire, writes,
            "Removes KEY after SECONDS; conditions: NX, XX, GT, LT. Replies 1 or 0.";
        "pexpire" "KEY MILLIS [CONDITION..]" => pexpire, writes,
            "Removes KEY after MILLIS milliseconds; conditions as for expire.";
        "expireat" "KEY TIME [CONDITION..]" => expireat, writes,
            "Removes KEY at TIME, in seconds since 1970; conditions as for expire.";
        "pexpireat" "KEY TIME [CONDITION..]" => pexpireat, writes,
            "Removes KEY at TIME, in milliseconds since 1970; conditions as for expire.";
        "persist" "KEY" => persist, writes, "Cancels the expiry of KEY; replies 1 or 0.";
        "ttl" "KEY" => ttl, idempotent, "Replies the seconds left of KEY; -1 if it does not expire.";
        "pttl" "KEY" => pttl, idempotent, "Replies the milliseconds left of KEY.";
        "expiretime" "KEY" => expiretime, idempotent,
            "Replies when KEY expires, in seconds since 1970.";
        "pexpiretime" "KEY" => pexpiretime, idempotent,
            "Replies when KEY expires, in milliseconds since 1970.";
        "keys" "[GLOB]" => keys, idempotent,
            "Lists the keys, or those like GLOB, such as a*, a?, [a-c] or [^x].";
        "scan" "CURSOR [OPTION..]" => scan, idempotent,
            "Replies the next cursor and some keys; options: MATCH GLOB, COUNT N, TYPE T.";
        "dbsize" "" => dbsize, idempotent, "Replies the number of keys.";
        "flushall" "[MODE]" => flushall, writes, idempotent,
            "Removes all keys; the modes ASYNC and SYNC are the same.";
        "flushdb" "[MODE]" => flushall, writes, idempotent,
            "Removes all keys; the modes ASYNC and SYNC are the same.";
    }
}

/// Interval of the sweep while keys may expire. Short in tests, so that it disturbs them.
const SWEEP: Duration = Duration::from_millis(if cfg!(test) { 1 } else { 100 });
/// Interval of the sweep otherwise, which only frees what a `flushall` has removed.
const IDLE: Duration = Duration::from_millis(if cfg!(test) { 1 } else { 1_000 });

/// The store. Its map is shared with the thread that removes expired keys.
pub(crate) struct Store {
    map: Arc<Map>,
}

impl Store {
    /// Returns an entry that has not expired, for a command that only reads.
    fn live(&self, key: &[u8], request: &Request) -> Option<Entry> {
        let entry = self.map.get(self.map.key(key))?;
        Some(entry).filter(|entry| self.present(request).is_before(entry.expiry))
    }

    fn present<'a>(&'a self, request: &'a Request) -> Present<'a> {
        Present::new(&self.map.clock, request)
    }

    fn room(&self, request: &Request) -> Room {
        self.map.memory.room(request)
    }

    fn entry(&self, key: &[u8], value: &[u8], expiry: u64) -> Entry {
        Entry { hash: self.map.key(key).hash, expiry, record: Record::new(key, value) }
    }

    fn keys<'a>(&self, request: &'a Request) -> Vec<Key<'a>> {
        request.arguments().map(|key| self.map.key(key)).collect()
    }
}

impl State for Store {
    fn create(host: &Host) -> Result<Self> {
        let map = Arc::new(Map::default());
        let shared = Arc::clone(&map);
        host.spawn("sweep", move |stop| {
            while !stop.wait(if shared.clock.is_idle() { IDLE } else { SWEEP }) {
                shared.sweep(shared.clock.sweep_time(), || stop.is_set());
            }
        })?;
        Ok(Self { map })
    }
}

impl Streamed for Store {
    fn begin(&self) -> Result<()> {
        self.map.begin_stream();
        Ok(())
    }

    fn next(&self, commands: &mut Commands) -> Result<bool> {
        Ok(self.map.next_of_stream(commands))
    }

    fn end(&self) {
        self.map.end_stream();
    }

    fn restore(&self, saved: &[u8]) -> Result<()> {
        let records = snapshot::read(saved)?;
        // Nothing changes if a part is not valid.
        records.clone().try_for_each(|record| record.map(drop))?;
        self.map.clear();
        for record in records {
            let (key, value) = record?;
            self.map.put(self.entry(key, value, NEVER), Room::UNBOUNDED)?;
        }
        Ok(())
    }
}

impl Configured for Store {
    type Config = Config;

    fn configure(&self, config: Config) -> Result<()> {
        self.map.memory.set_limit(config.limit()?);
        Ok(())
    }
}
