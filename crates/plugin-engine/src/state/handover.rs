//! Transfers state from one generation to the next, or to the disk.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use crate::{
    live::{
        deadline::{Deadline, TimedOut},
        generation::Generation,
        place,
    },
    write::OrderGuard,
};

/// A generation whose new calls wait until this is settled. Dropping it lets them in again, so that
/// any failure in between leaves the generation serving.
pub struct Quiesced {
    generation: Arc<Generation>,
    settled: bool,
    /// True if no command is journaled meanwhile, since one has the turn.
    is_suspended: bool,
    // Behind the gate's change in `drop`: a call that gets the turn then finds its state.
    turn: Option<OrderGuard>,
}

/// The reason for which a generation could not be quiesced.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum NotQuiesced {
    /// An earlier `save` of it has not returned: holding calls back would be in vain.
    Saving,
    /// A call of the generation with this number outlasted this time.
    Busy(u64, Duration),
}

impl Quiesced {
    /// Holds new calls back and waits for the running ones.
    ///
    /// # Errors
    /// A running call outlasts `deadline`, or an earlier `save` has not returned; the generation
    /// keeps serving.
    pub fn begin(
        generation: &Arc<Generation>,
        deadline: &Deadline<'_>,
    ) -> Result<Self, NotQuiesced> {
        if generation.saving.load(Ordering::SeqCst) {
            return Err(NotQuiesced::Saving);
        }
        let expires_at = Instant::now() + deadline.time;
        let turn = generation.order.lock_until(expires_at, deadline.give_up);
        if turn.is_some() && generation.live().gate().close(expires_at, deadline.give_up) {
            let generation = Arc::clone(generation);
            return Ok(Self { generation, settled: false, is_suspended: false, turn });
        }
        Err(NotQuiesced::Busy(generation.number, deadline.time))
    }

    /// Holds new calls back, waits for the running ones, and continues without those that outlast
    /// `deadline`: their later changes are lost.
    ///
    /// # Errors
    /// An earlier `save` has not returned; the generation keeps serving.
    pub fn force(
        generation: &Arc<Generation>,
        deadline: &Deadline<'_>,
    ) -> Result<Self, NotQuiesced> {
        if generation.saving.load(Ordering::SeqCst) {
            return Err(NotQuiesced::Saving);
        }
        let expires_at = Instant::now() + deadline.time;
        let turn = generation.order.lock_until(expires_at, deadline.give_up);
        let is_suspended = turn.is_none();
        if let Some(durable) = generation.order.durable().filter(|_| is_suspended) {
            // The command that has the turn is too late for the state that is taken now.
            durable.suspend();
        }
        let _ = generation.live().gate().close_beside_calls(expires_at, deadline.give_up);
        let generation = Arc::clone(generation);
        Ok(Self { generation, settled: false, is_suspended, turn })
    }

    /// Returns the generation.
    pub fn generation(&self) -> &Arc<Generation> {
        &self.generation
    }

    /// Returns the generation's state; `None` if it keeps none.
    ///
    /// # Errors
    /// The plugin's error, or that it does not return in time.
    pub fn save(&self, deadline: &Deadline<'_>) -> Result<Option<Vec<u8>>, String> {
        save(&self.generation, deadline)
    }

    /// Leaves the gate closed, since no other generation follows. Commands that write wait for
    /// their turn from then on.
    pub fn leave_closed(mut self) {
        self.settled = true;
        if let Some(turn) = self.turn.take() {
            self.generation.order.close(turn);
        }
    }

    /// Retires the gate: waiting calls look their command up again and find the successor.
    pub fn retire(mut self) {
        self.generation.order.retire();
        self.generation.live().gate().retire();
        self.settled = true;
    }
}

impl fmt::Display for NotQuiesced {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Saving => out.write_str("an earlier `save` of it has not returned yet"),
            Self::Busy(number, time) => {
                let seconds = time.as_secs_f64();
                write!(out, "a running call of generation {number} outlasted {seconds} s")
            }
        }
    }
}

impl Drop for Quiesced {
    fn drop(&mut self) {
        if !self.settled {
            if let Some(durable) = self.generation.order.durable().filter(|_| self.is_suspended) {
                durable.resume(self.generation.number);
            }
            self.generation.live().gate().open();
        }
    }
}

/// Returns a generation's state, even while calls are running; `None` if it keeps none.
///
/// # Errors
/// The plugin's error, or that it does not return in time.
pub fn save(
    generation: &Arc<Generation>,
    deadline: &Deadline<'_>,
) -> Result<Option<Vec<u8>>, String> {
    let saving = Arc::clone(generation);
    saving.saving.store(true, Ordering::SeqCst);
    let saved = generation.within(deadline, "save", move || {
        let saved = run_save(&saving);
        saving.saving.store(false, Ordering::SeqCst);
        saved
    });
    saved.unwrap_or_else(|timed_out| {
        if timed_out == TimedOut::NoThread {
            generation.saving.store(false, Ordering::SeqCst);
        }
        Err(timed_out.explain("save", deadline.time))
    })
}

/// Works as [`save`], but without a deadline if the system cannot start a thread for it.
///
/// # Errors
/// The plugin's error, or that it does not return in time.
pub fn save_last(
    generation: &Arc<Generation>,
    deadline: &Deadline<'_>,
) -> Result<Option<Vec<u8>>, String> {
    let saving = Arc::clone(generation);
    let saved = generation.within(deadline, "save", move || run_save(&saving));
    saved.unwrap_or_else(|timed_out| match timed_out {
        TimedOut::NoThread => run_save(generation),
        TimedOut::GivenUp => Err("its `save` has not returned in time".into()),
        timed_out => Err(timed_out.explain("save", deadline.time)),
    })
}

fn run_save(generation: &Generation) -> Result<Option<Vec<u8>>, String> {
    place::in_plugin(&generation.manifest.name, "save", || generation.live().save())
}

/// Hands state to a generation that has not been called yet.
///
/// # Errors
/// The plugin's error, or that it does not return in time.
pub fn restore(
    generation: &Arc<Generation>,
    state: Vec<u8>,
    deadline: &Deadline<'_>,
) -> Result<(), String> {
    let restoring = Arc::clone(generation);
    let restored = generation.within(deadline, "restore", move || {
        let name = &restoring.manifest.name;
        place::in_plugin(name, "restore", || restoring.live().restore(&state))
    });
    restored.unwrap_or_else(|timed_out| Err(timed_out.explain("restore", deadline.time)))
}
