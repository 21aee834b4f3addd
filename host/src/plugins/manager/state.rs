//! State: handed over, written down, and saved for the last time.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use super::Manager;
use crate::plugins::{
    generation::Generation,
    handover::{self, NotQuiet, Quiet},
    patience::Patience,
    retired,
};

/// What there is, at the least, to save states when the host ends.
pub const LAST_SAVES: Duration = Duration::from_secs(2);

impl Manager {
    /// A generation that keeps state, without running calls; `None` for one that keeps none.
    pub(super) fn quiet(
        &self,
        generation: Option<&Arc<Generation>>,
        force: bool,
    ) -> Result<Option<Quiet>, NotQuiet> {
        let Some(generation) = generation.filter(|one| one.live().saves()) else {
            return Ok(None);
        };
        let give_up = || self.shared.shutdown.is_stopping();
        let pause = Patience { time: self.shared.config.handover_pause, give_up: &give_up };
        let quiet = if force { Quiet::force } else { Quiet::keep };
        quiet(generation, &pause).map(Some)
    }

    /// State, from the generation before, or else from the disk. Returns its size in bytes.
    pub(super) fn hand_over(
        &self,
        old: Option<&Quiet>,
        new: &Arc<Generation>,
    ) -> Result<Option<u64>, String> {
        let (name, give_up) = (&new.manifest.name, || self.shared.shutdown.is_stopping());
        let patience = self.patience(&give_up);
        let state = match old {
            Some(old) => old.save(&patience)?,
            None if new.live().saves() => self
                .states
                .load(name)
                .map_err(|error| format!("its saved state cannot be read: {error}"))?,
            None => None,
        };
        let Some(state) = state else { return Ok(None) };
        let size = Some(state.len() as u64);
        if new.live().saves() {
            handover::restore(new, state, &patience).map_err(|problem| match old {
                Some(_) => problem,
                None => format!(
                    "{problem}; the state is in {}, move it away to start anew",
                    self.states.file(name).display()
                ),
            })?;
        } else {
            log::warn!("plugin {name}: the new version keeps no state; the old state is on disk");
            self.keep_state(name, &state, soon())?;
        }
        Ok(size)
    }

    /// Writes the state of a generation to the disk.
    pub(super) fn save(&self, quiet: &Quiet) -> Result<(), String> {
        let give_up = || self.shared.shutdown.is_stopping();
        match quiet.save(&self.patience(&give_up))? {
            Some(state) => self.keep_state(&quiet.generation().manifest.name, &state, soon()),
            None => Ok(()),
        }
    }

    fn keep_state(&self, plugin: &str, state: &[u8], deadline: Instant) -> Result<(), String> {
        let kept = self.states.keep(plugin, state, deadline);
        kept.map_err(|error| format!("its state cannot be written to the disk: {error}"))
    }

    pub(super) fn patience<'a>(&self, give_up: &'a dyn Fn() -> bool) -> Patience<'a> {
        Patience { time: self.shared.config.handover_timeout, give_up }
    }

    /// Saves every state; then withdraws and unloads everything, as far as it ends in time. Returns
    /// whether all of it has ended.
    pub(super) fn end(mut self, unload: bool) -> bool {
        let now = Instant::now();
        let deadline = self.shared.shutdown.deadline().unwrap_or(now).max(now + LAST_SAVES);
        let serving: Vec<_> =
            self.slots.values().filter_map(|slot| slot.generation().cloned()).collect();
        // At once, so that one that does not return costs the others nothing.
        thread::scope(|scope| {
            for generation in &serving {
                scope.spawn(|| self.save_last(generation, deadline));
            }
        });
        if !unload {
            return true;
        }
        self.slots.values_mut().for_each(|slot| slot.serving = None);
        self.publish();
        self.retired.extend(serving);
        let deadline = deadline.max(Instant::now() + LAST_SAVES);
        while self.retired.is_busy() && Instant::now() < deadline {
            self.tick();
            thread::sleep(retired::TICK);
        }
        !self.retired.is_busy()
    }

    /// Saves a state for the last time. Where a call does not end, it is saved beside that call:
    /// there will be no other chance.
    fn save_last(&self, generation: &Arc<Generation>, deadline: Instant) {
        if !generation.live().saves() {
            return;
        }
        let left = || Patience {
            time: deadline.saturating_duration_since(Instant::now()),
            give_up: &|| false,
        };
        let half = Patience { time: left().time / 2, ..left() };
        let quiet = Quiet::keep(generation, &half);
        if let Err(problem) = &quiet {
            log::warn!("plugin {}: saved while in use: {problem}", generation.manifest.name);
        }
        let saved = handover::save(generation, &left());
        let kept = saved.and_then(|state| match state {
            Some(state) => self.keep_state(&generation.manifest.name, &state, deadline),
            None => Ok(()),
        });
        if let Err(problem) = kept {
            log::error!("plugin {}: state not saved: {problem}", generation.manifest.name);
        }
    }
}

/// For how long it is tried to replace a file of state that somebody else has.
fn soon() -> Instant {
    Instant::now() + Duration::from_secs(1)
}
