//! State, from one generation to the next or to the disk.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use super::{
    generation::Generation,
    patience::{self, Lost, Patience},
};

/// A generation that answers no calls: they wait until this is settled. Dropping it lets them in
/// again, so that whatever goes wrong in between leaves the generation serving.
pub struct Quiet {
    generation: Arc<Generation>,
    settled: bool,
}

impl Quiet {
    /// Holds new calls back and waits for the running ones.
    ///
    /// # Errors
    /// Where one of them outlasts `patience`, or an earlier `save` is still running; the generation
    /// serves on.
    pub fn keep(generation: &Arc<Generation>, patience: &Patience<'_>) -> Result<Self, String> {
        if generation.saving.load(Ordering::SeqCst) {
            // Calls would only be held up in vain.
            return Err("an earlier `save` of it has not returned yet".into());
        }
        let deadline = Instant::now() + patience.time;
        if generation.live().gate().close(deadline, patience.give_up) {
            return Ok(Self { generation: Arc::clone(generation), settled: false });
        }
        let seconds = patience.time.as_secs_f64();
        Err(format!("a running call of generation {} outlasted {seconds} s", generation.number))
    }

    /// The generation's state; `None` where it keeps none.
    ///
    /// # Errors
    /// What the plugin says, or that it took too long.
    pub fn save(&self, patience: &Patience<'_>) -> Result<Option<Vec<u8>>, String> {
        save(&self.generation, patience)
    }

    /// Ends it: who waits is sent to the table, where the work has moved.
    pub fn move_on(mut self) {
        self.generation.live().gate().move_on();
        self.settled = true;
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
    let saved = patience::within(patience, "save", move || {
        let saved = saving.live().save();
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
    let saved = patience::within(patience, "save", move || saving.live().save());
    saved.unwrap_or_else(|lost| match lost {
        Lost::NoThread => generation.live().save(),
        Lost::GivenUp => Err("its `save` has not returned in time".into()),
        lost => Err(lost.explain("save", patience.time)),
    })
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
    let generation = Arc::clone(generation);
    patience::within(patience, "restore", move || generation.live().restore(&state))
        .unwrap_or_else(|lost| Err(lost.explain("restore", patience.time)))
}
