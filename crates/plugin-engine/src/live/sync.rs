//! Names the types of the standard library that the gate uses to synchronize, and its number of
//! stripes. The model in `loom/` checks the same gate with a module of its own in place of this
//! one.

pub(crate) use std::sync::{
    Condvar, Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicU64},
};
use std::{
    cell::Cell,
    sync::atomic::{AtomicUsize, Ordering},
};

/// The number of counters. If there are more threads, some share a counter, which is only slower.
pub(crate) const STRIPES: usize = 32;

/// Returns the stripe of the calling thread, always the same one.
#[inline]
pub(crate) fn stripe_of_this_thread() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static MINE: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    MINE.with(|mine| {
        if mine.get() == usize::MAX {
            mine.set(NEXT.fetch_add(1, Ordering::Relaxed) % STRIPES);
        }
        mine.get()
    })
}
