//! Reads the keys again while the host runs, and ends the sessions of those that are no more.

use std::{
    io,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};

use crate::shared::Shared;

/// How soon a change is noticed. The file is small and looked at, not watched, so that nothing
/// can be missed.
const TICK: Duration = Duration::from_millis(400);

/// The thread that looks after the keys.
pub(crate) struct Doorman {
    thread: JoinHandle<()>,
    stop: Sender<()>,
}

impl Doorman {
    /// Starts it.
    pub(crate) fn start(shared: &Arc<Shared>) -> io::Result<Self> {
        let (stop, stopped) = bounded::<()>(0);
        let shared = Arc::clone(shared);
        let thread = thread::Builder::new().name("doorman".into()).spawn(move || {
            while stopped.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                shared.keyring.refresh();
                shared.sessions.dismiss_unless(|key| shared.keyring.holds(key));
            }
        })?;
        Ok(Self { thread, stop })
    }

    /// Ends it.
    pub(crate) fn end(self) {
        drop(self.stop);
        if self.thread.join().is_err() {
            log::error!("the thread that looks after the keys panicked");
        }
    }
}
