//! Looks at the sessions now and then: ends those whose key is no more and those that do not finish a
//! request, tells of slow calls.

use std::{
    io,
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};

use crate::{
    overtime::Overtime,
    plugins::patience::{self, Patience},
    service::Pulse,
    shared::Shared,
    table::LiveTable,
};

/// How soon a change is noticed. The file of the keys is small and looked at, not watched, so that
/// nothing can be missed.
const TICK: Duration = Duration::from_millis(400);

/// How long the thread may take to end.
const LEAVE: Duration = Duration::from_millis(500);

/// The thread that looks after the sessions.
pub(crate) struct Doorman {
    thread: JoinHandle<()>,
    stop: Sender<()>,
}

impl Doorman {
    /// Starts it.
    pub(crate) fn start(shared: &Arc<Shared>, table: &Arc<LiveTable>) -> io::Result<Self> {
        let (stop, stopped) = bounded::<()>(0);
        let (shared, table) = (Arc::clone(shared), Arc::clone(table));
        let (mut overtime, slow) = (Overtime::default(), shared.config.bounds.slow_call);
        let request_timeout = shared.config.bounds.request_timeout;
        let thread = thread::Builder::new().name("doorman".into()).spawn(move || {
            let mut pulse = Pulse::new();
            let tick = pulse.interval(TICK);
            while stopped.recv_timeout(tick) == Err(RecvTimeoutError::Timeout) {
                pulse.beat(Instant::now(), &shared, &table);
                shared.keyring.refresh();
                shared.sessions.dismiss_unless(|key| shared.keyring.holds(key));
                if !request_timeout.is_zero() {
                    shared.sessions.dismiss_unfinished(request_timeout);
                }
                if !slow.is_zero() {
                    let now = Instant::now();
                    overtime.look(&shared.sessions.all(), &table.load(), slow, now);
                }
            }
        })?;
        Ok(Self { thread, stop })
    }

    /// Ends it. Where it reads the keys from a file system that does not answer, it is left behind.
    pub(crate) fn end(self) {
        drop(self.stop);
        let (thread, patience) = (self.thread, Patience { time: LEAVE, give_up: &|| false });
        match patience::within(&patience, "end doorman", move || thread.join().is_err()) {
            Ok(false) => {}
            Ok(true) => log::error!("the thread that looks after the sessions panicked"),
            Err(_) => log::warn!("the thread that looks after the sessions has not ended"),
        }
    }
}
