//! Runs plugin code on a thread, and joins it on another.
//!
//! A thread has ended only when its thread-locals are dropped. Dropping them runs plugin code,
//! which may block for ever, and `JoinHandle::is_finished` is true before that. So a thread that
//! has run plugin code is joined by a thread that does nothing else.

use std::{
    io,
    thread::{self, JoinHandle},
    time::Duration,
};

use crossbeam_channel::{Receiver, RecvTimeoutError, TryRecvError, bounded};

/// A thread that runs plugin code.
pub struct TaskThread {
    /// Nothing is sent: the disconnect is the signal.
    ended: Receiver<()>,
}

impl TaskThread {
    /// Starts the work. `kept` is dropped when the thread has ended, its thread-locals included.
    ///
    /// # Errors
    /// The system has no more threads; the work is not started then.
    pub fn start<K: Send + 'static>(
        name: &str,
        kept: K,
        work: impl FnOnce() + Send + 'static,
    ) -> io::Result<Self> {
        let (alive, ended) = bounded::<()>(0);
        let (send, started) = bounded::<JoinHandle<()>>(1);
        let task = name.to_owned();
        // First, so that the work never starts without a thread that joins it.
        thread::Builder::new().name(format!("join {name}")).spawn(move || {
            if let Ok(thread) = started.recv()
                && thread.join().is_err()
            {
                log::error!("the thread of a plugin's `{task}` panicked");
            }
            drop(kept);
            drop(alive);
        })?;
        let thread = thread::Builder::new().name(name.to_owned()).spawn(work)?;
        // The joining thread waits for this handle.
        let _ = send.send(thread);
        Ok(Self { ended })
    }

    /// Returns true if the thread has ended, its thread-locals included.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended.try_recv() == Err(TryRecvError::Disconnected)
    }

    /// Waits for at most `time`. Returns true if the thread has ended, as
    /// [`has_ended`](Self::has_ended).
    #[must_use]
    pub fn ends_within(&self, time: Duration) -> bool {
        self.ended.recv_timeout(time) == Err(RecvTimeoutError::Disconnected)
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, sync::mpsc};

    use super::*;

    /// Blocks in its drop until the sender is dropped.
    struct Blocks(mpsc::Receiver<()>);

    impl Drop for Blocks {
        fn drop(&mut self) {
            let _ = self.0.recv();
        }
    }

    thread_local! {
        static LAST: RefCell<Option<Blocks>> = const { RefCell::new(None) };
    }

    #[test]
    fn thread_ends_after_its_thread_locals_drop() {
        let (release, blocked) = mpsc::channel();
        let (kept, dropped) = mpsc::channel::<()>();
        let (sender, done) = mpsc::channel();
        let thread = TaskThread::start("task", kept, move || {
            LAST.set(Some(Blocks(blocked)));
            sender.send(()).unwrap();
        });
        let thread = thread.unwrap();
        done.recv().unwrap();
        assert!(!thread.ends_within(Duration::from_millis(20)) && !thread.has_ended());
        assert_eq!(dropped.try_recv(), Err(mpsc::TryRecvError::Empty), "it is kept");
        drop(release);
        assert!(thread.ends_within(Duration::from_secs(60)) && thread.has_ended());
        assert_eq!(dropped.try_recv(), Err(mpsc::TryRecvError::Disconnected));
    }
}
