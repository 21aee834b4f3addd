//! The maintenance thread. It reads the key file again, ends sessions whose key is not valid any
//! more or whose request is not finished in time, and logs slow calls.

use std::{
    io,
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use plugin_engine::{
    live::deadline::{self, Deadline},
    registry::LiveRegistry,
};

use super::{sd_notify::Notifier, slow_calls::SlowCalls};
use crate::runtime::context::Shared;

/// The interval between two rounds. The key file is small, so it is polled and not watched.
const TICK: Duration = Duration::from_millis(400);

/// The longest wait for the thread to end.
const END_TIMEOUT: Duration = Duration::from_millis(500);

/// The maintenance thread.
pub(crate) struct Maintenance {
    thread: JoinHandle<()>,
    stop: Sender<()>,
}

impl Maintenance {
    /// Starts the thread.
    pub(crate) fn start(shared: &Arc<Shared>, registry: &Arc<LiveRegistry>) -> io::Result<Self> {
        let (stop, stopped) = bounded::<()>(0);
        let (shared, registry) = (Arc::clone(shared), Arc::clone(registry));
        let (mut slow_calls, slow) = (SlowCalls::default(), shared.config.bounds.slow_call);
        let request_timeout = shared.config.bounds.request_timeout;
        let thread = thread::Builder::new().name("maintenance".into()).spawn(move || {
            let mut notifier = Notifier::new();
            let tick = notifier.interval(TICK);
            while stopped.recv_timeout(tick) == Err(RecvTimeoutError::Timeout) {
                notifier.notify(Instant::now(), &shared, &registry);
                shared.keyring.refresh();
                shared.sessions.dismiss_unless(|key| shared.keyring.is_valid(key));
                if !request_timeout.is_zero() {
                    shared.sessions.dismiss_unfinished(request_timeout);
                }
                if !slow.is_zero() {
                    let now = Instant::now();
                    slow_calls.check(&shared.sessions.list(), &registry.load(), slow, now);
                }
            }
        })?;
        Ok(Self { thread, stop })
    }

    /// Ends the thread. If it hangs in a file system that does not answer, it is left running.
    pub(crate) fn end(self) {
        drop(self.stop);
        let (thread, deadline) = (self.thread, Deadline { time: END_TIMEOUT, give_up: &|| false });
        match deadline::within(&deadline, "end maintenance", move || thread.join().is_err()) {
            Ok(false) => {}
            Ok(true) => log::error!("the maintenance thread panicked"),
            Err(_) => log::warn!("the maintenance thread did not end in time"),
        }
    }
}
