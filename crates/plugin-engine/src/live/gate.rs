//! Counts the calls of a generation, and can be closed to hold new calls back.
//!
//! While it is open, a call costs two additions to a cache line that the calling thread nearly
//! always has to itself. While it is closed, new calls wait in front of it. It is closed to hand
//! state over, and then opened again, or retired.

use std::{
    sync::{Arc, PoisonError, atomic::Ordering},
    time::{Duration, Instant},
};

use super::sync::{
    AtomicBool, AtomicU64, Condvar, Mutex, MutexGuard, STRIPES, stripe_of_this_thread,
};

/// Interval at which a closer asks `give_up`.
const SLICE: Duration = Duration::from_millis(20);

/// Counts the calls of one generation, and holds new ones back while it is closed.
pub struct Gate {
    stripes: [Stripe; STRIPES],
    // True if `state` is not `Open`; read without a lock.
    closed: AtomicBool,
    state: Mutex<State>,
    changed: Condvar,
    /// Entries of the stripes that were not calls.
    rejected: AtomicU64,
    keep_alives: AtomicU64,
}

/// A pair of counters on cache lines of its own; processors fetch two lines at a time.
#[repr(align(128))]
#[derive(Default)]
struct Stripe {
    entered: AtomicU64,
    left: AtomicU64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    Closed,
    Retired,
}

/// Proof that the gate cannot be drained while it lives.
pub trait Inside {}

impl Inside for CallGuard<'_> {}
impl Inside for KeepAlive<'_> {}

/// Keeps the gate from being drained; a closer does not wait for it.
pub struct KeepAlive<'a> {
    gate: &'a Gate,
}

/// An object that has a gate, always the same.
pub trait Gated {
    /// Returns the gate.
    fn gate(&self) -> &Gate;
}

/// A [`KeepAlive`] that owns the object that has the gate.
pub struct OwnedKeepAlive<T: Gated>(Arc<T>);

impl<T: Gated> OwnedKeepAlive<T> {
    /// Makes a keep-alive; `None` once the gate is retired.
    pub fn at(gated: &Arc<T>) -> Option<Self> {
        // The drop of the returned value ends it.
        std::mem::forget(gated.gate().keep_alive()?);
        Some(Self(Arc::clone(gated)))
    }
}

impl<T: Gated> Drop for OwnedKeepAlive<T> {
    fn drop(&mut self) {
        drop(KeepAlive { gate: self.0.gate() });
    }
}

/// A running call.
pub struct CallGuard<'a> {
    gate: &'a Gate,
    stripe: &'a Stripe,
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            stripes: Default::default(),
            closed: AtomicBool::new(false),
            state: Mutex::new(State::Open),
            changed: Condvar::new(),
            rejected: AtomicU64::new(0),
            keep_alives: AtomicU64::new(0),
        }
    }
}

impl Gate {
    /// Lets a call in; waits while the gate is closed. Returns `None` once the gate is retired.
    pub fn enter(&self) -> Option<CallGuard<'_>> {
        let stripe = &self.stripes[stripe_of_this_thread()];
        loop {
            // The order of these two, against that in `close`, makes sure that at least one side
            // sees the other: either this call turns back, or `close` waits for it.
            stripe.entered.fetch_add(1, Ordering::SeqCst);
            if !self.closed.load(Ordering::SeqCst) {
                return Some(CallGuard { gate: self, stripe });
            }
            self.rejected.fetch_add(1, Ordering::Relaxed);
            self.leave(stripe);
            let open = self.changed.wait_while(self.state(), |state| *state == State::Closed);
            if *open.unwrap_or_else(PoisonError::into_inner) == State::Retired {
                return None;
            }
        }
    }

    /// Lets in a caller that works for the gate's owner, even if it is closed. Returns `None` once
    /// the gate is retired.
    pub fn enter_closed(&self) -> Option<CallGuard<'_>> {
        let stripe = &self.stripes[stripe_of_this_thread()];
        stripe.entered.fetch_add(1, Ordering::SeqCst);
        self.rejected.fetch_add(1, Ordering::Relaxed);
        let guard = CallGuard { gate: self, stripe };
        let retired = *self.state() == State::Retired;
        (!retired).then_some(guard)
    }

    /// Keeps the gate from being drained, for any time; it can be closed meanwhile. Returns `None`
    /// once the gate is retired.
    pub fn keep_alive(&self) -> Option<KeepAlive<'_>> {
        // Counted first: either `is_drained` sees the keep-alive, or the keep-alive sees that the
        // gate is retired.
        self.keep_alives.fetch_add(1, Ordering::SeqCst);
        let keep_alive = KeepAlive { gate: self };
        let retired = *self.state() == State::Retired;
        (!retired).then_some(keep_alive)
    }

    /// Closes the gate and waits until no call is running. Returns false if a call outlasts the
    /// deadline, `give_up` returns true, or the gate is retired; the gate is open again then,
    /// unless it is retired.
    #[must_use]
    pub fn close(&self, deadline: Instant, give_up: &dyn Fn() -> bool) -> bool {
        let closed = self.close_beside_calls(deadline, give_up) == Some(true);
        if !closed {
            self.open();
        }
        closed
    }

    /// Closes the gate and waits as [`close`](Self::close) does, but leaves it closed in any case.
    /// Returns true if no call is running; `None` if the gate is retired.
    pub fn close_beside_calls(
        &self,
        deadline: Instant,
        give_up: &dyn Fn() -> bool,
    ) -> Option<bool> {
        let mut state = self.state();
        if *state == State::Retired {
            return None;
        }
        *state = State::Closed;
        self.closed.store(true, Ordering::SeqCst);
        while !self.is_idle() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || give_up() {
                return Some(false);
            }
            let waited = self.changed.wait_timeout(state, left.min(SLICE));
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        Some(true)
    }

    /// Lets calls in again, unless the gate is retired.
    pub fn open(&self) {
        let mut state = self.state();
        if *state != State::Retired {
            *state = State::Open;
            self.closed.store(false, Ordering::SeqCst);
            self.changed.notify_all();
        }
    }

    /// Retires the gate for good: new calls are sent back to the registry, running ones continue.
    pub fn retire(&self) {
        let mut state = self.state();
        *state = State::Retired;
        self.closed.store(true, Ordering::SeqCst);
        self.changed.notify_all();
    }

    /// Returns true if the gate is retired and nobody is inside, so that nobody can enter again.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        let retired = *self.state() == State::Retired;
        retired && self.is_idle() && self.keep_alives.load(Ordering::SeqCst) == 0
    }

    /// Returns the number of answered calls.
    pub fn calls(&self) -> u64 {
        let left: u64 = self.stripes.iter().map(|stripe| stripe.left.load(Ordering::Relaxed)).sum();
        left.saturating_sub(self.rejected.load(Ordering::Relaxed))
    }

    /// Returns true if no call is running.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        // `left` first: everything that has entered by the second load had left by the first.
        self.stripes.iter().all(|stripe| {
            let left = stripe.left.load(Ordering::SeqCst);
            stripe.entered.load(Ordering::SeqCst) == left
        })
    }

    fn leave(&self, stripe: &Stripe) {
        stripe.left.fetch_add(1, Ordering::SeqCst);
        if self.closed.load(Ordering::SeqCst) {
            // Under the lock, or the closer could miss it between its check and its wait.
            let _state = self.state();
            self.changed.notify_all();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for KeepAlive<'_> {
    fn drop(&mut self) {
        self.gate.keep_alives.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for CallGuard<'_> {
    fn drop(&mut self) {
        self.gate.leave(self.stripe);
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, thread};

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    #[test]
    fn running_call_delays_drain_but_not_closing() {
        let gate = Gate::default();
        let keep_alive = gate.keep_alive();
        assert!(keep_alive.is_some() && gate.close(soon(), &|| false));
        gate.retire();
        assert!(!gate.is_drained());
        drop(keep_alive);
        assert!(gate.is_drained() && gate.keep_alive().is_none() && gate.is_drained());
        assert_eq!(gate.calls(), 0);
    }

    #[test]
    fn threads_spread_over_the_stripes() {
        let stripes: HashSet<_> = (0..2 * STRIPES)
            .map(|_| thread::spawn(stripe_of_this_thread).join().unwrap())
            .collect();
        assert!(stripes.iter().all(|stripe| *stripe < STRIPES), "{stripes:?}");
        // Other tests start threads meanwhile.
        assert!(stripes.len() > STRIPES / 2, "{stripes:?}");
    }

    #[test]
    fn calls_are_counted() {
        let gate = Gate::default();
        let guard = gate.enter();
        assert!(!gate.is_idle());
        assert_eq!(gate.calls(), 0);
        drop(guard);
        assert!(gate.is_idle());
        assert_eq!(gate.calls(), 1);
    }

    #[test]
    fn closed_gate_excludes_calls_until_reopened() {
        let (gate, inside) = (Gate::default(), AtomicU64::new(0));
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..10_000 {
                        let guard = gate.enter().unwrap();
                        inside.fetch_add(1, Ordering::SeqCst);
                        inside.fetch_sub(1, Ordering::SeqCst);
                        drop(guard);
                    }
                });
            }
            for _ in 0..200 {
                // Not `is_idle`: a call that is about to turn back counts for a moment.
                let seen = gate.close(soon(), &|| false).then(|| inside.load(Ordering::SeqCst));
                // First, so that nobody waits for ever if the assertion fails.
                gate.open();
                assert_eq!(seen, Some(0));
                thread::yield_now();
            }
        });
        assert_eq!(gate.calls(), 40_000);
    }

    #[test]
    fn call_beyond_deadline_keeps_gate_open() {
        let gate = Gate::default();
        let _pass = gate.enter();
        assert!(!gate.close(Instant::now(), &|| false));
        assert!(!gate.close(soon(), &|| true));
        assert!(gate.enter().is_some());
    }

    #[test]
    fn closed_beside_a_call_holds_others_back() {
        let gate = Gate::default();
        let guard = gate.enter();
        assert_eq!(gate.close_beside_calls(Instant::now(), &|| false), Some(false));
        thread::scope(|scope| {
            let waiting = scope.spawn(|| gate.enter().is_none());
            while gate.rejected.load(Ordering::SeqCst) == 0 {
                thread::yield_now();
            }
            gate.retire();
            assert!(waiting.join().unwrap());
        });
        assert!(!gate.is_drained(), "the call is still inside");
        drop(guard);
        assert!(gate.is_drained());
        assert_eq!(gate.close_beside_calls(soon(), &|| false), None);
    }

    #[test]
    fn owner_enters_closed_gate_and_is_counted() {
        let gate = Gate::default();
        assert!(gate.close(soon(), &|| false));
        let guard = gate.enter_closed();
        assert!(guard.is_some());
        gate.retire();
        assert!(!gate.is_drained());
        drop(guard);
        assert!(gate.is_drained());
        assert!(gate.enter_closed().is_none());
        assert!(gate.is_drained());
        gate.open();
        assert!(gate.enter().is_none(), "what is retired does not come back");
        assert_eq!(gate.calls(), 0);
    }

    #[test]
    fn waiting_call_is_redirected_when_gate_retires() {
        let gate = Gate::default();
        assert!(gate.close(soon(), &|| false));
        thread::scope(|scope| {
            let waiting = scope.spawn(|| gate.enter().is_none());
            while gate.rejected.load(Ordering::SeqCst) == 0 {
                thread::yield_now();
            }
            gate.retire();
            assert!(waiting.join().unwrap());
        });
        assert!(gate.enter().is_none());
    }
}
