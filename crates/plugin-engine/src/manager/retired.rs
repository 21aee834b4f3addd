//! Generations that are no longer served: drained, then unloaded, and counted until they are.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    events::{EventBus, EventKind, PluginEvent},
    live::{generation::Generation, place, task_thread::TaskThread},
};

/// How long batches that began before a swap may go on with the old code. Only then are their
/// further calls sent to the new code, so that one slow call elsewhere in a batch does not hold the
/// old code for ever.
const BATCH: Duration = Duration::from_secs(1);

/// How often code that is still mapped is looked for again.
const LINGER: Duration = Duration::from_secs(1);

/// How long the end of a plugin may take before the log tells of it.
const LONG_END: Duration = Duration::from_secs(2);

/// How often a retired generation is looked at.
pub const TICK: Duration = Duration::from_millis(2);

/// How often, when it has been retired for long.
const LONG_TICK: Duration = Duration::from_millis(100);

/// Generations that are no longer served.
#[derive(Default)]
pub struct Retired {
    draining: Vec<Draining>,
    ending: Vec<Ending>,
    lingering: Vec<Lingering>,
    looked: Option<Instant>,
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
    /// Whether the log has told that it takes long.
    told: bool,
}

struct Lingering {
    plugin: String,
    generation: u64,
    file: String,
    since: Instant,
    mapped: PathBuf,
}

impl Retired {
    /// Takes in a generation that no registry has any more.
    pub fn add(&mut self, generation: Arc<Generation>) {
        self.draining.push(Draining { generation, since: Instant::now() });
    }

    /// Takes in several.
    pub fn extend(&mut self, generations: impl IntoIterator<Item = Arc<Generation>>) {
        generations.into_iter().for_each(|generation| self.add(generation));
    }

    /// Moves everything on as far as it goes by now. Hands out the generations whose last call is
    /// over, for their counts.
    pub fn tick(&mut self, now: Instant, events: &EventBus) -> Vec<Arc<Generation>> {
        let over = self.drain(now, events);
        self.unload(events);
        self.look(now, events);
        over
    }

    /// Whether there is something left to move on.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        !(self.draining.is_empty() && self.ending.is_empty())
    }

    /// When to look again; `None` where there is nothing to move on. What does not end soon is
    /// looked at less often.
    #[must_use]
    pub fn pause(&self) -> Option<Duration> {
        let draining = self.draining.iter().map(|one| one.since.elapsed());
        let youngest = draining.chain(self.ending.iter().map(|one| one.since.elapsed())).min()?;
        Some(if youngest < BATCH { TICK } else { LONG_TICK })
    }

    /// How many generations of a plugin are not unloaded: still running calls, and still mapped.
    #[must_use]
    pub fn count(&self, plugin: &str) -> (usize, usize) {
        let named = |generation: &Generation| generation.manifest.name == plugin;
        let draining = self.draining.iter().filter(|one| named(&one.generation)).count();
        let ending = self.ending.iter().filter(|one| named(&one.generation)).count();
        let lingering = self.lingering.iter().filter(|one| one.plugin == plugin).count();
        (draining + ending, lingering)
    }

    /// How many generations of all plugins are not unloaded: still running calls, and still mapped.
    #[must_use]
    pub fn totals(&self) -> (usize, usize) {
        (self.draining.len() + self.ending.len(), self.lingering.len())
    }

    fn drain(&mut self, now: Instant, events: &EventBus) -> Vec<Arc<Generation>> {
        let mut over = Vec::new();
        for one in std::mem::take(&mut self.draining) {
            let gate = one.generation.live().gate();
            // Nobody else holds it: every batch that could still call it is done.
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
            });
            match thread {
                Ok(thread) => {
                    let took = since.elapsed();
                    events.publish(event(&generation, EventKind::Drained, took, String::new()));
                    over.push(Arc::clone(&generation));
                    let since = Instant::now();
                    self.ending.push(Ending { generation, since, thread, told: false });
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
                if !one.told && one.since.elapsed() >= LONG_END {
                    one.told = true;
                    log::warn!(
                        "plugin {}: the end of generation {} has taken {} s so far: a thread, or \
                         the drop of its state or of a thread-local, holds it up",
                        one.generation.manifest.name,
                        one.generation.number,
                        LONG_END.as_secs()
                    );
                }
                self.ending.push(one);
                continue;
            }
            let Ending { generation, since, .. } = one;
            self.looked = None;
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

    fn look(&mut self, now: Instant, events: &EventBus) {
        let recently =
            self.looked.is_some_and(|looked| now.saturating_duration_since(looked) < LINGER);
        if self.lingering.is_empty() || recently {
            return;
        }
        self.looked = Some(now);
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
        // Those that are not over at the host's end stay as they are: to drop one for the last time
        // would run its author's code, here and without a deadline.
        self.draining.drain(..).for_each(std::mem::forget);
    }
}

/// An event of a generation.
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
