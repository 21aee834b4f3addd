//! Hands state over, writes it to the disk, and saves it at the host's end.

use std::{
    cell::Cell,
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use super::{Manager, retired};
use crate::{
    live::{deadline::Deadline, generation::Generation},
    state::{
        handover::{self, NotQuiesced, Quiesced},
        parallel,
        saves::{Saves, Stage},
        store::RESTORED_PER_SECOND,
    },
};

/// The least time to unload everything when the host ends.
pub const LAST_UNLOADS: Duration = Duration::from_secs(2);

/// The wait for running calls before a state is saved while they run: they have had the grace
/// already.
const LAST_CALLS: Duration = Duration::from_secs(1);

/// Longer than any flag allows.
const UNBOUNDED: Duration = Duration::from_secs(400 * 86_400);

/// Interval at which the log reports the progress of a write, while the host serves.
const REPORT_INTERVAL: Duration = Duration::from_secs(5);

impl Manager {
    /// Pauses a generation that keeps state; returns `None` for one that keeps none.
    pub(super) fn quiesce(
        &self,
        generation: Option<&Arc<Generation>>,
        force: bool,
    ) -> Result<Option<Quiesced>, NotQuiesced> {
        let Some(generation) = generation.filter(|one| one.live().saves()) else {
            return Ok(None);
        };
        let give_up = || self.context.shutdown.is_stopping();
        let pause = Deadline { time: self.context.settings.handover_pause, give_up: &give_up };
        let quiesced = if force { Quiesced::force } else { Quiesced::begin };
        quiesced(generation, &pause).map(Some)
    }

    /// Hands over the state of the earlier generation, or of the disk. Returns its size in bytes.
    pub(super) fn hand_over(
        &self,
        old: Option<&Quiesced>,
        new: &Arc<Generation>,
    ) -> Result<Option<u64>, String> {
        let (name, give_up) = (&new.manifest.name, || self.context.shutdown.is_stopping());
        let deadline = self.deadline(&give_up);
        let state = match old {
            Some(old) => match old.save(&deadline) {
                Ok(state) => state,
                // Its memory is gone, and waiting does not bring it back.
                Err(problem) if old.generation().live().has_lost_state() => {
                    log::warn!("plugin {name}: its state is lost: {problem}; the disk's is taken");
                    self.states.load(name).map_err(|error| error.to_string())?
                }
                Err(problem) => return Err(problem),
            },
            None if new.live().saves() => {
                self.states.load(name).map_err(|error| error.to_string())?
            }
            None => None,
        };
        let Some(state) = state else { return Ok(None) };
        let size = state.len() as u64;
        if !new.live().saves() {
            log::warn!("plugin {name}: the new version keeps no state; the old state is on disk");
            self.keep_state(name, state)?;
        } else if old.is_some() {
            handover::restore(new, state, &deadline)?;
        } else {
            // No calls wait for it.
            let more = Duration::from_secs(size / RESTORED_PER_SECOND);
            let longer = Deadline { time: deadline.time + more, ..deadline };
            handover::restore(new, state, &longer).map_err(|problem| {
                let file = self.states.file(name);
                let file = file.display();
                format!("{problem}; the state is in {file}, move it away to start anew")
            })?;
        }
        Ok(Some(size))
    }

    /// Writes the state of a generation to the disk.
    pub(super) fn save(&self, quiesced: &Quiesced) -> Result<(), String> {
        let give_up = || self.context.shutdown.is_stopping();
        let name = &quiesced.generation().manifest.name;
        match quiesced.save(&self.deadline(&give_up)) {
            Ok(Some(state)) => self.keep_state(name, state),
            Ok(None) => Ok(()),
            Err(problem) if quiesced.generation().live().has_lost_state() => {
                log::warn!("plugin {name}: its state is lost: {problem}; the disk's is kept");
                Ok(())
            }
            Err(problem) => Err(problem),
        }
    }

    /// Writes a state to the disk while the host serves: callers wait for it, and so do changes of
    /// all other plugins.
    fn keep_state(&self, plugin: &str, state: Vec<u8>) -> Result<(), String> {
        let more = Duration::from_secs(state.len() as u64 / RESTORED_PER_SECOND);
        let time = self.context.settings.handover_timeout + more;
        self.write_state(plugin, state, time.min(self.save_timeout()))
    }

    /// Writes a state to the disk, within this time.
    fn write_state(&self, plugin: &str, state: Vec<u8>, time: Duration) -> Result<(), String> {
        let shutdown = &self.context.shutdown;
        let next_report = Cell::new(Instant::now() + REPORT_INTERVAL);
        // Called repeatedly while the disk writes.
        let give_up = || {
            let now = Instant::now();
            // At the host's end another thread reports the progress.
            if now >= next_report.get() && !shutdown.is_stopping() {
                next_report.set(now + REPORT_INTERVAL);
                let progress = self.states.saves().describe(now);
                log::info!("still saving: {}", progress.unwrap_or_else(|| plugin.to_owned()));
            }
            shutdown.is_saving_over()
        };
        let deadline = Deadline { time, give_up: &give_up };
        self.states.keep(plugin, state, &deadline)
    }

    pub(super) fn deadline<'a>(&self, give_up: &'a dyn Fn() -> bool) -> Deadline<'a> {
        Deadline { time: self.context.settings.handover_timeout, give_up }
    }

    /// Returns the progress of saving each state.
    pub fn saves(&self) -> Arc<Saves> {
        Arc::clone(self.states.saves())
    }

    fn save_timeout(&self) -> Duration {
        let timeout = self.context.settings.save_timeout;
        if timeout.is_zero() { UNBOUNDED } else { timeout }
    }

    /// Saves every state, then withdraws and unloads all plugins within the time that is left.
    /// Returns true if all have ended.
    pub(super) fn end(mut self, unload: bool) -> bool {
        let serving: Vec<_> =
            self.slots.values().filter_map(|slot| slot.generation().cloned()).collect();
        self.save_all(&serving);
        if !unload {
            return true;
        }
        self.slots.values_mut().for_each(|slot| slot.serving = None);
        self.publish();
        self.retired.extend(serving);
        let now = Instant::now();
        let deadline = self.context.shutdown.deadline().unwrap_or(now).max(now + LAST_UNLOADS);
        while self.retired.is_busy() && Instant::now() < deadline {
            self.tick();
            thread::sleep(retired::TICK);
        }
        !self.retired.is_busy()
    }

    /// Saves all states in parallel, so that one that does not return delays no other.
    fn save_all(&self, serving: &[Arc<Generation>]) {
        let failed = AtomicUsize::new(0);
        let saving: Vec<_> = serving.iter().filter(|one| one.live().saves()).collect();
        let thread = || thread::Builder::new().name("last save".into());
        let without_thread = |generation: &&Arc<Generation>, error: &io::Error| {
            let name = &generation.manifest.name;
            log::warn!("plugin {name}: cannot start a thread: {error}; its state is saved last");
        };
        parallel::for_each(&saving, thread, without_thread, |generation| {
            if !self.save_last(generation) {
                failed.fetch_add(1, Ordering::SeqCst);
            }
        });
        self.states.saves().finish(failed.into_inner());
    }

    /// Saves a state for the last time. Returns true on success. If a call does not end, the state
    /// is saved while it runs: there is no later chance.
    fn save_last(&self, generation: &Arc<Generation>) -> bool {
        let name = &generation.manifest.name;
        let saves = self.states.saves();
        saves.note(name, Stage::Save);
        let give_up = || self.context.shutdown.is_saving_over();
        let quiesced =
            Quiesced::begin(generation, &Deadline { time: LAST_CALLS, give_up: &give_up });
        if let Err(problem) = &quiesced {
            log::warn!("plugin {name}: saved while in use: {problem}");
        }
        let deadline = Deadline { time: self.save_timeout(), give_up: &give_up };
        let saved = handover::save_last(generation, &deadline);
        let saved = match saved {
            // It was lost when its process ended, which the log has said.
            Err(problem) if generation.live().has_lost_state() => {
                log::warn!("plugin {name}: its saved state stays: {problem}");
                Ok(None)
            }
            saved => saved,
        };
        let kept = saved.and_then(|state| match state {
            Some(state) => self.write_state(name, state, self.save_timeout()),
            None => Ok(()),
        });
        if let (Ok(()), Ok(quiesced)) = (&kept, quiesced) {
            // A later change by a call would be acknowledged and lost.
            quiesced.leave_closed();
        }
        if let Err(problem) = &kept {
            // Its existence is not checked: the disk may hang.
            let file = self.states.file(name);
            let file = file.display();
            log::error!(
                "plugin {name}: state not saved: {problem}; an earlier state, if there is one, is \
                 still in {file}"
            );
        }
        saves.done(name);
        kept.is_ok()
    }
}
