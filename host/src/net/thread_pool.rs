//! Threads for sessions: started where one is needed, and kept a little for the next.

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

/// How long a thread without a session waits for the next.
const LINGER: Duration = Duration::from_secs(1);

/// A thread takes no further session at this age. What a plugin has left on it, a thread-local, keeps
/// the plugin's library in memory until the thread ends.
const AGE: Duration = Duration::from_secs(10);

/// So many threads wait for a session at the most.
const SPARE: usize = 32;

/// A session from its start to its end.
pub(crate) struct Work {
    /// What the thread is called meanwhile.
    pub name: String,
    /// What it does.
    pub run: Box<dyn FnOnce() + Send>,
}

/// Threads for sessions. When it drops, those that have none end.
pub(crate) struct Pool {
    /// Has no room: what is sent is taken by a thread that waits, or not at all.
    work: Sender<Work>,
    waiting: Receiver<Work>,
    spare: Arc<AtomicUsize>,
    started: AtomicU64,
    events: Sender<Event>,
}

impl Pool {
    /// No thread yet. `events` is told of each.
    pub(crate) fn new(events: Sender<Event>) -> Self {
        let (work, waiting) = bounded(0);
        let (spare, started) = Default::default();
        Self { work, waiting, spare, started, events }
    }

    /// Runs this on a thread that waits, or else on a new one.
    ///
    /// # Errors
    /// The system's, where it has no more threads.
    pub(crate) fn run(&self, work: Work) -> io::Result<()> {
        // A failure means that none waits, or none any more.
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
                match next(&waiting, &spare, start) {
                    Some(next) => work = next,
                    None => return,
                }
            }
        });
        let event = match started {
            Ok(thread) => (Event::Started(number, thread), Ok(())),
            Err(error) => (Event::NeverStarted(number), Err(error)),
        };
        // The server outlives its acceptors.
        let _ = self.events.send(event.0);
        event.1
    }
}

/// The next session for a thread that has lost its own, where it should wait and one comes in time.
fn next(waiting: &Receiver<Work>, spare: &AtomicUsize, start: Instant) -> Option<Work> {
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

/// Tells of a thread's end, in whatever way it comes.
struct Ending {
    number: u64,
    events: Sender<Event>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        // Nobody listens where the server has given this thread up.
        let _ = self.events.send(Event::Ended(self.number));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs something on the pool and returns the thread that it ran on.
    fn thread_of(pool: &Pool) -> thread::ThreadId {
        let (tell, told) = bounded(1);
        let run = Box::new(move || tell.send(thread::current().id()).unwrap());
        pool.run(Work { name: "work".into(), run }).unwrap();
        told.recv_timeout(Duration::from_secs(60)).unwrap()
    }

    #[test]
    fn waiting_thread_is_reused_and_ends_with_pool() {
        const ROUNDS: u64 = 100;
        let (events, happened) = crossbeam_channel::unbounded();
        let pool = Pool::new(events);
        for _ in 0..ROUNDS {
            thread_of(&pool);
            let deadline = Instant::now() + Duration::from_secs(60);
            while pool.spare.load(Ordering::Relaxed) == 0 {
                assert!(Instant::now() < deadline, "no thread waits for more");
                thread::yield_now();
            }
        }
        // One that is counted may be about to wait, or have waited for too long: then another is
        // started.
        let started = pool.started.load(Ordering::Relaxed);
        assert!(started < ROUNDS / 2, "{started} threads for {ROUNDS} sessions, one at a time");
        drop(pool);
        let mut threads = crate::net::thread_tracker::Threads::new().unwrap();
        while let Ok(event) = happened.recv_timeout(Duration::from_secs(60)) {
            threads.note(Some(event));
        }
        while threads.left() > 0 {
            // It never comes where the last one has just ended.
            let _ = threads.tick().recv_timeout(Duration::from_millis(10));
            threads.reap();
        }
    }

    #[test]
    fn work_that_blocks_holds_no_other_up() {
        let (events, _happened) = crossbeam_channel::unbounded();
        let pool = Pool::new(events);
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
