//! Looks at the sessions now and then: ends those whose key is no more and those that do not finish a
//! request, tells of slow calls.

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

/// How soon a change is noticed. The file of the keys is small and looked at, not watched, so that
/// nothing can be missed.
const TICK: Duration = Duration::from_millis(400);

/// How long the thread may take to end.
const LEAVE: Duration = Duration::from_millis(500);

/// The thread that looks after the sessions.
pub(crate) struct Maintenance {
    thread: JoinHandle<()>,
    stop: Sender<()>,
}

impl Maintenance {
    /// Starts it.
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
                shared.sessions.dismiss_unless(|key| shared.keyring.holds(key));
                if !request_timeout.is_zero() {
                    shared.sessions.dismiss_unfinished(request_timeout);
                }
                if !slow.is_zero() {
                    let now = Instant::now();
                    slow_calls.check(&shared.sessions.all(), &registry.load(), slow, now);
                }
            }
        })?;
        Ok(Self { thread, stop })
    }

    /// Ends it. Where it reads the keys from a file system that does not answer, it is left behind.
    pub(crate) fn end(self) {
        drop(self.stop);
        let (thread, deadline) = (self.thread, Deadline { time: LEAVE, give_up: &|| false });
        match deadline::within(&deadline, "end maintenance", move || thread.join().is_err()) {
            Ok(false) => {}
            Ok(true) => log::error!("the thread that looks after the sessions panicked"),
            Err(_) => log::warn!("the thread that looks after the sessions has not ended"),
        }
    }
}
