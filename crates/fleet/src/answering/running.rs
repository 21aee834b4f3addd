//! The calls of other hosts that this one runs.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};
use telemetry::log_throttle::NamedThrottle;

use crate::envelope::CallHead;

/// The time after which a call is cancelled whose caller does not ask for it. It asks each 20 ms.
const FORSAKEN: Duration = Duration::from_secs(3);

/// The caller's word about a call.
#[derive(Default)]
struct State {
    is_cancelled: bool,
    /// The number of parts of the reply that it has taken.
    taken: u64,
}

/// A call that this host runs for another program.
pub struct RunningCall {
    /// The command's name.
    pub command: String,
    /// The calling host's facts; `None` for a service client.
    pub head: Option<CallHead>,
    /// The number of the call at its caller.
    number: u64,
    began: Instant,
    /// The time at which the caller asked last, in milliseconds after `began`.
    asked: AtomicU64,
    state: Mutex<State>,
    changed: Condvar,
    is_over: AtomicBool,
    is_reported: AtomicBool,
}

impl RunningCall {
    /// Waits for the call to be cancelled, and returns whether it is.
    pub fn wait_for_cancel(&self, time: Duration) -> bool {
        let mut state = self.state.lock();
        if !state.is_cancelled && !time.is_zero() {
            self.changed.wait_for(&mut state, time);
        }
        state.is_cancelled
    }

    /// Waits until the caller has taken this number of parts of the reply. Returns false if the call
    /// is cancelled.
    pub fn wait_until_taken(&self, parts: u64) -> bool {
        let mut state = self.state.lock();
        while state.taken < parts && !state.is_cancelled {
            self.changed.wait(&mut state);
        }
        !state.is_cancelled
    }

    /// Cancels the call.
    pub fn cancel(&self) {
        self.state.lock().is_cancelled = true;
        self.changed.notify_all();
    }

    /// Returns true if the call still runs.
    pub fn is_running(&self) -> bool {
        !self.is_over.load(Ordering::Acquire)
    }
}

impl fmt::Display for RunningCall {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let command = &self.command;
        match &self.head {
            Some(CallHead { host, session, peer, .. }) => {
                write!(out, "'{command}' of session {session} of host '{host}' from {peer}")
            }
            None => write!(out, "'{command}' of a NATS service client"),
        }
    }
}

/// The calls of other hosts that this one runs.
#[derive(Default)]
pub struct RunningCalls {
    calls: Mutex<HashMap<u64, Arc<RunningCall>>>,
    last: AtomicU64,
    is_drained: AtomicBool,
    lines: NamedThrottle,
}

/// A call in the list, until [`end`](RunningCalls::end).
pub struct Listed {
    key: u64,
    /// The call.
    pub call: Arc<RunningCall>,
}

impl RunningCalls {
    /// Adds a call.
    pub fn begin(&self, command: &str, head: Option<CallHead>, number: u64) -> Listed {
        let key = self.last.fetch_add(1, Ordering::Relaxed);
        let call = Arc::new(RunningCall {
            command: command.to_owned(),
            head,
            number,
            began: Instant::now(),
            asked: AtomicU64::new(0),
            state: Mutex::default(),
            changed: Condvar::new(),
            is_over: AtomicBool::new(false),
            is_reported: AtomicBool::new(false),
        });
        self.calls.lock().insert(key, Arc::clone(&call));
        Listed { key, call }
    }

    /// Removes a call.
    pub fn end(&self, listed: &Listed) {
        listed.call.is_over.store(true, Ordering::Release);
        self.calls.lock().remove(&listed.key);
    }

    /// Returns the number of calls.
    pub fn len(&self) -> usize {
        self.calls.lock().len()
    }

    /// Returns all calls.
    pub fn list(&self) -> Vec<Arc<RunningCall>> {
        self.calls.lock().values().cloned().collect()
    }

    /// Returns the numbers of the calls of this host, which has just asked for them.
    pub fn of_caller(&self, caller: &str) -> Vec<u64> {
        let calls = self.calls.lock();
        let of_caller = calls
            .values()
            .filter(|call| call.head.as_ref().is_some_and(|head| head.caller == caller));
        let note = |call: &Arc<RunningCall>| {
            call.asked.store(millis(call.began.elapsed()), Ordering::Relaxed);
            call.number
        };
        of_caller.map(note).collect()
    }

    /// Cancels a call of this host.
    pub fn cancel(&self, caller: &str, number: u64) {
        if let Some(call) = self.find(caller, number) {
            call.cancel();
        }
    }

    /// Notes that this host has taken this number of parts of the reply to a call.
    pub fn take(&self, caller: &str, number: u64, parts: u64) {
        if let Some(call) = self.find(caller, number) {
            let mut state = call.state.lock();
            state.taken = state.taken.max(parts);
            call.changed.notify_all();
        }
    }

    /// Notes that no further call arrives.
    pub fn note_drained(&self) {
        self.is_drained.store(true, Ordering::Release);
    }

    /// Returns true if no call runs, and none arrives any more.
    pub fn is_drained(&self) -> bool {
        self.is_drained.load(Ordering::Acquire) && self.len() == 0
    }

    fn find(&self, caller: &str, number: u64) -> Option<Arc<RunningCall>> {
        let calls = self.calls.lock();
        let is_it = |call: &&Arc<RunningCall>| {
            call.number == number && call.head.as_ref().is_some_and(|head| head.caller == caller)
        };
        calls.values().find(is_it).cloned()
    }

    /// Counts all callers as heard from now.
    pub fn forgive_silence(&self) {
        for call in self.list() {
            call.asked.store(millis(call.began.elapsed()), Ordering::Relaxed);
        }
    }

    /// Cancels the calls whose caller asks no more.
    pub fn cancel_forsaken(&self) {
        for call in self.list().iter().filter(|call| call.head.is_some()) {
            let asked = Duration::from_millis(call.asked.load(Ordering::Relaxed));
            if call.began.elapsed().saturating_sub(asked) >= FORSAKEN
                && !call.wait_for_cancel(Duration::ZERO)
            {
                log::info!("fleet: {call} is cancelled, its host does not ask for it any more");
                call.cancel();
            }
        }
    }

    /// Logs each call, once, that has run for `limit`; zero for never.
    pub fn log_slow(&self, limit: Duration) {
        if limit.is_zero() {
            return;
        }
        for call in self.list() {
            let ran = call.began.elapsed();
            if ran >= limit && !call.is_reported.swap(true, Ordering::Relaxed) {
                self.lines.warn(&call.command, Instant::now(), || {
                    format!("fleet: {call} has been running for {:.1} s", ran.as_secs_f64())
                });
            }
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(caller: &str) -> Option<CallHead> {
        Some(CallHead {
            caller: caller.into(),
            host: "a".into(),
            session: 3,
            peer: "127.0.0.1:9".parse().unwrap(),
            name: String::new(),
            key: String::new(),
            is_admin: true,
        })
    }

    #[test]
    fn a_host_learns_of_its_own_calls() {
        let calls = RunningCalls::default();
        let first = calls.begin("wait", head("one"), 7);
        let other = calls.begin("wait", head("two"), 7);
        let service = calls.begin("wait", None, 0);
        assert_eq!((calls.of_caller("one"), calls.of_caller("none")), (vec![7], vec![]));
        calls.cancel("one", 8);
        calls.cancel("two", 7);
        let is_cancelled = |listed: &Listed| listed.call.wait_for_cancel(Duration::ZERO);
        assert_eq!([&first, &other, &service].map(is_cancelled), [false, true, false]);
        assert_eq!(first.call.to_string(), "'wait' of session 3 of host 'a' from 127.0.0.1:9");
        [&first, &other, &service].iter().for_each(|listed| calls.end(listed));
        assert!(calls.len() == 0 && !first.call.is_running());
    }
}
