//! The manager's thread and the watch that feeds it.

use std::{
    io,
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, bounded};

use crate::{
    desk::Message,
    plugins::{
        admission::Admission,
        manager::{LAST_SAVES, Manager},
        patience::{self, Patience},
        watch::Watch,
    },
    server::Outcome,
    shared::Shared,
    start_error::StartError,
    table::LiveTable,
};

/// What the watch of the folder and the manager's own last steps may take.
const LEAVE: Duration = Duration::from_millis(500);

/// The manager's thread and the watch that feeds it.
pub(crate) struct Managing {
    watch: Watch,
    /// Returns whether all plugins have ended.
    thread: JoinHandle<bool>,
    done: Receiver<()>,
}

impl Managing {
    /// Starts both; returns when the folder has been loaded.
    pub(crate) fn start(
        shared: &Arc<Shared>,
        table: &Arc<LiveTable>,
        orders: Receiver<Message>,
        admission: Admission,
    ) -> Result<Self, StartError> {
        let failed = |what| move |error: io::Error| StartError::System(what, error);
        let mut manager = Manager::new(Arc::clone(shared), Arc::clone(table), admission)
            .map_err(failed("make its directory for private copies"))?;
        // Before the folder is loaded, so that no change falls in between.
        let desk = shared.desk.clone();
        let watch = Watch::start(&shared.config.plugins, shared.config.watch, move |change| {
            desk.changed(change);
        })
        .map_err(failed("start a thread to watch the plugins folder"))?;
        let (ready, loaded) = bounded::<()>(0);
        let (finished, done) = bounded::<()>(0);
        let thread = thread::Builder::new()
            .name("manager".into())
            .spawn(move || {
                // Both are told by being dropped, so that a panic tells as well.
                let _finished = finished;
                manager.load_folder();
                drop(ready);
                manager.run(&orders)
            })
            .map_err(failed("start the manager's thread"))?;
        // An error is the word that is waited for.
        let _ = loaded.recv();
        Ok(Self { watch, thread, done })
    }

    /// Saves states and, where no worker runs any more, unloads everything.
    pub(crate) fn end(self, shared: &Shared, outcome: Outcome) -> Outcome {
        shared.desk.end(outcome == Outcome::Orderly);
        // A folder on a network that hangs must not hold the end up.
        let (watch, time) = (self.watch, LEAVE);
        let unwatch = Patience { time, give_up: &|| false };
        let _ = patience::within(&unwatch, "unwatch", move || drop(watch));
        let now = Instant::now();
        let deadline = shared.shutdown.deadline().unwrap_or(now).max(now + LAST_SAVES);
        // An error of the kind `Disconnected` is the word that is waited for.
        let wait = deadline + LAST_SAVES + LEAVE - now;
        let ended = self.done.recv_timeout(wait).is_err_and(|error| error.is_disconnected());
        let ended = ended
            && self.thread.join().unwrap_or_else(|_| {
                log::error!("the manager of plugins panicked");
                true
            });
        match (ended, outcome) {
            (true, outcome) => outcome,
            (false, Outcome::Orderly) => Outcome::Stuck(1),
            (false, Outcome::Stuck(threads)) => Outcome::Stuck(threads + 1),
        }
    }
}
