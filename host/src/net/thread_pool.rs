//! The thread pool of sessions. A thread is started when none is idle, and kept for a short time
//! after its session.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::thread_tracker::Event;

/// The time that an idle thread waits for the next session.
const LINGER: Duration = Duration::from_secs(1);

/// The age at which a thread takes no further session. A plugin's thread-local on it keeps the
/// plugin's library in memory until the thread ends.
const AGE: Duration = Duration::from_secs(10);

/// The most threads that wait for a session.
const SPARE: usize = 32;

/// A session from its start to its end.
pub(crate) struct Work {
    /// The thread's name while it runs the session.
    pub name: String,
    /// The session.
    pub run: Box<dyn FnOnce() + Send>,
}

/// The threads of sessions. Dropping it ends the idle ones.
pub(crate) struct ThreadPool {
    /// A channel without a buffer: only a waiting thread can receive.
    work: Sender<Work>,
    waiting: Receiver<Work>,
    spare: Arc<AtomicUsize>,
    started: AtomicU64,
    events: Sender<Event>,
}

impl ThreadPool {
    /// Makes a pool without threads. It sends an event for each thread's start and end.
    pub(crate) fn new(events: Sender<Event>) -> Self {
        let (work, waiting) = bounded(0);
        Self { work, waiting, spare: Arc::default(), started: AtomicU64::new(0), events }
    }

    /// Runs a session on a waiting thread, or else on a new one. Fails if that cannot be started.
    pub(crate) fn run(&self, work: Work) -> io::Result<()> {
        // A failure means that no thread waits.
        let Err(refused) = self.work.try_send(work) else { return Ok(()) };
        let mut work = refused.into_inner();
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        let ending = Ending { number, events: self.events.clone() };
        let (waiting, spare) = (self.waiting.clone(), Arc::clone(&self.spare));
        let started = thread::Builder::new().name("session".into()).spawn(move || {
            let _ending = ending;
            let start = Instant::now();
            loop {
                platform::name_thread(&work.name);
                (work.run)();
                match next_work(&waiting, &spare, start) {
                    Some(next) => work = next,
                    None => return,
                }
            }
        });
        let (event, result) = match started {
            Ok(thread) => (Event::Started(number, thread), Ok(())),
            Err(error) => (Event::NeverStarted(number), Err(error)),
        };
        // Never fails: the receiver outlives the acceptors.
        let _ = self.events.send(event);
        result
    }
}

/// Waits for the next session of a thread. Returns `None` if the thread should end.
fn next_work(waiting: &Receiver<Work>, spare: &AtomicUsize, start: Instant) -> Option<Work> {
    if start.elapsed() >= AGE {
        return None;
    }
    let before = spare.fetch_add(1, Ordering::Relaxed);
    let next = (before < SPARE).then(|| {
        platform::name_thread("spare");
        waiting.recv_timeout(LINGER).ok()
    });
    spare.fetch_sub(1, Ordering::Relaxed);
    next.flatten()
}

/// A guard that sends [`Event::Ended`] when it drops, even after a panic.
struct Ending {
    number: u64,
    events: Sender<Event>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        // The receiver is gone if the server ended without this thread.
        let _ = self.events.send(Event::Ended(self.number));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs something on the pool and returns the thread that it ran on.
    fn thread_of(pool: &ThreadPool) -> thread::ThreadId {
        let (sender, receiver) = bounded(1);
        let run = Box::new(move || sender.send(thread::current().id()).unwrap());
        pool.run(Work { name: "work".into(), run }).unwrap();
        receiver.recv_timeout(Duration::from_secs(60)).unwrap()
    }

    #[test]
    fn waiting_thread_is_reused_and_ends_with_pool() {
        const ROUNDS: u64 = 100;
        let (events, happened) = crossbeam_channel::unbounded();
        let pool = ThreadPool::new(events);
        for _ in 0..ROUNDS {
            thread_of(&pool);
            let deadline = Instant::now() + Duration::from_secs(60);
            while pool.spare.load(Ordering::Relaxed) == 0 {
                assert!(Instant::now() < deadline, "no thread waits for more");
                thread::yield_now();
            }
        }
        // A thread that is counted as spare may not wait yet, or no longer. Then another one is
        // started.
        let started = pool.started.load(Ordering::Relaxed);
        assert!(started < ROUNDS / 2, "{started} threads for {ROUNDS} sessions, one at a time");
        drop(pool);
        let mut threads = crate::net::thread_tracker::ThreadTracker::new().unwrap();
        while let Ok(event) = happened.recv_timeout(Duration::from_secs(60)) {
            threads.note(Some(event));
        }
        while threads.left() > 0 {
            // The channel never fires if the last thread has just been joined.
            let _ = threads.tick().recv_timeout(Duration::from_millis(10));
            threads.reap();
        }
    }

    #[test]
    fn work_that_blocks_holds_no_other_up() {
        let (events, _happened) = crossbeam_channel::unbounded();
        let pool = ThreadPool::new(events);
        let gates: Vec<_> = (0..SPARE * 2)
            .map(|_| {
                let (open, opened) = bounded::<()>(0);
                let run = Box::new(move || assert!(opened.recv().is_err()));
                pool.run(Work { name: "blocks".into(), run }).unwrap();
                open
            })
            .collect();
        thread_of(&pool);
        drop(gates);
    }
}
