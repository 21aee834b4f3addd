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
    live::{
        deadline::{self, Deadline},
        generation::Generation,
        place,
    },
    state::{
        durability::{Durability, Mode},
        durable::{self, Durable},
        handover::{self, NotQuiesced, Quiesced},
        load::{self, Loaded},
        parallel,
        replay::Replayer,
        saves::{Saves, Stage},
        snapshot::{Calls, Place},
        store,
        transfer::Transfer,
    },
};

/// The least time to unload everything when the host ends.
pub const LAST_UNLOADS: Duration = Duration::from_secs(2);

/// The wait for running calls before a state is saved while they run: they have had the grace
/// already.
const LAST_CALLS: Duration = Duration::from_secs(1);

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

    /// Returns the way in which the state of a generation is to be kept; `None` if it keeps none.
    fn durability(&self, new: &Generation) -> Result<Option<(Mode, Durability)>, String> {
        if !new.live().saves() {
            return Ok(None);
        }
        let name = &new.manifest.name;
        let settings = self.context.plugin_settings.plugin(name)?.durability;
        let writes = new.manifest.declares_writes();
        let mode = match settings.mode {
            None if writes => Mode::Journal,
            None => Mode::Off,
            Some(Mode::Journal) if !writes && !new.live().changes_commands() => {
                log::warn!(
                    "plugin {name}: none of its commands has the attribute `writes`, so there is \
                     nothing to journal; snapshots are taken instead"
                );
                Mode::Snapshot
            }
            Some(mode) => mode,
        };
        Ok(Some((mode, settings)))
    }

    /// Begins to hand over the state of a generation that streams it, while its calls go on. No
    /// snapshot of it may be being taken.
    pub(super) fn begin_transfer(
        &self,
        old: Option<&Arc<Generation>>,
        new: &Arc<Generation>,
    ) -> Result<Option<Transfer>, String> {
        let Some(old) = old.filter(|old| {
            let live = old.live();
            live.streams() && new.live().saves() && !live.has_lost_state()
        }) else {
            return Ok(None);
        };
        let give_up = || self.context.shutdown.is_stopping();
        Transfer::begin(old, new, &self.deadline(&give_up)).map(Some)
    }

    /// Ends a snapshot of a generation that is being taken: a change goes first.
    pub(super) fn stop_snapshot(&self, generation: &Generation) -> Result<(), String> {
        let Some(durable) = generation.order.durable() else { return Ok(()) };
        let deadline = Instant::now() + self.context.settings.handover_timeout;
        if durable.cancel(deadline) {
            Ok(())
        } else {
            Err("a snapshot of it does not end: the disk does not answer".to_owned())
        }
    }

    /// Hands over the state of the earlier generation, or of the disk. Returns its size in bytes.
    pub(super) fn hand_over(
        &self,
        (old, transfer): (Option<&Quiesced>, Option<Transfer>),
        new: &Arc<Generation>,
    ) -> Result<Option<u64>, String> {
        let durability = self.durability(new)?;
        let Some(durability) = durability else {
            return match old {
                Some(old) => {
                    let name = &new.manifest.name;
                    log::warn!(
                        "plugin {name}: the new version keeps no state; the old state is on disk"
                    );
                    self.save(old).map(|()| None)
                }
                None => Ok(None),
            };
        };
        let Some(old) = old else { return self.load_state(new, durability) };
        let durable = old.generation().order.durable();
        let Some(durable) = durable.filter(|durable| durable.mode == durability.0) else {
            // The disk has the state in the other way from the start.
            drop(transfer);
            self.save(old)?;
            return self.load_state(new, durability);
        };
        let give_up = || self.context.shutdown.is_stopping();
        let deadline = self.deadline(&give_up);
        let live = old.generation().live();
        let size = match transfer {
            Some(transfer) => Some(transfer.finish(new, &deadline)?),
            // Its process was lost when the change began, and may have been started again since.
            None if live.streams() && live.has_lost_state() => {
                self.take_over_from_disk(durable, new, "its process has ended")?
            }
            None if live.streams() => {
                let transfer = Transfer::begin(old.generation(), new, &deadline)?;
                Some(transfer.finish(new, &deadline)?)
            }
            None => match old.save(&deadline) {
                Ok(Some(state)) => {
                    let size = state.len() as u64;
                    handover::restore(new, state, &deadline)?;
                    Some(size)
                }
                Ok(None) => None,
                // Its memory is gone, and waiting does not bring it back.
                Err(problem) if live.has_lost_state() => {
                    self.take_over_from_disk(durable, new, &problem)?
                }
                Err(problem) => return Err(problem),
            },
        };
        durable.change_settings(durability.1);
        new.order.attach(Arc::clone(durable));
        Ok(size)
    }

    /// Hands a generation the state of the disk in place of that of a process which has ended.
    fn take_over_from_disk(
        &self,
        durable: &Durable,
        new: &Arc<Generation>,
        problem: &str,
    ) -> Result<Option<u64>, String> {
        let name = &new.manifest.name;
        log::warn!("plugin {name}: its memory is lost: {problem}; the disk's is taken");
        durable.write_out()?;
        Ok(self.read_state(new)?.bytes)
    }

    /// Hands a generation the state of the disk, and opens the place where its state is kept.
    fn load_state(
        &self,
        new: &Arc<Generation>,
        durability: (Mode, Durability),
    ) -> Result<Option<u64>, String> {
        let name = &new.manifest.name;
        let loaded = self.read_state(new)?;
        let failed = |error: io::Error| {
            let folder = self.states.folder().display();
            format!("cannot open its journal in {folder}: {error}")
        };
        if loaded.replayed > 0 {
            let (count, record) = (loaded.replayed, loaded.record);
            log::info!("plugin {name}: {count} records of its journal replayed, from {record} on");
        }
        let found = (loaded.record, &loaded.found);
        let durable = Durable::open(name, durability, &self.states, found).map_err(failed)?;
        let durable = Arc::new(durable);
        if !durable.has_journal() && !loaded.found.segments.is_empty() {
            // It had a journal before: a snapshot takes its place.
            self.keep(new, &durable, self.keep_timeout(name))?;
            durable::remove_journal(&self.states, name).map_err(failed)?;
        }
        new.order.attach(durable);
        Ok(loaded.bytes)
    }

    /// Hands a generation the state of the disk, within a time in which it makes progress.
    fn read_state(&self, new: &Arc<Generation>) -> Result<Loaded, String> {
        let (loading, states) = (Arc::clone(new), Arc::clone(&self.states));
        let work = move |progress: &dyn Fn()| {
            let name = &loading.manifest.name;
            place::in_plugin(name, "restore", || {
                let mut replayer = Replayer::new(&loading);
                let mut restore = |state: Vec<u8>| loading.live().restore(&state);
                load::load((&states, name), &mut replayer, &mut restore, progress)
            })
        };
        // No calls wait for it.
        let bytes = self.states.size(&new.manifest.name).unwrap_or_default();
        let more = store::restore_time(bytes);
        let give_up = || self.context.shutdown.is_stopping();
        let deadline = self.deadline(&give_up);
        let deadline = Deadline { time: deadline.time + more, ..deadline };
        new.within_progress(&deadline, "restore", work).unwrap_or_else(|timed_out| {
            let file = self.states.file(&new.manifest.name);
            let problem = timed_out.explain("restore", deadline.time);
            Err(format!("{problem}; the state is in {}", file.display()))
        })
    }

    /// Writes the state of a generation to the disk while the host serves: callers wait for it, and
    /// so do changes of all other plugins.
    pub(super) fn save(&self, quiesced: &Quiesced) -> Result<(), String> {
        let generation = quiesced.generation();
        let name = &generation.manifest.name;
        let Some(durable) = generation.order.durable() else { return Ok(()) };
        self.stop_snapshot(generation)?;
        match self.keep(generation, durable, self.keep_timeout(name)) {
            Err(problem) if generation.live().has_lost_state() => {
                durable.write_out()?;
                log::warn!(
                    "plugin {name}: its memory is lost: {problem}; the disk's state is kept"
                );
                Ok(())
            }
            kept => kept,
        }
    }

    fn keep_timeout(&self, plugin: &str) -> Duration {
        let bytes = self.states.size(plugin).unwrap_or_default();
        let more = store::restore_time(2 * bytes);
        (self.context.settings.handover_timeout + more).min(self.save_timeout())
    }

    /// Writes a state to the disk, within this time, while no call runs.
    fn keep(
        &self,
        generation: &Arc<Generation>,
        durable: &Arc<Durable>,
        time: Duration,
    ) -> Result<(), String> {
        let shutdown = &self.context.shutdown;
        let name = durable.name();
        let next_report = Cell::new(Instant::now() + REPORT_INTERVAL);
        // Called repeatedly while the disk writes.
        let give_up = || {
            let now = Instant::now();
            // At the host's end another thread reports the progress.
            if now >= next_report.get() && !shutdown.is_stopping() {
                next_report.set(now + REPORT_INTERVAL);
                let progress = self.states.saves().describe(now);
                log::info!("still saving: {}", progress.unwrap_or_else(|| name.to_owned()));
            }
            shutdown.is_saving_over()
        };
        let Some(busy) = durable.begin() else {
            return Err("a snapshot of it is being taken".to_owned());
        };
        let place = Place {
            generation: Arc::clone(generation),
            durable: Arc::clone(durable),
            states: Arc::clone(&self.states),
            _busy: Arc::new(busy),
        };
        place.take(Calls::Held, &Deadline { time, give_up: &give_up }).map(|_| ())
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
        if timeout.is_zero() { deadline::UNBOUNDED } else { timeout }
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
        let Some(durable) = generation.order.durable() else { return true };
        let saves = self.states.saves();
        saves.note(name, Stage::Save);
        let give_up = || self.context.shutdown.is_saving_over();
        // A snapshot that is being taken may need the disk for a while.
        while !durable.cancel(Instant::now() + LAST_CALLS) && !give_up() {}
        let quiesced =
            Quiesced::begin(generation, &Deadline { time: LAST_CALLS, give_up: &give_up });
        if let Err(problem) = &quiesced {
            log::warn!("plugin {name}: saved while in use: {problem}");
        }
        // The journal has all; a snapshot beside a command that writes would have a part of it.
        let is_in_journal = durable.has_journal() && quiesced.is_err();
        let kept = if durable.is_unchanged() || is_in_journal {
            durable.write_out()
        } else {
            self.keep(generation, durable, self.save_timeout())
        };
        let kept = match kept {
            // Its journal has it, or it was lost when its process ended, which the log has said.
            Err(problem) if generation.live().has_lost_state() => {
                log::warn!("plugin {name}: its saved state stays: {problem}");
                durable.write_out()
            }
            Err(problem) if durable.has_journal() && durable.write_out().is_ok() => {
                log::warn!("plugin {name}: no last snapshot, its journal has all: {problem}");
                Ok(())
            }
            kept => kept,
        };
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
