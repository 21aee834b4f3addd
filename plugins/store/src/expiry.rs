//! The commands for the time at which a key expires.

use plugin_api::{Error, Request, Result};

use crate::{
    Store,
    clock::NEVER,
    number::{Unit, integer, invalid_time, millis},
};

/// Returns whether an expiry is over. Such a key is removed and not kept until the sweep.
pub(crate) fn is_past(expiry: u64, now: u64) -> bool {
    expiry <= now
}

pub(crate) fn expire(store: &Store, request: &Request) -> Result<i64> {
    change(store, request, "expire", Unit::Seconds, false)
}

pub(crate) fn pexpire(store: &Store, request: &Request) -> Result<i64> {
    change(store, request, "pexpire", Unit::Millis, false)
}

pub(crate) fn expireat(store: &Store, request: &Request) -> Result<i64> {
    change(store, request, "expireat", Unit::Seconds, true)
}

pub(crate) fn pexpireat(store: &Store, request: &Request) -> Result<i64> {
    change(store, request, "pexpireat", Unit::Millis, true)
}

fn change(
    store: &Store,
    request: &Request,
    command: &str,
    unit: Unit,
    is_absolute: bool,
) -> Result<i64> {
    let conditions = Conditions::parse(request.arguments().skip(2))?;
    let time = integer(request.bytes(1)?)?;
    let now = store.map.clock.time(request);
    let base = if is_absolute { 0 } else { now };
    let expiry = millis(time, unit, base).ok_or_else(|| invalid_time(command))?;
    // A negative time is past.
    let expiry = u64::try_from(expiry).unwrap_or_default();
    let key = store.map.key(request.bytes(0)?);
    store.map.clock.note(now);
    store.map.clock.expect(expiry);
    let (changed, _removed) = store.map.edit(key, |part| {
        let old = part.find(key).filter(|entry| entry.expiry > now).map(|entry| entry.expiry);
        if !old.is_some_and(|old| conditions.allow(old, expiry)) {
            return (false, None);
        }
        if is_past(expiry, now) {
            return (true, part.take(key));
        }
        part.expire(key, expiry);
        (true, None)
    });
    Ok(i64::from(changed))
}

pub(crate) fn persist(store: &Store, request: &Request) -> Result<i64> {
    let key = store.map.key(request.bytes(0)?);
    let now = store.map.clock.judge(request);
    store.map.clock.note(now);
    let changed = store.map.edit(key, |part| {
        let expires = |expiry| expiry > now && expiry != NEVER;
        let changes = part.find(key).is_some_and(|entry| expires(entry.expiry));
        if changes {
            part.expire(key, NEVER);
        }
        changes
    });
    Ok(i64::from(changed))
}

pub(crate) fn ttl(store: &Store, request: &Request) -> Result<i64> {
    // Rounded to the nearest second, as in Redis.
    show(store, request, |expiry, now| (expiry - now + 500) / 1_000)
}

pub(crate) fn pttl(store: &Store, request: &Request) -> Result<i64> {
    show(store, request, |expiry, now| expiry - now)
}

pub(crate) fn expiretime(store: &Store, request: &Request) -> Result<i64> {
    show(store, request, |expiry, _| (expiry + 500) / 1_000)
}

pub(crate) fn pexpiretime(store: &Store, request: &Request) -> Result<i64> {
    show(store, request, |expiry, _| expiry)
}

/// Replies what `show` makes of the expiry and the present time: -1 if the key does not expire, and
/// -2 if it is absent.
fn show(store: &Store, request: &Request, show: fn(u64, u64) -> u64) -> Result<i64> {
    let Some(entry) = store.map.get(store.map.key(request.bytes(0)?)) else { return Ok(-2) };
    if entry.expiry == NEVER {
        return Ok(-1);
    }
    let now = store.present(request).time();
    if is_past(entry.expiry, now) {
        return Ok(-2);
    }
    Ok(i64::try_from(show(entry.expiry, now)).unwrap_or(i64::MAX))
}

/// The conditions under which an expiry changes.
#[derive(Default)]
struct Conditions {
    if_none: bool,
    if_any: bool,
    if_greater: bool,
    if_less: bool,
}

impl Conditions {
    fn parse<'a>(words: impl Iterator<Item = &'a [u8]>) -> Result<Self> {
        let mut conditions = Self::default();
        for word in words {
            let condition = match word.to_ascii_uppercase().as_slice() {
                b"NX" => &mut conditions.if_none,
                b"XX" => &mut conditions.if_any,
                b"GT" => &mut conditions.if_greater,
                b"LT" => &mut conditions.if_less,
                _ => {
                    let word = word.escape_ascii();
                    return Err(Error::new(format!("Unsupported option {word}")));
                }
            };
            *condition = true;
        }
        let Self { if_none, if_any, if_greater, if_less } = conditions;
        if if_none && (if_any || if_greater || if_less) {
            return Err(Error::new(
                "NX and XX, GT or LT options at the same time are not compatible",
            ));
        }
        if if_greater && if_less {
            return Err(Error::new("GT and LT options at the same time are not compatible"));
        }
        Ok(conditions)
    }

    /// Returns whether `old` may become `new`. No expiry counts as the greatest.
    fn allow(&self, old: u64, new: u64) -> bool {
        !(self.if_none && old != NEVER
            || self.if_any && old == NEVER
            || self.if_greater && new <= old
            || self.if_less && new >= old)
    }
}
