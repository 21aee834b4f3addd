//! The work that valgrind counts.

use std::hint::black_box;

/// Runs the counted work: valgrind counts everything below this function, in this thread.
#[inline(never)]
pub fn counted<R>(work: impl FnOnce() -> R) -> R {
    // Work in the same frame after the call prevents a tail call.
    black_box(work())
}
