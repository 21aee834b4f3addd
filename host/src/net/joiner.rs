//! Threads at their end, joined by other threads.
//!
//! A session's thread may have a plugin's thread-local, whose drop may block for ever, and
//! `JoinHandle::is_finished` is true before that. So the server itself joins none.

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

/// How long a thread may take to end before others are joined without waiting for it.
const STALL: Duration = Duration::from_secs(1);

/// Joins threads that are at their end.
pub(crate) struct Joiner {
    queue: Sender<JoinHandle<()>>,
    waiting: Receiver<JoinHandle<()>>,
    sent: u64,
    joined: Arc<AtomicU64>,
    /// How many had been joined, and when that last changed.
    progress: (u64, Instant),
    /// The log has told that it does not go on.
    told: bool,
}

impl Joiner {
    /// Starts the first thread that joins others.
    ///
    /// # Errors
    /// The system's, where it has no more threads.
    pub(crate) fn start() -> io::Result<Self> {
        let (queue, waiting) = unbounded();
        let joined = Arc::default();
        let progress = (0, Instant::now());
        let joiner = Self { queue, waiting, sent: 0, joined, progress, told: false };
        joiner.add_thread()?;
        Ok(joiner)
    }

    /// Has a thread joined that is at its end.
    pub(crate) fn join(&mut self, thread: JoinHandle<()>) {
        if self.left() == 0 {
            self.progress.1 = Instant::now();
        }
        self.sent += 1;
        // It is received as long as this lives.
        let _ = self.queue.send(thread);
    }

    /// How many have not been joined.
    pub(crate) fn left(&self) -> usize {
        let left = self.sent - self.joined.load(Ordering::SeqCst);
        usize::try_from(left).unwrap_or(usize::MAX)
    }

    /// Whether a thread has held up the joining for long.
    pub(crate) fn is_stalled(&self) -> bool {
        self.progress.1.elapsed() >= STALL
    }

    /// Sees that one thread that does not end does not keep the others from being joined.
    pub(crate) fn look(&mut self) {
        let joined = self.joined.load(Ordering::SeqCst);
        if joined != self.progress.0 {
            self.progress = (joined, Instant::now());
            self.told = false;
        }
        if self.left() == 0 || !self.is_stalled() {
            return;
        }
        if !std::mem::replace(&mut self.told, true) {
            log::warn!(
                "{} thread(s) of sessions do not end: the drop of a plugin's thread-local holds \
                 them up",
                self.left()
            );
        }
        // Where there is no thread for it, it is tried again.
        if !self.waiting.is_empty() && self.add_thread().is_ok() {
            self.progress.1 = Instant::now();
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

// On Windows the system itself lets no other thread begin or end while one drops its thread-locals.
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
                joiner.look();
                thread::sleep(Duration::from_millis(2));
            }
        };
        wait(1);
        drop(release);
        wait(0);
    }
}
