//! State, from one generation to the next or to the disk.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    generation::Generation,
    patience::{self, Lost},
};

/// A generation that answers no calls: they wait until this is settled. Dropping it lets them in
/// again, so that whatever goes wrong in between leaves the generation serving.
pub struct Quiet {
    generation: Arc<Generation>,
    patience: Duration,
    settled: bool,
}

impl Quiet {
    /// Holds new calls back and waits for the running ones.
    ///
    /// # Errors
    /// Where one of them outlasts `patience`; the generation serves on.
    pub fn keep(generation: &Arc<Generation>, patience: Duration) -> Result<Self, String> {
        if generation.live().gate().close(Instant::now() + patience) {
            let generation = Arc::clone(generation);
            return Ok(Self { generation, patience, settled: false });
        }
        let seconds = patience.as_secs_f64();
        Err(format!("a running call of generation {} outlasted {seconds} s", generation.number))
    }

    /// The generation's state; `None` where it keeps none.
    ///
    /// # Errors
    /// What the plugin says, or that it took too long.
    pub fn save(&self) -> Result<Option<Vec<u8>>, String> {
        let generation = Arc::clone(&self.generation);
        patience::within(self.patience, "save", move || generation.live().save())
            .unwrap_or_else(|lost| Err(explain("save", lost, self.patience)))
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

/// Hands state to a generation that has not been called yet.
///
/// # Errors
/// What the plugin says, or that it took too long.
pub fn restore(
    generation: &Arc<Generation>,
    state: Arc<[u8]>,
    time: Duration,
) -> Result<(), String> {
    let generation = Arc::clone(generation);
    patience::within(time, "restore", move || generation.live().restore(&state))
        .unwrap_or_else(|lost| Err(explain("restore", lost, time)))
}

fn explain(what: &str, lost: Lost, time: Duration) -> String {
    match lost {
        Lost::TimedOut => format!("its `{what}` took longer than {} s", time.as_secs_f64()),
        Lost::Failed => format!("its `{what}` ended without a result"),
    }
}
