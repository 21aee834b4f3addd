//! The plugin manager's thread, and the folder watch that sends it changes.

use std::{
    io,
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, bounded};
use plugin_engine::{
    context::{EngineContext, Settings},
    files::trust_policy::TrustPolicy,
    live::deadline::{self, Deadline},
    manager::{LAST_UNLOADS, Manager},
    plugin_control::Message,
    process::crashed::CrashedPlugins,
    registry::LiveRegistry,
    state::saves::Saves,
    watch::Watch,
};

use super::{acceptor::Outcome, sd_notify, start_error::StartError};
use crate::{commands::builtins, runtime::context::Shared};

/// The longest wait for the folder watch to end, and for the manager's last steps.
const END_TIMEOUT: Duration = Duration::from_millis(500);

/// The poll interval for the progress of the last saves.
const TICK: Duration = Duration::from_millis(500);

/// The interval between log lines about the progress of the last saves, and the delay of the first.
const REPORT_INTERVAL: Duration = Duration::from_secs(5);
const FIRST_REPORT: Duration = Duration::from_secs(1);

/// The plugin manager's thread, and the folder watch that sends it changes.
pub(crate) struct PluginThread {
    watch: Watch,
    /// Returns whether all plugins have ended.
    thread: JoinHandle<bool>,
    done: Receiver<()>,
    saves: Arc<Saves>,
}

impl PluginThread {
    /// Starts the watch and the thread, and returns when the folder has been loaded.
    pub(crate) fn start(
        shared: &Arc<Shared>,
        registry: &Arc<LiveRegistry>,
        requests: Receiver<Message>,
        trust_policy: TrustPolicy,
    ) -> Result<Self, StartError> {
        let failed = |what| move |error: io::Error| StartError::System(what, error);
        let mut manager = Manager::new(engine_context(shared), Arc::clone(registry), trust_policy)
            .map_err(failed("make the directory for private copies"))?;
        // The watch starts before the folder is loaded, so that no change is missed in between.
        let plugin_control = shared.plugin_control.clone();
        let watch =
            Watch::start(&shared.config.plugins, shared.config.watch.into(), move |change| {
                plugin_control.changed(change);
            })
            .map_err(failed("start the thread that watches the plugins folder"))?;
        let (ready, loaded) = bounded::<()>(0);
        let saves = manager.saves();
        let (finished, done) = bounded::<()>(0);
        let thread = thread::Builder::new()
            .name("manager".into())
            .spawn(move || {
                // Dropping a sender is the signal, so that a panic signals too.
                let _finished = finished;
                manager.load_folder();
                drop(ready);
                manager.run(&requests)
            })
            .map_err(failed("start the manager's thread"))?;
        // The error of a disconnected channel is the signal.
        let _ = loaded.recv();
        Ok(Self { watch, thread, done, saves })
    }

    /// Saves the plugins' states and, if no worker runs any more, unloads the plugins.
    pub(crate) fn end(self, shared: &Shared, outcome: Outcome) -> Outcome {
        shared.shutdown.begin_saving();
        shared.plugin_control.end(outcome == Outcome::Orderly);
        // A hanging network file system must not delay the host's end.
        let (watch, time) = (self.watch, END_TIMEOUT);
        let unwatch = Deadline { time, give_up: &|| false };
        let _ = deadline::within(&unwatch, "unwatch", move || drop(watch));
        let ended = wait_for_end(&self.done, &self.saves, shared)
            && self.thread.join().unwrap_or_else(|_| {
                log::error!("the plugin manager panicked");
                false
            });
        let saved = self.saves.failed_last();
        if saved.is_none() {
            // The manager panicked, or hangs in an operation without a deadline.
            let what = self.saves.describe(Instant::now());
            let what = what.unwrap_or_else(|| "of every plugin".into());
            log::error!("states not saved, since the manager did not finish: {what}");
        }
        combine(outcome, ended, saved)
    }
}

/// Makes the part of the host's context that the plugin engine uses.
fn engine_context(shared: &Arc<Shared>) -> Arc<EngineContext> {
    let config = &shared.config;
    Arc::new(EngineContext {
        settings: Settings {
            plugins: config.plugins.clone(),
            probe_timeout: config.probe_timeout,
            handover_pause: config.handover_pause,
            handover_timeout: config.handover_timeout,
            save_timeout: config.save_timeout,
            signed_only: config.plugin_trust.plugin_key.is_some(),
            module_folder: config.module_folder.clone(),
        },
        plugin_settings: Arc::new(config.plugin_tables.clone()),
        crashed: Arc::new(CrashedPlugins::open(&shared.state_dir)),
        state_dir: shared.state_dir.clone(),
        started: shared.started,
        builtins: builtins::commands(&shared.metrics),
        metrics: Arc::clone(&shared.metrics),
        events: Arc::clone(&shared.events),
        shutdown: Arc::clone(&shared.shutdown) as _,
        callers: Arc::clone(shared) as _,
        plugin_control: shared.plugin_control.clone(),
    })
}

/// Returns the host's outcome, from the outcome of serving, whether the manager has ended, and the
/// number of states that were not saved (`None` if the manager did not finish saving).
fn combine(serving: Outcome, ended: bool, failed: Option<usize>) -> Outcome {
    let stuck = match serving {
        Outcome::Orderly => 0,
        Outcome::Stuck(threads) | Outcome::Unsaved(threads) => threads,
    };
    match (failed, stuck + usize::from(!ended)) {
        (Some(0), 0) => Outcome::Orderly,
        (Some(0), stuck) => Outcome::Stuck(stuck),
        (_, stuck) => Outcome::Unsaved(stuck),
    }
}

/// Waits until the manager has ended, and reports its progress. Returns false after a timeout.
fn wait_for_end(done: &Receiver<()>, saves: &Saves, shared: &Shared) -> bool {
    let mut report_at = Instant::now() + FIRST_REPORT;
    let mut saved = None;
    loop {
        // The error `Disconnected` is the signal.
        if done.recv_timeout(TICK).is_err_and(|error| error.is_disconnected()) {
            return true;
        }
        let now = Instant::now();
        if saved.is_none() && saves.failed_last().is_some() {
            saved = Some(now);
        }
        let end = match saved {
            Some(saved) => Some(shared.shutdown.deadline().unwrap_or(saved).max(saved)),
            None => shared.shutdown.save_deadline(),
        };
        if end.is_some_and(|end| now >= end + LAST_UNLOADS + END_TIMEOUT) {
            return false;
        }
        let progress = saves.describe(now);
        let why = progress.as_deref().unwrap_or("plugins are being unloaded");
        sd_notify::still_stopping(why);
        if progress.is_some() && now >= report_at {
            log::info!("still saving: {why}");
            report_at = now + REPORT_INTERVAL;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_saved_ends_in_order() {
        let (orderly, stuck) = (Outcome::Orderly, Outcome::Stuck(2));
        assert_eq!(combine(orderly, true, Some(0)), Outcome::Orderly);
        assert_eq!(combine(orderly, false, Some(0)), Outcome::Stuck(1));
        assert_eq!(combine(stuck, true, Some(0)), Outcome::Stuck(2));
        for ended in [true, false] {
            let threads = usize::from(!ended);
            // `None` stands for a manager that panicked or hangs.
            for failed in [Some(1), None] {
                assert_eq!(combine(orderly, ended, failed), Outcome::Unsaved(threads));
                assert_eq!(combine(stuck, ended, failed), Outcome::Unsaved(2 + threads));
            }
        }
    }
}
