//! Drains and unloads generations that are no longer served, and counts them until then.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    events::{EventBus, EventKind, PluginEvent},
    live::{generation::Generation, place, task_thread::TaskThread},
};

/// The time for which batches that began before a swap may use the old code. Afterwards their
/// further calls go to the new code, so that a slow call elsewhere in a batch does not keep the old
/// code for ever.
const BATCH: Duration = Duration::from_secs(1);

/// Interval at which code that is still mapped is checked.
const LINGER: Duration = Duration::from_secs(1);

/// The time after which the log reports that the end of a plugin takes long.
const LONG_END: Duration = Duration::from_secs(2);

/// Interval at which a retired generation is checked.
pub const TICK: Duration = Duration::from_millis(2);

/// Interval at which a generation is checked that was retired more than a second ago.
const LONG_TICK: Duration = Duration::from_millis(100);

/// Generations that are no longer served.
#[derive(Default)]
pub struct Retired {
    draining: Vec<Draining>,
    ending: Vec<Ending>,
    lingering: Vec<Lingering>,
    last_check: Option<Instant>,
}

struct Draining {
    generation: Arc<Generation>,
    since: Instant,
}

struct Ending {
    generation: Arc<Generation>,
    since: Instant,
    /// Ends the plugin; its author's code runs there, and its tracked threads are joined.
    thread: TaskThread,
    /// True once the log has reported that it takes long.
    is_reported: bool,
}

struct Lingering {
    plugin: String,
    generation: u64,
    file: String,
    since: Instant,
    mapped: PathBuf,
}

impl Retired {
    /// Adds a generation that no registry contains any more.
    pub fn add(&mut self, generation: Arc<Generation>) {
        self.draining.push(Draining { generation, since: Instant::now() });
    }

    /// Adds several generations.
    pub fn extend(&mut self, generations: impl IntoIterator<Item = Arc<Generation>>) {
        generations.into_iter().for_each(|generation| self.add(generation));
    }

    /// Advances every generation as far as possible. Returns those whose last call has ended since,
    /// for their counts.
    pub fn tick(&mut self, now: Instant, events: &EventBus) -> Vec<Arc<Generation>> {
        let over = self.drain(now, events);
        self.unload(events);
        self.check_lingering(now, events);
        over
    }

    /// Returns true if there is a generation left to advance.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        !(self.draining.is_empty() && self.ending.is_empty())
    }

    /// Returns the time until the next [`tick`](Self::tick); `None` if there is nothing to advance.
    /// Old generations are checked less often.
    #[must_use]
    pub fn pause(&self) -> Option<Duration> {
        let draining = self.draining.iter().map(|one| one.since.elapsed());
        let youngest = draining.chain(self.ending.iter().map(|one| one.since.elapsed())).min()?;
        Some(if youngest < BATCH { TICK } else { LONG_TICK })
    }

    /// Returns the numbers of a plugin's generations that still run calls, and that are still
    /// mapped.
    pub fn count(&self, plugin: &str) -> (usize, usize) {
        let named = |generation: &Generation| generation.manifest.name == plugin;
        let draining = self.draining.iter().filter(|one| named(&one.generation)).count();
        let ending = self.ending.iter().filter(|one| named(&one.generation)).count();
        let lingering = self.lingering.iter().filter(|one| one.plugin == plugin).count();
        (draining + ending, lingering)
    }

    /// Returns the numbers of all generations that still run calls, and that are still mapped.
    pub fn totals(&self) -> (usize, usize) {
        (self.draining.len() + self.ending.len(), self.lingering.len())
    }

    fn drain(&mut self, now: Instant, events: &EventBus) -> Vec<Arc<Generation>> {
        let mut over = Vec::new();
        for one in std::mem::take(&mut self.draining) {
            let gate = one.generation.live().gate();
            // No other reference exists: every batch that could still call it has ended.
            let free = Arc::strong_count(&one.generation) == 1;
            if free || now.saturating_duration_since(one.since) >= BATCH {
                gate.retire();
            }
            if !gate.is_drained() {
                self.draining.push(one);
                continue;
            }
            let Draining { generation, since } = one;
            let ended = Arc::clone(&generation);
            let thread = TaskThread::start("unload", (), move || {
                place::in_plugin(&ended.manifest.name, "drop", || ended.live().end());
                if ended.order.durable().is_some() && !ended.live().is_process() {
                    // The C library would keep the memory of a large state.
                    platform::release_freed_memory();
                }
            });
            match thread {
                Ok(thread) => {
                    let took = since.elapsed();
                    events.publish(event(&generation, EventKind::Drained, took, String::new()));
                    over.push(Arc::clone(&generation));
                    let since = Instant::now();
                    self.ending.push(Ending { generation, since, thread, is_reported: false });
                }
                // Try again at the next tick.
                Err(_) => self.draining.push(Draining { generation, since }),
            }
        }
        over
    }

    fn unload(&mut self, events: &EventBus) {
        for mut one in std::mem::take(&mut self.ending) {
            if !one.thread.has_ended() {
                if !one.is_reported && one.since.elapsed() >= LONG_END {
                    one.is_reported = true;
                    log::warn!(
                        "plugin {}: the end of generation {} has taken {} s so far: a thread, or \
                         the drop of its state or of a thread-local, blocks it",
                        one.generation.manifest.name,
                        one.generation.number,
                        LONG_END.as_secs()
                    );
                }
                self.ending.push(one);
                continue;
            }
            let Ending { generation, since, .. } = one;
            self.last_check = None;
            let mapped = generation.shadow().path().to_owned();
            if platform::is_mapped(&mapped) != Some(true) {
                events.publish(event(
                    &generation,
                    EventKind::Unloaded,
                    since.elapsed(),
                    String::new(),
                ));
                continue;
            }
            let why = if generation.manifest.untracked_threads {
                "it has threads of its own, so its code stays mapped"
            } else {
                "a thread that called it keeps its code mapped until that thread ends"
            };
            events.publish(event(&generation, EventKind::Lingering, since.elapsed(), why.into()));
            self.lingering.push(Lingering {
                plugin: generation.manifest.name.clone(),
                generation: generation.number,
                file: generation.file.clone(),
                since,
                mapped,
            });
        }
    }

    fn check_lingering(&mut self, now: Instant, events: &EventBus) {
        let recently =
            self.last_check.is_some_and(|last| now.saturating_duration_since(last) < LINGER);
        if self.lingering.is_empty() || recently {
            return;
        }
        self.last_check = Some(now);
        self.lingering.retain(|one| {
            let mapped = platform::is_mapped(&one.mapped) != Some(false);
            if !mapped {
                events.publish(PluginEvent {
                    kind: EventKind::Unloaded,
                    plugin: one.plugin.clone(),
                    generation: one.generation,
                    file: one.file.clone(),
                    took: one.since.elapsed(),
                    detail: "the thread that kept it has ended".into(),
                });
            }
            mapped
        });
    }
}

impl Drop for Retired {
    fn drop(&mut self) {
        // Generations that have not ended at the host's end stay loaded: dropping the last
        // reference would run the plugin's code, here and without a deadline.
        self.draining.drain(..).for_each(std::mem::forget);
    }
}

/// Makes an event of a generation.
#[must_use]
pub fn event(
    generation: &Generation,
    kind: EventKind,
    took: Duration,
    detail: String,
) -> PluginEvent {
    PluginEvent {
        kind,
        plugin: generation.manifest.name.clone(),
        generation: generation.number,
        file: generation.file.clone(),
        took,
        detail,
    }
}
