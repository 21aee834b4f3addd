//! The gate's guarantees, in every order of the threads that the memory model allows.
//!
//! Work inside the gate reads a cell; an action that must exclude work changes the cell. Loom
//! reports a read and a change without an order between them, and a thread that waits for ever.
#![allow(clippy::arc_with_non_send_sync, reason = "loom's cells are shared by threads in turns")]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use dropin_loom::{gate::Gate, sync::use_stripe};
use loom::{
    cell::UnsafeCell,
    thread::{self, JoinHandle},
};

/// A gate and the cell behind it.
#[derive(Default)]
struct Guarded {
    gate: Gate,
    cell: UnsafeCell<()>,
}

impl Guarded {
    /// Works inside the gate.
    fn work(&self) {
        self.cell.with(|_| ());
    }

    /// Acts as the gate's owner may while nobody works inside.
    fn change(&self) {
        self.cell.with_mut(|_| ());
    }

    fn close(&self) -> bool {
        self.gate.close(far_away(), &|| false)
    }

    fn call(&self) -> bool {
        let guard = self.gate.enter();
        if guard.is_some() {
            self.work();
        }
        guard.is_some()
    }
}

/// Runs `threads` in every order in which a running thread is interrupted at most this often.
fn model_with_interruptions(most: usize, threads: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(most);
    builder.check(threads);
}

/// Returns a time that no model reaches.
fn far_away() -> Instant {
    Instant::now() + Duration::from_secs(3600)
}

/// Runs `work` in a thread that counts in this stripe.
fn on_stripe<T: 'static>(
    stripe: usize,
    guarded: &Arc<Guarded>,
    work: impl FnOnce(&Guarded) -> T + 'static,
) -> JoinHandle<T> {
    let guarded = Arc::clone(guarded);
    thread::spawn(move || {
        use_stripe(stripe);
        work(&guarded)
    })
}

#[test]
fn closed_gate_has_no_call_inside() {
    loom::model(|| {
        let guarded = Arc::new(Guarded::default());
        let call = on_stripe(1, &guarded, Guarded::call);
        assert!(guarded.close());
        guarded.change();
        guarded.gate.open();
        assert!(call.join().unwrap(), "the gate was opened");
        assert_eq!(guarded.gate.calls(), 1);
    });
}

#[test]
fn closed_gate_has_neither_of_two_calls_inside() {
    model_with_interruptions(2, || {
        let guarded = Arc::new(Guarded::default());
        let calls = [0, 1].map(|stripe| on_stripe(stripe, &guarded, Guarded::call));
        assert!(guarded.close());
        guarded.change();
        guarded.gate.open();
        assert!(calls.into_iter().all(|call| call.join().unwrap()));
        assert_eq!(guarded.gate.calls(), 2);
    });
}

#[test]
fn abandoned_close_lets_calls_in() {
    loom::model(|| {
        let guarded = Arc::new(Guarded::default());
        let call = on_stripe(1, &guarded, Guarded::call);
        if guarded.gate.close(far_away(), &|| true) {
            guarded.change();
            guarded.gate.open();
        }
        assert!(call.join().unwrap());
        assert_eq!(guarded.gate.calls(), 1);
    });
}

#[test]
fn opened_gate_lets_waiting_calls_in() {
    loom::model(|| {
        let guarded = Arc::new(Guarded::default());
        assert!(guarded.close());
        let call = on_stripe(1, &guarded, Guarded::call);
        guarded.gate.open();
        assert!(call.join().unwrap());
        assert_eq!(guarded.gate.calls(), 1);
    });
}

#[test]
fn moved_gate_counts_or_turns_back() {
    loom::model(|| {
        let guarded = Arc::new(Guarded::default());
        let call = on_stripe(1, &guarded, Guarded::call);
        guarded.gate.retire();
        if guarded.gate.is_drained() {
            guarded.change();
        }
        let has_entered = call.join().unwrap();
        assert_eq!(guarded.gate.calls(), u64::from(has_entered));
        assert!(guarded.gate.is_drained() && !guarded.call());
    });
}

#[test]
fn calls_on_one_stripe_are_distinguished() {
    model_with_interruptions(3, || {
        let guarded = Arc::new(Guarded::default());
        let calls = [1, 1].map(|stripe| on_stripe(stripe, &guarded, Guarded::call));
        guarded.gate.retire();
        if guarded.gate.is_drained() {
            guarded.change();
        }
        let entered = calls.map(|call| u64::from(call.join().unwrap()));
        assert_eq!(guarded.gate.calls(), entered.iter().sum());
        assert!(guarded.gate.is_drained());
    });
}

#[test]
fn waiting_call_is_turned_back_once_moved() {
    loom::model(|| {
        let guarded = Arc::new(Guarded::default());
        assert!(guarded.close());
        let call = on_stripe(1, &guarded, Guarded::call);
        guarded.gate.retire();
        assert!(!call.join().unwrap());
        assert!(guarded.gate.is_drained());
    });
}

#[test]
fn gate_is_not_over_during_a_visit() {
    loom::model(|| {
        let guarded = Arc::new(Guarded::default());
        let keep_alive = on_stripe(1, &guarded, |guarded| {
            let keep_alive = guarded.gate.keep_alive();
            keep_alive.is_some().then(|| guarded.work()).is_some()
        });
        guarded.gate.retire();
        if guarded.gate.is_drained() {
            guarded.change();
        }
        keep_alive.join().unwrap();
        assert!(guarded.gate.is_drained() && guarded.gate.keep_alive().is_none());
    });
}

#[test]
fn gate_is_not_over_with_its_owner_inside() {
    loom::model(|| {
        let guarded = Arc::new(Guarded::default());
        assert!(guarded.close());
        let owner = on_stripe(1, &guarded, |guarded| {
            let guard = guarded.gate.enter_closed();
            guard.is_some().then(|| guarded.work()).is_some()
        });
        guarded.gate.retire();
        if guarded.gate.is_drained() {
            guarded.change();
        }
        owner.join().unwrap();
        assert!(guarded.gate.is_drained());
        assert_eq!(guarded.gate.calls(), 0);
    });
}
