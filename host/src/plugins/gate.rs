//! The gate that every call of a generation passes: it counts, and it can be closed.
//!
//! Open, it costs two additions to a cache line that the calling thread nearly always has to
//! itself. Closed, new calls wait in front of it; it is closed to hand state over, and then opened
//! again, or for ever.

use std::{
    sync::{Arc, PoisonError, atomic::Ordering},
    time::{Duration, Instant},
};

use super::sync::{
    AtomicBool, AtomicU64, Condvar, Mutex, MutexGuard, STRIPES, stripe_of_this_thread,
};

/// How often a closer asks whether to give up.
const SLICE: Duration = Duration::from_millis(20);

/// Counts the calls of one generation and holds them back when asked.
pub struct Gate {
    stripes: [Stripe; STRIPES],
    // The same as `state != Open`, for a look without a lock.
    closed: AtomicBool,
    state: Mutex<State>,
    changed: Condvar,
    /// What was counted in the stripes and was no call.
    turned_away: AtomicU64,
    visitors: AtomicU64,
}

/// Alone on its cache lines, of which processors fetch two at a time.
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
    Moved,
}

/// What keeps a gate from being over.
pub trait Inside {}

impl Inside for Pass<'_> {}
impl Inside for Visit<'_> {}

/// Somebody inside for whom a closer does not wait.
pub struct Visit<'a> {
    gate: &'a Gate,
}

/// What has a gate, always the same.
pub trait Gated {
    /// The gate.
    fn gate(&self) -> &Gate;
}

/// As [`Visit`], but it owns what has the gate.
pub struct Stay<T: Gated>(Arc<T>);

impl<T: Gated> Stay<T> {
    /// `None` once the work has moved.
    pub fn at(gated: &Arc<T>) -> Option<Self> {
        // It goes on until the drop of what is returned.
        std::mem::forget(gated.gate().visit()?);
        Some(Self(Arc::clone(gated)))
    }
}

impl<T: Gated> Drop for Stay<T> {
    fn drop(&mut self) {
        drop(Visit { gate: self.0.gate() });
    }
}

/// A call that is under way.
pub struct Pass<'a> {
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
            turned_away: AtomicU64::new(0),
            visitors: AtomicU64::new(0),
        }
    }
}

impl Gate {
    /// Lets a call in; waits while the gate is closed. `None` once the generation's work has moved
    /// elsewhere.
    pub fn enter(&self) -> Option<Pass<'_>> {
        let stripe = &self.stripes[stripe_of_this_thread()];
        loop {
            // The order of these two, against that in `close`, makes sure that at least one side
            // sees the other: either this call turns back, or `close` waits for it.
            stripe.entered.fetch_add(1, Ordering::SeqCst);
            if !self.closed.load(Ordering::SeqCst) {
                return Some(Pass { gate: self, stripe });
            }
            self.turned_away.fetch_add(1, Ordering::Relaxed);
            self.leave(stripe);
            let open = self.changed.wait_while(self.state(), |state| *state == State::Closed);
            if *open.unwrap_or_else(PoisonError::into_inner) == State::Moved {
                return None;
            }
        }
    }

    /// Lets one in who works for the gate's owner, closed or not. `None` once the work has moved.
    pub fn enter_closed(&self) -> Option<Pass<'_>> {
        let stripe = &self.stripes[stripe_of_this_thread()];
        stripe.entered.fetch_add(1, Ordering::SeqCst);
        self.turned_away.fetch_add(1, Ordering::Relaxed);
        let pass = Pass { gate: self, stripe };
        let moved = *self.state() == State::Moved;
        (!moved).then_some(pass)
    }

    /// Lets one in who may stay for ever: the gate can be closed meanwhile, but it is not over.
    /// `None` once the work has moved.
    pub fn visit(&self) -> Option<Visit<'_>> {
        // Counted first: either `is_over` sees the visit, or the visit sees that all has moved.
        self.visitors.fetch_add(1, Ordering::SeqCst);
        let visit = Visit { gate: self };
        let moved = *self.state() == State::Moved;
        (!moved).then_some(visit)
    }

    /// Closes the gate and waits until no call is under way. Returns false, with the gate open
    /// again, where one outlasts the deadline or `give_up` says so, or where the work has moved.
    #[must_use]
    pub fn close(&self, deadline: Instant, give_up: &dyn Fn() -> bool) -> bool {
        let closed = self.close_beside_calls(deadline, give_up) == Some(true);
        if !closed {
            self.open();
        }
        closed
    }

    /// Closes the gate and waits as [`close`](Self::close) does, but leaves it closed in any case.
    /// Returns whether no call is under way; `None` where the work has moved.
    pub fn close_beside_calls(
        &self,
        deadline: Instant,
        give_up: &dyn Fn() -> bool,
    ) -> Option<bool> {
        let mut state = self.state();
        if *state == State::Moved {
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

    /// Lets calls in again, unless the work has moved.
    pub fn open(&self) {
        let mut state = self.state();
        if *state != State::Moved {
            *state = State::Open;
            self.closed.store(false, Ordering::SeqCst);
            self.changed.notify_all();
        }
    }

    /// Sends all calls elsewhere from now on, for good. What is under way goes on.
    pub fn move_on(&self) {
        let mut state = self.state();
        *state = State::Moved;
        self.closed.store(true, Ordering::SeqCst);
        self.changed.notify_all();
    }

    /// Whether nobody is inside, and nobody can ever enter again.
    #[must_use]
    pub fn is_over(&self) -> bool {
        let moved = *self.state() == State::Moved;
        moved && self.is_idle() && self.visitors.load(Ordering::SeqCst) == 0
    }

    /// How many calls have been answered.
    #[must_use]
    pub fn calls(&self) -> u64 {
        let left: u64 = self.stripes.iter().map(|stripe| stripe.left.load(Ordering::Relaxed)).sum();
        left.saturating_sub(self.turned_away.load(Ordering::Relaxed))
    }

    /// Whether no call is under way.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        // `left` first: what has entered by the second look was all gone by the first.
        self.stripes.iter().all(|stripe| {
            let left = stripe.left.load(Ordering::SeqCst);
            stripe.entered.load(Ordering::SeqCst) == left
        })
    }

    fn leave(&self, stripe: &Stripe) {
        stripe.left.fetch_add(1, Ordering::SeqCst);
        if self.closed.load(Ordering::SeqCst) {
            // Under the lock, or the closer could miss it between its look and its wait.
            let _state = self.state();
            self.changed.notify_all();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        self.gate.visitors.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Pass<'_> {
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
    fn a_visitor_does_not_keep_the_gate_from_closing_but_from_being_over() {
        let gate = Gate::default();
        let visit = gate.visit();
        assert!(visit.is_some() && gate.close(soon(), &|| false));
        gate.move_on();
        assert!(!gate.is_over());
        drop(visit);
        assert!(gate.is_over() && gate.visit().is_none() && gate.is_over());
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
        let pass = gate.enter();
        assert!(!gate.is_idle());
        assert_eq!(gate.calls(), 0);
        drop(pass);
        assert!(gate.is_idle());
        assert_eq!(gate.calls(), 1);
    }

    #[test]
    fn a_closed_gate_has_nobody_behind_it_and_all_get_through_in_the_end() {
        let (gate, inside) = (Gate::default(), AtomicU64::new(0));
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..10_000 {
                        let pass = gate.enter().unwrap();
                        inside.fetch_add(1, Ordering::SeqCst);
                        inside.fetch_sub(1, Ordering::SeqCst);
                        drop(pass);
                    }
                });
            }
            for _ in 0..200 {
                // Not `is_idle`: a call that is about to turn back counts for a moment.
                let seen = gate.close(soon(), &|| false).then(|| inside.load(Ordering::SeqCst));
                // First, so that nobody waits for ever when it is wrong.
                gate.open();
                assert_eq!(seen, Some(0));
                thread::yield_now();
            }
        });
        assert_eq!(gate.calls(), 40_000);
    }

    #[test]
    fn a_call_that_outlasts_the_deadline_keeps_the_gate_open() {
        let gate = Gate::default();
        let _pass = gate.enter();
        assert!(!gate.close(Instant::now(), &|| false));
        assert!(!gate.close(soon(), &|| true));
        assert!(gate.enter().is_some());
    }

    #[test]
    fn closed_beside_a_call_holds_others_back() {
        let gate = Gate::default();
        let pass = gate.enter();
        assert_eq!(gate.close_beside_calls(Instant::now(), &|| false), Some(false));
        thread::scope(|scope| {
            let waiting = scope.spawn(|| gate.enter().is_none());
            while gate.turned_away.load(Ordering::SeqCst) == 0 {
                thread::yield_now();
            }
            gate.move_on();
            assert!(waiting.join().unwrap());
        });
        assert!(!gate.is_over(), "the call is still inside");
        drop(pass);
        assert!(gate.is_over());
        assert_eq!(gate.close_beside_calls(soon(), &|| false), None);
    }

    #[test]
    fn the_owner_gets_in_while_it_is_closed_and_counts_as_inside() {
        let gate = Gate::default();
        assert!(gate.close(soon(), &|| false));
        let pass = gate.enter_closed();
        assert!(pass.is_some());
        gate.move_on();
        assert!(!gate.is_over());
        drop(pass);
        assert!(gate.is_over());
        assert!(gate.enter_closed().is_none());
        assert!(gate.is_over());
        gate.open();
        assert!(gate.enter().is_none(), "what has moved does not come back");
        assert_eq!(gate.calls(), 0);
    }

    #[test]
    fn who_waits_is_sent_on_when_the_work_has_moved() {
        let gate = Gate::default();
        assert!(gate.close(soon(), &|| false));
        thread::scope(|scope| {
            let waiting = scope.spawn(|| gate.enter().is_none());
            while gate.turned_away.load(Ordering::SeqCst) == 0 {
                thread::yield_now();
            }
            gate.move_on();
            assert!(waiting.join().unwrap());
        });
        assert!(gate.enter().is_none());
    }
}
