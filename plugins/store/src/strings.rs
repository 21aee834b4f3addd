//! The commands for values.

use plugin_api::{Error, IntoReply, Reply, Request, Result};

use crate::{
    Store,
    clock::NEVER,
    expiry::is_past,
    number::{Unit, integer},
    options::{Condition, Expiry, Options},
    part::Entry,
    record::Record,
};

/// Maximum length of a value, in bytes.
const LONGEST: usize = 512 << 20;

/// The reply of `set`.
pub(crate) enum Set {
    Done,
    Not,
    /// The old value, whether the key was set or not.
    Old(Option<Record>),
}

impl IntoReply for Set {
    fn write(self, reply: &mut Reply<'_>) {
        match self {
            Self::Done => reply.ok(),
            Self::Not => reply.null(),
            Self::Old(old) => old.write(reply),
        }
    }
}

pub(crate) fn set(store: &Store, request: &Request) -> Result<Set> {
    let (key, value) = (request.bytes(0)?, request.bytes(1)?);
    if request.len() == 2 {
        store.map.clock.sample(request);
        store.map.put(store.entry(key, value, NEVER), store.room(request))?;
        return Ok(Set::Done);
    }
    let options = Options::of_set(request.arguments().skip(2))?;
    set_with(store, request, "set", (key, value), options)
}

pub(crate) fn setnx(store: &Store, request: &Request) -> Result<i64> {
    let options = Options { condition: Condition::Absent, ..Options::default() };
    let pair = (request.bytes(0)?, request.bytes(1)?);
    let set = set_with(store, request, "setnx", pair, options)?;
    Ok(i64::from(matches!(set, Set::Done)))
}

pub(crate) fn getset(store: &Store, request: &Request) -> Result<Set> {
    let options = Options { get: true, ..Options::default() };
    set_with(store, request, "getset", (request.bytes(0)?, request.bytes(1)?), options)
}

pub(crate) fn setex(store: &Store, request: &Request) -> Result<Set> {
    set_for(store, request, "setex", Unit::Seconds)
}

pub(crate) fn psetex(store: &Store, request: &Request) -> Result<Set> {
    set_for(store, request, "psetex", Unit::Millis)
}

fn set_for(store: &Store, request: &Request, command: &str, unit: Unit) -> Result<Set> {
    let expiry = Expiry::After(unit, request.bytes(1)?);
    let pair = (request.bytes(0)?, request.bytes(2)?);
    set_with(store, request, command, pair, Options { expiry, ..Options::default() })
}

fn set_with(
    store: &Store,
    request: &Request,
    command: &str,
    (key, value): (&[u8], &[u8]),
    options: Options<'_>,
) -> Result<Set> {
    let (clock, expiry) = (&store.map.clock, options.expiry);
    let now = if let Expiry::After(..) = expiry { clock.time(request) } else { 0 };
    let expiry = expiry.resolve(command, now)?;
    let keeps = options.expiry == Expiry::Keep;
    if options.condition == Condition::Always && !options.get && !keeps {
        // Does not depend on the time unless it names one, so that a stream can be replayed at any.
        clock.sample(request);
        store.map.put(store.entry(key, value, expiry), store.room(request))?;
        clock.note(now);
        return Ok(Set::Done);
    }
    let now = now.max(clock.judge(request));
    let (mut entry, room) = (store.entry(key, value, expiry), store.room(request));
    let key = store.map.key(key);
    // The entry that was replaced is dropped without the lock.
    let (_replaced, reply) = store.map.edit(key, |part| {
        let old = part.find(key).filter(|entry| entry.expiry > now);
        let meets = match options.condition {
            Condition::Always => true,
            Condition::Absent => old.is_none(),
            Condition::Present => old.is_some(),
        };
        if let Some(old) = old.filter(|_| keeps) {
            entry.expiry = old.expiry;
        }
        let old = old.filter(|_| options.get).map(|entry| entry.record.clone());
        if meets {
            room.check(|| part.growth_by(&entry))?;
            clock.expect(entry.expiry);
        }
        clock.note(now);
        let replaced = if meets { part.put(entry) } else { None };
        let reply = match (options.get, meets) {
            (true, _) => Set::Old(old),
            (false, true) => Set::Done,
            (false, false) => Set::Not,
        };
        Ok::<_, Error>((replaced, reply))
    })?;
    Ok(reply)
}

pub(crate) fn mset(store: &Store, request: &Request) -> Result<()> {
    if !request.len().is_multiple_of(2) {
        return Err(Error::new("wrong number of arguments for 'mset' command"));
    }
    store.map.clock.sample(request);
    let (mut words, mut entries) = (request.arguments(), Vec::with_capacity(request.len() / 2));
    while let (Some(key), Some(value)) = (words.next(), words.next()) {
        entries.push(store.entry(key, value, NEVER));
    }
    store.map.put_all(entries, store.room(request))
}

pub(crate) fn get(store: &Store, request: &Request) -> Result<Option<Record>> {
    Ok(store.live(request.bytes(0)?, request).map(|entry| entry.record))
}

pub(crate) fn mget(store: &Store, request: &Request) -> Vec<Option<Record>> {
    let (entries, present) = (store.map.get_all(&store.keys(request)), store.present(request));
    let live = |entry: Option<Entry>| {
        entry.filter(|entry| present.is_before(entry.expiry)).map(|entry| entry.record)
    };
    entries.into_iter().map(live).collect()
}

pub(crate) fn strlen(store: &Store, request: &Request) -> Result<usize> {
    let entry = store.live(request.bytes(0)?, request);
    Ok(entry.map_or(0, |entry| entry.record.value().len()))
}

pub(crate) fn getdel(store: &Store, request: &Request) -> Result<Option<Record>> {
    let (key, clock) = (store.map.key(request.bytes(0)?), &store.map.clock);
    let now = clock.judge(request);
    clock.note(now);
    let old = store.map.edit(key, |part| part.take(key));
    Ok(old.filter(|entry| entry.expiry > now).map(|entry| entry.record))
}

pub(crate) fn getex(store: &Store, request: &Request) -> Result<Option<Record>> {
    let options = Options::of_getex(request.arguments().skip(1))?;
    let (key, clock) = (store.map.key(request.bytes(0)?), &store.map.clock);
    let now = match options.expiry {
        Expiry::Unnamed | Expiry::Persist => clock.judge(request),
        _ => clock.time(request),
    };
    store.map.edit(key, |part| {
        let found = part.find(key).filter(|entry| entry.expiry > now);
        let Some(record) = found.map(|entry| entry.record.clone()) else { return Ok(None) };
        // As in Redis, a wrong time is no error for an absent key.
        let expiry = options.expiry.resolve("getex", now)?;
        clock.note(now);
        if is_past(expiry, now) {
            part.take(key);
        } else if options.expiry != Expiry::Unnamed {
            clock.expect(expiry);
            part.expire(key, expiry);
        }
        Ok(Some(record))
    })
}

pub(crate) fn append(store: &Store, request: &Request) -> Result<usize> {
    let (bytes, tail) = (request.bytes(0)?, request.bytes(1)?);
    let (key, room, clock) = (store.map.key(bytes), store.room(request), &store.map.clock);
    let now = clock.judge(request);
    loop {
        // A long value is copied without the lock.
        let old = store.map.get(key).filter(|entry| entry.expiry > now);
        let head = old.as_ref().map_or(&[][..], |entry| entry.record.value());
        if head.len().saturating_add(tail.len()) > LONGEST {
            return Err(Error::new("string exceeds maximum allowed size (proto-max-bulk-len)"));
        }
        let (length, expiry) = (head.len() + tail.len(), old.as_ref().map(|entry| entry.expiry));
        room.check(|| store.map.read(key).growth(key, length, expiry.unwrap_or(NEVER)))?;
        let entry = store.entry(bytes, &[head, tail].concat(), expiry.unwrap_or(NEVER));
        let replaced = store.map.edit(key, |part| {
            let present = part.find(key).filter(|entry| entry.expiry > now);
            let unchanged = match (&old, present) {
                (None, None) => true,
                (Some(old), Some(present)) => {
                    old.record.is(&present.record) && old.expiry == present.expiry
                }
                _ => false,
            };
            unchanged.then(|| part.put(entry))
        });
        if replaced.is_some() {
            clock.note(now);
            return Ok(length);
        }
    }
}

pub(crate) fn incr(store: &Store, request: &Request) -> Result<i64> {
    add(store, request, request.get(1).map_or(Ok(1), integer)?)
}

pub(crate) fn incrby(store: &Store, request: &Request) -> Result<i64> {
    add(store, request, integer(request.bytes(1)?)?)
}

pub(crate) fn decr(store: &Store, request: &Request) -> Result<i64> {
    add(store, request, -1)
}

pub(crate) fn decrby(store: &Store, request: &Request) -> Result<i64> {
    let by = integer(request.bytes(1)?)?.checked_neg();
    add(store, request, by.ok_or_else(|| Error::new("decrement would overflow"))?)
}

/// Adds to the integer under the first argument; a missing key counts as 0.
fn add(store: &Store, request: &Request, by: i64) -> Result<i64> {
    let bytes = request.bytes(0)?;
    let key = store.map.key(bytes);
    let (room, clock) = (store.room(request), &store.map.clock);
    let now = clock.judge(request);
    let (_replaced, sum) = store.map.edit(key, |part| {
        let old = part.find(key).filter(|entry| entry.expiry > now);
        let sum = old
            .map_or(Ok(0), |entry| integer(entry.record.value()))?
            .checked_add(by)
            .ok_or_else(|| Error::new("increment or decrement would overflow"))?;
        let expiry = old.map_or(NEVER, |entry| entry.expiry);
        let record = Record::new(bytes, itoa::Buffer::new().format(sum).as_bytes());
        let entry = Entry { hash: key.hash, expiry, record };
        room.check(|| part.growth_by(&entry))?;
        clock.note(now);
        Ok::<_, Error>((part.put(entry), sum))
    })?;
    Ok(sum)
}
