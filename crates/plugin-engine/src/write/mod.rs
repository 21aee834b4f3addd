//! Commands that change the state of a plugin: one at a time, in the order of their journal.

pub mod order;
pub mod transaction;
mod worker;
mod write_context;

pub use self::{
    order::{OrderGuard, WriteOrder},
    transaction::{NotBegun, Transaction},
    worker::WritingWorker,
    write_context::WriteContext,
};

use std::time::{SystemTime, UNIX_EPOCH};

/// Returns the present time, in milliseconds since 1970.
#[must_use]
pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
