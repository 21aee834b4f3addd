//! The order of the writing commands of one generation: they run one at a time.
//!
//! The lock is taken before the gate of the plugin is passed, by calls and by the manager alike. A
//! thread that has it must not wait for a worker process: the start of a process waits for the lock,
//! since it replays the journal.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::{ArcMutexGuard, Mutex, MutexGuard, RawMutex};

use crate::{
    call::{CallContext, Worker},
    state::durable::Durable,
};

/// Interval at which a waiting call looks for its cancellation.
const SLICE: Duration = Duration::from_millis(50);

/// The order of the writing commands of one generation.
#[derive(Default)]
pub struct WriteOrder {
    /// Room for the record of the command that runs.
    lock: Arc<Mutex<Vec<u8>>>,
    durable: OnceLock<Arc<Durable>>,
    /// The number of the generation.
    owner: u64,
    /// True once another generation serves.
    is_retired: AtomicBool,
    /// The turn that is never given back, once no command may write any more.
    last: OnceLock<OrderGuard>,
}

/// The reason for which a writing command cannot run now: the kind and the text of an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotWritable(pub &'static str, pub String);

/// The turn of a writing command, or of the manager.
pub type OrderGuard = ArcMutexGuard<RawMutex, Vec<u8>>;

impl WriteOrder {
    /// Makes the order of the generation of this number.
    #[must_use]
    pub fn new(owner: u64) -> Self {
        Self { owner, ..Self::default() }
    }

    /// Returns the number of the generation.
    #[must_use]
    pub fn owner(&self) -> u64 {
        self.owner
    }

    /// Sets where its commands are kept; once, before the first call.
    pub fn attach(&self, durable: Arc<Durable>) {
        // A second one is a mistake of the manager, and has no effect.
        let _ = self.durable.set(durable);
    }

    /// Returns where the state of its plugin is kept; `None` if it keeps none.
    pub fn durable(&self) -> Option<&Arc<Durable>> {
        self.durable.get()
    }

    /// Returns where its commands are journaled; `None` if they are not.
    pub fn journal(&self) -> Option<&Arc<Durable>> {
        self.durable.get().filter(|durable| durable.has_journal())
    }

    /// Waits for the turn of a call, and until its process is ready.
    ///
    /// # Errors
    /// The call was cancelled, or its process does not start.
    pub(super) fn wait(
        &self,
        worker: &dyn Worker,
        context: &dyn CallContext,
    ) -> Result<MutexGuard<'_, Vec<u8>>, NotWritable> {
        loop {
            if self.is_retired() {
                // The gate is retired as well, and sends the call back.
                return self.wait_for_lock(context);
            }
            if let Err(text) = worker.wait_until_ready() {
                if self.is_retired() {
                    continue;
                }
                return Err(NotWritable("UNAVAILABLE", text));
            }
            let guard = self.wait_for_lock(context)?;
            if worker.is_ready() {
                return Ok(guard);
            }
        }
    }

    /// Waits for the turn of a call.
    ///
    /// # Errors
    /// The call was cancelled.
    pub(super) fn wait_for_lock(
        &self,
        context: &dyn CallContext,
    ) -> Result<MutexGuard<'_, Vec<u8>>, NotWritable> {
        if let Some(guard) = self.lock.try_lock() {
            return Ok(guard);
        }
        loop {
            if let Some(guard) = self.lock.try_lock_for(SLICE) {
                return Ok(guard);
            }
            if context.wait_for_cancel(Duration::ZERO) {
                let text = "the command was cancelled while it waited for another one that writes";
                return Err(NotWritable("CANCELLED", text.into()));
            }
        }
    }

    /// Waits for the turn until `deadline`, or until `give_up` returns true.
    pub fn lock_until(&self, deadline: Instant, give_up: &dyn Fn() -> bool) -> Option<OrderGuard> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if let Some(guard) = self.lock.try_lock_arc_for(left.min(SLICE)) {
                return Some(guard);
            }
            if left.is_zero() || give_up() {
                return None;
            }
        }
    }

    /// Keeps a turn for good: commands that write wait until they are cancelled.
    pub fn close(&self, turn: OrderGuard) {
        // There is one turn, so that no other one is kept.
        let _ = self.last.set(turn);
    }

    /// Notes that another generation serves: transactions look their commands up again.
    pub fn retire(&self) {
        self.is_retired.store(true, Ordering::Release);
    }

    /// Returns true once another generation serves.
    #[must_use]
    pub fn is_retired(&self) -> bool {
        self.is_retired.load(Ordering::Acquire)
    }

    /// Checks that a command which writes may run.
    ///
    /// # Errors
    /// The disk is full or fails.
    pub(super) fn check(&self) -> Result<(), NotWritable> {
        match self.durable.get() {
            Some(durable) if durable.is_failing() => {
                Err(NotWritable("MISCONF", durable.explain_failure()))
            }
            _ => Ok(()),
        }
    }
}
