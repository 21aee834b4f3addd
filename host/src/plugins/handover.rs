//! State, from one generation to the next or to the disk.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use super::{
    generation::Generation,
    patience::{Lost, Patience},
};
use crate::crash;

/// A generation that answers no calls: they wait until this is settled. Dropping it lets them in
/// again, so that whatever goes wrong in between leaves the generation serving.
pub struct Quiet {
    generation: Arc<Generation>,
    settled: bool,
}

/// Why a generation is not quiet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum NotQuiet {
    /// An earlier `save` of it has not returned: calls would only be held up in vain.
    Saving,
    /// A call of the generation with this number outlasted this time.
    Busy(u64, Duration),
}

impl Quiet {
    /// Holds new calls back and waits for the running ones.
    ///
    /// # Errors
    /// Where one of them outlasts `patience`, or an earlier `save` is still running; the generation
    /// serves on.
    pub fn keep(generation: &Arc<Generation>, patience: &Patience<'_>) -> Result<Self, NotQuiet> {
        if generation.saving.load(Ordering::SeqCst) {
            return Err(NotQuiet::Saving);
        }
        let deadline = Instant::now() + patience.time;
        if generation.live().gate().close(deadline, patience.give_up) {
            return Ok(Self { generation: Arc::clone(generation), settled: false });
        }
        Err(NotQuiet::Busy(generation.number, patience.time))
    }

    /// Holds new calls back, waits for the running ones, and goes on without those that outlast
    /// `patience`: what they change from then on is lost.
    ///
    /// # Errors
    /// Where an earlier `save` is still running; the generation serves on.
    pub fn force(generation: &Arc<Generation>, patience: &Patience<'_>) -> Result<Self, NotQuiet> {
        if generation.saving.load(Ordering::SeqCst) {
            return Err(NotQuiet::Saving);
        }
        let deadline = Instant::now() + patience.time;
        let _ = generation.live().gate().close_beside_calls(deadline, patience.give_up);
        Ok(Self { generation: Arc::clone(generation), settled: false })
    }

    /// The generation.
    #[must_use]
    pub fn generation(&self) -> &Generation {
        &self.generation
    }

    /// The generation's state; `None` where it keeps none.
    ///
    /// # Errors
    /// What the plugin says, or that it took too long.
    pub fn save(&self, patience: &Patience<'_>) -> Result<Option<Vec<u8>>, String> {
        save(&self.generation, patience)
    }

    /// Leaves the gate closed: nothing comes after this generation.
    pub fn leave_closed(mut self) {
        self.settled = true;
    }

    /// Ends it: who waits is sent to the table, where the work has moved.
    pub fn move_on(mut self) {
        self.generation.live().gate().move_on();
        self.settled = true;
    }
}

impl fmt::Display for NotQuiet {
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

impl Drop for Quiet {
    fn drop(&mut self) {
        if !self.settled {
            self.generation.live().gate().open();
        }
    }
}

/// A generation's state, whether it is quiet or not; `None` where it keeps none.
///
/// # Errors
/// What the plugin says, or that it took too long.
pub fn save(
    generation: &Arc<Generation>,
    patience: &Patience<'_>,
) -> Result<Option<Vec<u8>>, String> {
    let saving = Arc::clone(generation);
    saving.saving.store(true, Ordering::SeqCst);
    let saved = generation.within(patience, "save", move || {
        let saved = run_save(&saving);
        saving.saving.store(false, Ordering::SeqCst);
        saved
    });
    saved.unwrap_or_else(|lost| {
        if lost == Lost::NoThread {
            generation.saving.store(false, Ordering::SeqCst);
        }
        Err(lost.explain("save", patience.time))
    })
}

/// As [`save`], but without a deadline rather than not at all where the system has no thread for it.
///
/// # Errors
/// What the plugin says, or that it took too long.
pub fn save_last(
    generation: &Arc<Generation>,
    patience: &Patience<'_>,
) -> Result<Option<Vec<u8>>, String> {
    let saving = Arc::clone(generation);
    let saved = generation.within(patience, "save", move || run_save(&saving));
    saved.unwrap_or_else(|lost| match lost {
        Lost::NoThread => run_save(generation),
        Lost::GivenUp => Err("its `save` has not returned in time".into()),
        lost => Err(lost.explain("save", patience.time)),
    })
}

fn run_save(generation: &Generation) -> Result<Option<Vec<u8>>, String> {
    crash::in_plugin(&generation.manifest.name, "save", || generation.live().save())
}

/// Hands state to a generation that has not been called yet.
///
/// # Errors
/// What the plugin says, or that it took too long.
pub fn restore(
    generation: &Arc<Generation>,
    state: Vec<u8>,
    patience: &Patience<'_>,
) -> Result<(), String> {
    let restoring = Arc::clone(generation);
    let restored = generation.within(patience, "restore", move || {
        let name = &restoring.manifest.name;
        crash::in_plugin(name, "restore", || restoring.live().restore(&state))
    });
    restored.unwrap_or_else(|lost| Err(lost.explain("restore", patience.time)))
}
