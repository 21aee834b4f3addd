//! The time by which keys expire.
//!
//! A journal is replayed at another time than it was written, so a command that changes the store
//! must not depend on the system's clock. It judges by the *noted* time: the largest time of all
//! such commands so far, its own included. The noted time depends on the commands alone. It never
//! goes back, even if the system's clock does, so that an expired key cannot return.
//!
//! A command reads its own time only while some key may still expire: without such keys the store
//! reads no clock. A stream does not contain the noted time, so a store that was filled by one may
//! judge differently after the clock was set back; a journal from its start never does.

use std::{
    cell::Cell,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::UNIX_EPOCH,
};

use plugin_api::Request;

/// The expiry of a key that does not expire. An expiry is in milliseconds since 1970.
pub(crate) const NEVER: u64 = u64::MAX;

/// The sweep removes a key at once by the noted time, and this many milliseconds later by the time
/// of other calls. The clock may be set back by less without any effect on a replay.
const MARGIN: u64 = 5_000;
/// One of so many commands that do not depend on the time reads it for the sweep.
const SAMPLE: u64 = 64;

#[derive(Default)]
pub(crate) struct Clock {
    noted: AtomicU64,
    /// The largest expiry that any key has had.
    horizon: AtomicU64,
    /// The largest time of calls that are not replayed.
    seen: AtomicU64,
    /// Number of commands that did not depend on the time while keys could expire.
    calls: AtomicU64,
}

impl Clock {
    /// Returns whether no key has had an expiry yet.
    pub(crate) fn is_idle(&self) -> bool {
        self.horizon.load(Relaxed) == 0
    }

    /// Returns the noted time for a command that changes the store and depends on what has expired.
    /// It is noted by [`note`](Self::note).
    pub(crate) fn judge(&self, request: &Request) -> u64 {
        let noted = self.noted();
        if noted >= self.horizon.load(Relaxed) { noted } else { self.time(request) }
    }

    /// Returns the noted time for a command that changes the store and depends on the time itself.
    /// It is noted by [`note`](Self::note).
    pub(crate) fn time(&self, request: &Request) -> u64 {
        self.see(request).max(self.noted())
    }

    /// Notes the time of a command that succeeds. A command that fails leaves no trace: a journal
    /// may not have it.
    pub(crate) fn note(&self, now: u64) {
        if self.noted() < now {
            self.noted.fetch_max(now, Relaxed);
        }
    }

    /// Notes an expiry before a key gets it.
    pub(crate) fn expect(&self, expiry: u64) {
        if expiry != NEVER && self.horizon.load(Relaxed) < expiry {
            self.horizon.fetch_max(expiry, Relaxed);
        }
    }

    /// Reads the time for the sweep now and then, in commands that do not depend on it.
    pub(crate) fn sample(&self, request: &Request) {
        if !self.is_idle() && self.calls.fetch_add(1, Relaxed).is_multiple_of(SAMPLE) {
            self.see(request);
        }
    }

    /// Returns the time by which the sweep may remove keys.
    pub(crate) fn sweep_time(&self) -> u64 {
        self.noted().max(self.seen.load(Relaxed).saturating_sub(MARGIN))
    }

    pub(crate) fn noted(&self) -> u64 {
        self.noted.load(Relaxed)
    }

    fn see(&self, request: &Request) -> u64 {
        let since = request.time().duration_since(UNIX_EPOCH).unwrap_or_default();
        let time = u64::try_from(since.as_millis()).unwrap_or(NEVER - 1);
        // A replayed call has an old time, or none of its own.
        if request.session_id() != 0 && self.seen.load(Relaxed) < time {
            self.seen.fetch_max(time, Relaxed);
        }
        time
    }
}

/// The present time of a command that only reads. It reads its clock when a key needs it.
pub(crate) struct Present<'a> {
    clock: &'a Clock,
    request: &'a Request,
    time: Cell<Option<u64>>,
}

impl<'a> Present<'a> {
    pub(crate) fn new(clock: &'a Clock, request: &'a Request) -> Self {
        Self { clock, request, time: Cell::new(None) }
    }

    pub(crate) fn time(&self) -> u64 {
        self.time.get().unwrap_or_else(|| {
            let time = self.clock.time(self.request);
            self.time.set(Some(time));
            time
        })
    }

    /// Returns whether a key with this expiry is still there.
    pub(crate) fn is_before(&self, expiry: u64) -> bool {
        expiry == NEVER || (expiry > self.clock.noted() && expiry > self.time())
    }
}
