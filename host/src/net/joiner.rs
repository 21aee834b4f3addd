//! The joiner: threads that join the sessions' threads at their end.
//!
//! A session's thread may have a plugin's thread-local, whose drop may block for ever, and
//! `JoinHandle::is_finished` is true before that. So the server's own thread joins none of them.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, Sender, unbounded};

/// The time that a thread may take to end before another thread joins the others.
const STALL: Duration = Duration::from_secs(1);

/// The queue of threads at their end, and the threads that join them.
pub(crate) struct Joiner {
    queue: Sender<JoinHandle<()>>,
    waiting: Receiver<JoinHandle<()>>,
    sent: u64,
    joined: Arc<AtomicU64>,
    /// The number of joined threads at the last check.
    last_joined: u64,
    /// The time since which the first thread of the queue is waited for.
    waits_since: Instant,
    /// True if the present stall has been logged.
    is_reported: bool,
}

impl Joiner {
    /// Starts the first thread that joins others.
    pub(crate) fn start() -> io::Result<Self> {
        let (queue, waiting) = unbounded();
        let joined = Arc::default();
        let joiner = Self {
            queue,
            waiting,
            sent: 0,
            joined,
            last_joined: 0,
            waits_since: Instant::now(),
            is_reported: false,
        };
        joiner.add_thread()?;
        Ok(joiner)
    }

    /// Queues a thread that is at its end.
    pub(crate) fn join(&mut self, thread: JoinHandle<()>) {
        if self.left() == 0 {
            self.waits_since = Instant::now();
        }
        self.sent += 1;
        // Never fails: `self` holds a receiver.
        let _ = self.queue.send(thread);
    }

    /// Returns the number of queued threads that have not been joined.
    pub(crate) fn left(&self) -> usize {
        let left = self.sent - self.joined.load(Ordering::SeqCst);
        usize::try_from(left).unwrap_or(usize::MAX)
    }

    /// Returns whether no thread has been joined for [`STALL`] or longer.
    pub(crate) fn is_stalled(&self) -> bool {
        self.waits_since.elapsed() >= STALL
    }

    /// Starts another joining thread if a thread that does not end blocks the queue.
    pub(crate) fn add_thread_if_stalled(&mut self) {
        let joined = self.joined.load(Ordering::SeqCst);
        if joined != self.last_joined {
            (self.last_joined, self.waits_since) = (joined, Instant::now());
            self.is_reported = false;
        }
        if self.left() == 0 || !self.is_stalled() {
            return;
        }
        if !std::mem::replace(&mut self.is_reported, true) {
            log::warn!(
                "{} thread(s) of sessions do not end: the drop of a plugin's thread-local blocks \
                 them",
                self.left()
            );
        }
        // If the thread cannot be started, the next call tries again.
        if !self.waiting.is_empty() && self.add_thread().is_ok() {
            self.waits_since = Instant::now();
        }
    }

    fn add_thread(&self) -> io::Result<()> {
        let (waiting, joined) = (self.waiting.clone(), Arc::clone(&self.joined));
        thread::Builder::new().name("join".into()).spawn(move || {
            for thread in waiting {
                if thread.join().is_err() {
                    log::error!("a session's thread panicked");
                }
                joined.fetch_add(1, Ordering::SeqCst);
            }
        })?;
        Ok(())
    }
}

// On Windows the system lets no other thread begin or end while one drops its thread-locals.
#[cfg(all(test, unix))]
mod tests {
    use std::{cell::RefCell, sync::mpsc};

    use super::*;

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
    fn a_blocked_thread_holds_up_no_other() {
        let (release, blocked) = mpsc::channel();
        let mut joiner = Joiner::start().unwrap();
        joiner.join(thread::spawn(move || LAST.set(Some(Blocks(blocked)))));
        for _ in 0..3 {
            joiner.join(thread::spawn(|| {}));
        }
        let end = Instant::now() + Duration::from_secs(60);
        let mut wait = |left| {
            while joiner.left() != left {
                assert!(Instant::now() < end);
                joiner.add_thread_if_stalled();
                thread::sleep(Duration::from_millis(2));
            }
        };
        wait(1);
        drop(release);
        wait(0);
    }
}
