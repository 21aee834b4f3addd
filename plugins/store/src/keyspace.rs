//! The commands for keys.

use std::collections::BTreeSet;

use plugin_api::{Error, Request, Result, Value};

use crate::{
    Store,
    glob::Pattern,
    number::integer,
    options::syntax_error,
    position::{self, from_cursor, to_cursor},
};

/// Number of keys that are collected while a part of the map is locked.
const BATCH: usize = 512;
/// Number of keys in a reply of `scan` without `COUNT`.
const COUNT: usize = 10;

pub(crate) fn del(store: &Store, request: &Request) -> usize {
    let removed = store.map.take_all(&store.keys(request));
    // Only the count depends on the time, so that a stream can be replayed at any.
    let present = store.present(request);
    removed.iter().filter(|entry| present.is_before(entry.expiry)).count()
}

pub(crate) fn exists(store: &Store, request: &Request) -> usize {
    let (entries, present) = (store.map.get_all(&store.keys(request)), store.present(request));
    entries.iter().flatten().filter(|entry| present.is_before(entry.expiry)).count()
}

pub(crate) fn type_of(store: &Store, request: &Request) -> Result<&'static str> {
    let entry = store.live(request.bytes(0)?, request);
    Ok(if entry.is_some() { "string" } else { "none" })
}

pub(crate) fn dbsize(store: &Store, request: &Request) -> usize {
    store.map.len(|| store.present(request).time())
}

pub(crate) fn flushall(store: &Store, request: &Request) -> Result<()> {
    let mode = request.get(0).unwrap_or(b"SYNC");
    if !mode.eq_ignore_ascii_case(b"SYNC") && !mode.eq_ignore_ascii_case(b"ASYNC") {
        return Err(syntax_error());
    }
    store.map.clear();
    Ok(())
}

pub(crate) fn keys(store: &Store, request: &Request) -> Result<Vec<Vec<u8>>> {
    let pattern = Pattern::parse(request.get(0).unwrap_or(b"*"))?;
    let (mut cancel, present) = (request.cancel_check(), store.present(request));
    // Sorted while they arrive: a sort at the end could not be interrupted.
    let (mut keys, mut position) = (BTreeSet::new(), 0);
    while position < position::END {
        let (entries, next) = store.map.range(position, BATCH);
        position = next;
        for entry in entries {
            cancel.step()?;
            let key = entry.record.key();
            if present.is_before(entry.expiry) && pattern.matches(key, || cancel.step())? {
                keys.insert(key.to_vec());
            }
        }
    }
    Ok(keys.into_iter().collect())
}

/// The options of `scan`.
struct Scan {
    pattern: Option<Pattern>,
    count: usize,
    has_type: bool,
}

impl Scan {
    fn parse<'a>(mut words: impl Iterator<Item = &'a [u8]>) -> Result<Self> {
        let mut scan = Self { pattern: None, count: COUNT, has_type: true };
        while let Some(word) = words.next() {
            let argument = words.next().ok_or_else(syntax_error)?;
            match word.to_ascii_uppercase().as_slice() {
                b"MATCH" => scan.pattern = Some(Pattern::parse(argument)?),
                b"COUNT" => {
                    scan.count = usize::try_from(integer(argument)?)
                        .ok()
                        .filter(|count| *count > 0)
                        .ok_or_else(syntax_error)?;
                }
                b"TYPE" => scan.has_type = argument.eq_ignore_ascii_case(b"string"),
                _ => return Err(syntax_error()),
            }
        }
        Ok(scan)
    }
}

/// Every key that is there from the first call with cursor 0 to the last one, which replies cursor
/// 0, is replied at least once.
pub(crate) fn scan(store: &Store, request: &Request) -> Result<Value> {
    let cursor = str::from_utf8(request.bytes(0)?).ok().and_then(|text| text.parse().ok());
    let cursor = cursor.ok_or_else(|| Error::new("invalid cursor"))?;
    let Scan { pattern, count, has_type } = Scan::parse(request.arguments().skip(1))?;
    let (mut cancel, present) = (request.cancel_check(), store.present(request));
    let (mut position, tag) = (from_cursor(cursor, store.map.tag()), store.map.tag());
    let (mut keys, mut visited) = (Vec::new(), 0);
    while visited < count && position < position::END {
        let (entries, next) = store.map.range(position, (count - visited).min(BATCH));
        position = next;
        visited += entries.len();
        for entry in entries {
            cancel.step()?;
            let key = entry.record.key();
            let matches = match &pattern {
                Some(pattern) => pattern.matches(key, || cancel.step())?,
                None => true,
            };
            if matches && has_type && present.is_before(entry.expiry) {
                keys.push(Value::from(key));
            }
        }
    }
    let cursor = to_cursor(position, tag).to_string();
    Ok(Value::List(vec![cursor.into(), Value::List(keys)]))
}
