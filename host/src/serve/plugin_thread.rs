//! The manager's thread and the watch that feeds it.

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
    registry::LiveRegistry,
    state::saves::Saves,
    watch::Watch,
};

use super::{acceptor::Outcome, sd_notify, start_error::StartError};
use crate::{commands::builtins, runtime::context::Shared};

/// What the watch of the folder and the manager's own last steps may take.
const LEAVE: Duration = Duration::from_millis(500);

/// How often it is looked how far the last saves are.
const TICK: Duration = Duration::from_millis(500);

/// How often the log tells how far they are, the first time excepted.
const TELL: Duration = Duration::from_secs(5);
const TELL_FIRST: Duration = Duration::from_secs(1);

/// The manager's thread and the watch that feeds it.
pub(crate) struct PluginThread {
    watch: Watch,
    /// Returns whether all plugins have ended.
    thread: JoinHandle<bool>,
    done: Receiver<()>,
    saves: Arc<Saves>,
}

impl PluginThread {
    /// Starts both; returns when the folder has been loaded.
    pub(crate) fn start(
        shared: &Arc<Shared>,
        registry: &Arc<LiveRegistry>,
        requests: Receiver<Message>,
        trust_policy: TrustPolicy,
    ) -> Result<Self, StartError> {
        let failed = |what| move |error: io::Error| StartError::System(what, error);
        let mut manager = Manager::new(engine_context(shared), Arc::clone(registry), trust_policy)
            .map_err(failed("make its directory for private copies"))?;
        // Before the folder is loaded, so that no change falls in between.
        let plugin_control = shared.plugin_control.clone();
        let watch =
            Watch::start(&shared.config.plugins, shared.config.watch.into(), move |change| {
                plugin_control.changed(change);
            })
            .map_err(failed("start a thread to watch the plugins folder"))?;
        let (ready, loaded) = bounded::<()>(0);
        let saves = manager.saves();
        let (finished, done) = bounded::<()>(0);
        let thread = thread::Builder::new()
            .name("manager".into())
            .spawn(move || {
                // Both are told by being dropped, so that a panic tells as well.
                let _finished = finished;
                manager.load_folder();
                drop(ready);
                manager.run(&requests)
            })
            .map_err(failed("start the manager's thread"))?;
        // An error is the word that is waited for.
        let _ = loaded.recv();
        Ok(Self { watch, thread, done, saves })
    }

    /// Saves states and, where no worker runs any more, unloads everything.
    pub(crate) fn end(self, shared: &Shared, outcome: Outcome) -> Outcome {
        shared.shutdown.begin_saving();
        shared.plugin_control.end(outcome == Outcome::Orderly);
        // A folder on a network that hangs must not hold the end up.
        let (watch, time) = (self.watch, LEAVE);
        let unwatch = Deadline { time, give_up: &|| false };
        let _ = deadline::within(&unwatch, "unwatch", move || drop(watch));
        let ended = wait_for(&self.done, &self.saves, shared)
            && self.thread.join().unwrap_or_else(|_| {
                log::error!("the manager of plugins panicked");
                false
            });
        let saved = self.saves.failed_last();
        if saved.is_none() {
            // It panicked, or something that has no deadline hangs.
            let what = self.saves.describe(Instant::now());
            let what = what.unwrap_or_else(|| "of every plugin".into());
            log::error!("states not saved, since the manager did not finish: {what}");
        }
        overall(outcome, ended, saved)
    }
}

/// The host, as far as the manager knows it.
fn engine_context(shared: &Arc<Shared>) -> Arc<EngineContext> {
    let config = &shared.config;
    Arc::new(EngineContext {
        settings: Settings {
            plugins: config.plugins.clone(),
            probe_timeout: config.probe_timeout,
            handover_pause: config.handover_pause,
            handover_timeout: config.handover_timeout,
            save_timeout: config.save_timeout,
        },
        state_dir: shared.state_dir.clone(),
        started: shared.started,
        builtins: builtins::commands(&shared.metrics),
        metrics: Arc::clone(&shared.metrics),
        events: Arc::clone(&shared.events),
        shutdown: Arc::clone(&shared.shutdown) as _,
        callers: Arc::clone(shared) as _,
    })
}

/// How the host has ended: how serving ended, whether the manager has ended, and how many states it
/// could not save, where it came so far.
fn overall(serving: Outcome, ended: bool, failed: Option<usize>) -> Outcome {
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

/// Waits until the manager has ended, and tells how far it is; returns false where it has not in time.
fn wait_for(done: &Receiver<()>, saves: &Saves, shared: &Shared) -> bool {
    let mut tell_at = Instant::now() + TELL_FIRST;
    let mut saved = None;
    loop {
        // An error of the kind `Disconnected` is the word that is waited for.
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
        if end.is_some_and(|end| now >= end + LAST_UNLOADS + LEAVE) {
            return false;
        }
        let progress = saves.describe(now);
        let why = progress.as_deref().unwrap_or("plugins are being unloaded");
        sd_notify::still_stopping(why);
        if progress.is_some() && now >= tell_at {
            log::info!("still saving: {why}");
            tell_at = now + TELL;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_saved_ends_in_order() {
        let (orderly, stuck) = (Outcome::Orderly, Outcome::Stuck(2));
        assert_eq!(overall(orderly, true, Some(0)), Outcome::Orderly);
        assert_eq!(overall(orderly, false, Some(0)), Outcome::Stuck(1));
        assert_eq!(overall(stuck, true, Some(0)), Outcome::Stuck(2));
        for ended in [true, false] {
            let threads = usize::from(!ended);
            // The second is a manager that panicked or hangs.
            for failed in [Some(1), None] {
                assert_eq!(overall(orderly, ended, failed), Outcome::Unsaved(threads));
                assert_eq!(overall(stuck, ended, failed), Outcome::Unsaved(2 + threads));
            }
        }
    }
}
