//! Looks at the sessions now and then: ends those whose key is no more and those that do not finish a
//! request, tells of slow calls.

use std::{
    io,
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};

use crate::{overtime::Overtime, service::Pulse, shared::Shared, table::LiveTable};

/// How soon a change is noticed. The file of the keys is small and looked at, not watched, so that
/// nothing can be missed.
const TICK: Duration = Duration::from_millis(400);

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

    /// Ends it.
    pub(crate) fn end(self) {
        drop(self.stop);
        if self.thread.join().is_err() {
            log::error!("the thread that looks after the sessions panicked");
        }
    }
}
