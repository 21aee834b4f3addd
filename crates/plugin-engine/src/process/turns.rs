//! Bounds the calls that run at the same time.

use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

/// The turns of a process's calls: as many as may run at the same time.
pub(super) struct Turns {
    back: Sender<()>,
    free: Receiver<()>,
}

/// The turn of a call, which ends when this drops, even if the call panics.
pub(super) struct Turn<'a>(&'a Sender<()>);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let _ = self.0.try_send(());
    }
}

impl Turns {
    /// Makes turns for `most` calls at the same time.
    pub(super) fn new(most: usize) -> Self {
        let (back, free) = bounded(most);
        (0..most).for_each(|_| {
            let _ = back.try_send(());
        });
        Self { back, free }
    }

    /// Waits at most `time` for a turn; returns `None` if all are taken until then.
    pub(super) fn wait(&self, time: Duration) -> Option<Turn<'_>> {
        self.free.recv_timeout(time).ok()?;
        Some(Turn(&self.back))
    }
}
