//! Replaces `crates/plugin-engine/src/live/sync.rs`: the same names with loom's types.

use std::{cell::Cell, sync::LockResult, time::Duration};

use loom::sync::atomic::Ordering;
pub(crate) use loom::sync::{Mutex, MutexGuard};
use loom::sync::{WaitTimeoutResult, atomic};

/// Fewer than in the host: two suffice for threads that share a stripe and threads that do not.
pub(crate) const STRIPES: usize = 2;

loom::thread_local! {
    static MINE: Cell<usize> = Cell::new(0);
}

/// Assigns a stripe to the calling thread; the default is the first one.
pub fn use_stripe(index: usize) {
    MINE.with(|mine| mine.set(index));
}

pub(crate) fn stripe_of_this_thread() -> usize {
    MINE.with(Cell::get)
}

/// Loom's condition variable with `wait_while`. A wait with a timeout never times out, so that a
/// closer that is never woken is a deadlock, which loom reports.
pub(crate) struct Condvar(loom::sync::Condvar);

impl Condvar {
    pub(crate) fn new() -> Self {
        Self(loom::sync::Condvar::new())
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }

    pub(crate) fn wait_while<'a, T>(
        &self,
        mut guard: MutexGuard<'a, T>,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> LockResult<MutexGuard<'a, T>> {
        while condition(&mut guard) {
            guard = self.0.wait(guard)?;
        }
        Ok(guard)
    }

    pub(crate) fn wait_timeout<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        timeout: Duration,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)> {
        self.0.wait_timeout(guard, timeout)
    }
}

/// An atomic type whose initial value is stored sequentially consistently. Loom lets a sequentially
/// consistent load see an older value only if that one was stored in another way, as its own
/// initial values are: C++ does not allow it.
macro_rules! atomic {
    ($name:ident, $value:ty) => {
        pub(crate) struct $name(atomic::$name);

        impl $name {
            pub(crate) fn new(value: $value) -> Self {
                let new = Self(atomic::$name::new(value));
                new.0.store(value, Ordering::SeqCst);
                new
            }

            pub(crate) fn load(&self, ordering: Ordering) -> $value {
                self.0.load(ordering)
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::new(Default::default())
            }
        }
    };
}

atomic!(AtomicBool, bool);
atomic!(AtomicU64, u64);

impl AtomicBool {
    pub(crate) fn store(&self, value: bool, ordering: Ordering) {
        self.0.store(value, ordering);
    }
}

impl AtomicU64 {
    pub(crate) fn fetch_add(&self, value: u64, ordering: Ordering) -> u64 {
        self.0.fetch_add(value, ordering)
    }

    pub(crate) fn fetch_sub(&self, value: u64, ordering: Ordering) -> u64 {
        self.0.fetch_sub(value, ordering)
    }
}
