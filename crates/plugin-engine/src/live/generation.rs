//! Holds one loaded version of a plugin.

use std::{
    cell::Cell,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};

use parking_lot::Mutex;
use telemetry::metrics::Metrics;

use super::{
    deadline::{self, Deadline, TimedOut},
    gate::{Gate, Gated, OwnedKeepAlive},
    manifest::Manifest,
    plugin::Plugin,
};
use crate::{
    facts::PluginFacts,
    files::shadow_copy::Shadow,
    registry::{Command, Target},
    write::{WriteOrder, WritingWorker},
};

/// One loaded version of a plugin. Registries and running batches hold references, and so does the
/// manager, which ends the generation after its last call even if references remain.
pub struct Generation {
    /// Its manifest.
    pub manifest: Manifest,
    /// The number of loaded versions of this plugin, this one included.
    pub number: u64,
    /// Its file's name in the plugins folder.
    pub file: String,
    // Fields drop in order: the code goes before its private copy.
    live: Arc<dyn Plugin>,
    shadow: Arc<Shadow>,
    errors: Arc<AtomicU64>,
    /// Calls that passed the gate behind others.
    queued: Arc<AtomicU64>,
    /// The order of its commands that write.
    pub order: Arc<WriteOrder>,
    /// The number of the last stream of its state; locked while a piece is taken.
    pub stream: Arc<Mutex<u64>>,
    /// True while a `save` is running, also one that the host has given up.
    pub saving: Arc<AtomicBool>,
    /// True while a `configure` is running, also one that the host has given up.
    pub configuring: Arc<AtomicBool>,
}

impl Generation {
    /// Makes a generation of a version that has just been loaded.
    #[must_use]
    pub fn new(
        manifest: Manifest,
        number: u64,
        file: String,
        live: Arc<dyn Plugin>,
        shadow: Arc<Shadow>,
    ) -> Self {
        Self {
            manifest,
            number,
            file,
            live,
            shadow,
            errors: Arc::default(),
            queued: Arc::default(),
            order: Arc::new(WriteOrder::new(number)),
            stream: Arc::default(),
            saving: Arc::default(),
            configuring: Arc::default(),
        }
    }

    /// Returns the same generation with another list of commands.
    #[must_use]
    pub fn with_manifest(&self, manifest: Manifest) -> Self {
        Self {
            manifest,
            number: self.number,
            file: self.file.clone(),
            live: Arc::clone(&self.live),
            shadow: Arc::clone(&self.shadow),
            errors: Arc::clone(&self.errors),
            queued: Arc::clone(&self.queued),
            order: Arc::clone(&self.order),
            stream: Arc::clone(&self.stream),
            saving: Arc::clone(&self.saving),
            configuring: Arc::clone(&self.configuring),
        }
    }

    /// Returns the plugin itself.
    pub fn live(&self) -> &Arc<dyn Plugin> {
        &self.live
    }

    /// Returns the private copy that it was loaded from.
    pub fn shadow(&self) -> &Arc<Shadow> {
        &self.shadow
    }

    /// Returns the number of its answered calls.
    pub fn calls(&self) -> u64 {
        self.live.gate().calls() + self.queued.load(Ordering::Relaxed)
    }

    /// Returns the number of its calls that were answered with an error.
    pub fn errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }

    /// Counts calls that passed the gate behind another.
    pub fn count_queued(&self, calls: u64) {
        self.queued.fetch_add(calls, Ordering::Relaxed);
    }

    /// Counts a call that was answered with an error.
    pub fn count_error(&self) {
        self.errors.fetch_add(1, Ordering::Relaxed);
    }

    /// Runs the work on a thread of its own, as [`deadline::within`] does. The code stays loaded
    /// until that thread has ended, which the drop of a thread-local may prevent.
    ///
    /// # Errors
    /// There is no result in time, the work panicked, or the system cannot start a thread.
    pub fn within<T: Send + 'static>(
        self: &Arc<Self>,
        deadline: &Deadline<'_>,
        operation: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, TimedOut> {
        let done =
            deadline::keeping(OwnedKeepAlive::at(self), deadline, operation, deadline::END, work)?;
        if !done.ended {
            log::warn!(
                "plugin {}: the thread of its `{operation}` has not ended, the drop of a \
                 thread-local blocks it; the code of generation {} stays loaded until it ends",
                self.manifest.name,
                self.number
            );
        }
        Ok(done.result)
    }

    /// Runs the work as [`within`](Self::within) does, for as long as it makes progress: the
    /// deadline's time begins anew whenever the work calls its function.
    ///
    /// # Errors
    /// As `within`; [`TimedOut::Expired`] if it made no progress for that time.
    pub fn within_progress<T: Send + 'static>(
        self: &Arc<Self>,
        deadline: &Deadline<'_>,
        operation: &str,
        work: impl FnOnce(&dyn Fn()) -> T + Send + 'static,
    ) -> Result<T, TimedOut> {
        let steps = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&steps);
        let (seen, is_stuck) = (Cell::new((0, Instant::now())), Cell::new(false));
        let give_up = || {
            let count = steps.load(Ordering::Relaxed);
            if count != seen.get().0 {
                seen.set((count, Instant::now()));
            }
            is_stuck.set(seen.get().1.elapsed() >= deadline.time);
            is_stuck.get() || (deadline.give_up)()
        };
        let unbounded = Deadline { time: deadline::UNBOUNDED, give_up: &give_up };
        let done = self.within(&unbounded, operation, move || {
            work(&|| {
                counted.fetch_add(1, Ordering::Relaxed);
            })
        });
        done.map_err(|timed_out| if is_stuck.get() { TimedOut::Expired } else { timed_out })
    }

    /// Makes its commands for the registry.
    #[must_use]
    pub fn commands(self: &Arc<Self>, metrics: &Metrics) -> Vec<Arc<Command>> {
        let commands = self.manifest.commands.iter().zip(0..).map(|(facts, index)| {
            let worker = Arc::clone(&self.live).worker(Arc::clone(self), index);
            let target = Target::Worker(match facts.writes {
                true => Box::new(WritingWorker::new(worker, Arc::clone(&self.order))),
                false => worker,
            });
            let plugin = Some(self.manifest.name.as_str());
            Arc::new(Command::new(facts.clone(), plugin, metrics, target))
        });
        commands.collect()
    }

    /// Returns its entry in the registry.
    pub fn facts(&self) -> PluginFacts {
        PluginFacts {
            name: self.manifest.name.clone(),
            version: self.manifest.version.clone(),
            generation: self.number,
            file: self.file.clone(),
            commands: self.manifest.command_names(),
        }
    }
}

impl Gated for Generation {
    fn gate(&self) -> &Gate {
        self.live.gate()
    }
}
