//! The threads that run the calls of other programs.
//!
//! As many threads run calls as there are processors, one call after the other, so that a burst of
//! short calls wakes few threads. A call that takes longer than a tick gets a thread in place of its
//! own ([`Pool::tick`]): so calls that block hold no other up.

use std::{
    collections::VecDeque,
    io,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};

/// The interval of [`Pool::tick`] while calls wait.
pub const TICK: Duration = Duration::from_millis(1);

/// The time that an idle thread waits for the next call.
const LINGER: Duration = Duration::from_secs(1);

/// The age at which a thread takes no further call: a plugin's thread-local on it keeps the plugin's
/// library in memory until the thread ends.
const AGE: Duration = Duration::from_secs(10);

/// A call to run.
pub type Job = Box<dyn FnOnce() + Send>;

/// The threads that run the calls of other programs.
pub struct Pool {
    /// The number of threads that run short calls at once.
    width: usize,
    most: usize,
    state: Mutex<State>,
    arrived: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<(Instant, Job)>,
    threads: usize,
    /// Threads that wait for a job.
    idle: usize,
    /// Idle threads that have been woken and have not taken a job yet.
    woken: usize,
    /// Threads that run a job for longer than a tick, beside which others run.
    replaced: usize,
    /// The number of each running job, and the time at which it began.
    running: Vec<(u64, Instant, bool)>,
    last: u64,
    is_closed: bool,
}

impl State {
    /// Returns the number of threads that run jobs, or are about to, and are not replaced.
    fn busy(&self) -> usize {
        (self.threads - self.idle + self.woken).saturating_sub(self.replaced)
    }
}

impl Pool {
    /// Makes a pool without threads, which starts at most `most`.
    pub fn new(most: usize) -> Arc<Self> {
        let width = thread::available_parallelism().map_or(1, usize::from);
        let (state, arrived) = (Mutex::default(), Condvar::new());
        Arc::new(Self { width, most, state, arrived })
    }

    /// Runs a job soon. Returns true if [`tick`](Self::tick) is to be called until it returns false.
    ///
    /// # Errors
    /// There is no thread, and none can be started; the job is dropped.
    pub fn run(self: &Arc<Self>, job: Job) -> io::Result<bool> {
        let mut state = self.state.lock();
        state.jobs.push_back((Instant::now(), job));
        let started = self.engage(&mut state, self.width);
        if let Err(error) = started
            && state.threads == 0
        {
            state.jobs.pop_back();
            return Err(error);
        }
        Ok(true)
    }

    /// Replaces threads whose jobs take long while others wait. Returns false if none waits.
    pub fn tick(self: &Arc<Self>, now: Instant) -> bool {
        let mut state = self.state.lock();
        let is_late = |(since, _): &(Instant, Job)| now.saturating_duration_since(*since) >= TICK;
        if state.jobs.front().is_some_and(is_late) {
            let State { running, replaced, .. } = &mut *state;
            let slow = running.iter_mut().filter(|(_, began, is_replaced)| {
                !is_replaced && now.saturating_duration_since(*began) >= TICK
            });
            for (_, _, is_replaced) in slow {
                (*is_replaced, *replaced) = (true, *replaced + 1);
            }
            // An error means that the system has no thread now; the next tick tries again.
            let _ = self.engage(&mut state, self.width);
        }
        !state.jobs.is_empty()
    }

    /// Ends the threads when their jobs have ended.
    pub fn close(&self) {
        self.state.lock().is_closed = true;
        self.arrived.notify_all();
    }

    /// Wakes or starts a thread if jobs wait and fewer than `width` run.
    fn engage(self: &Arc<Self>, state: &mut State, width: usize) -> io::Result<()> {
        if state.jobs.len() <= state.woken || state.busy() >= width {
            return Ok(());
        }
        if state.idle > state.woken {
            // None is woken if the last one's time has just run out; then it finds the job.
            state.woken += usize::from(self.arrived.notify_one());
            return Ok(());
        }
        if state.threads >= self.most {
            return Ok(());
        }
        let pool = Arc::clone(self);
        thread::Builder::new().name("fleet-call".into()).spawn(move || pool.work())?;
        state.threads += 1;
        Ok(())
    }

    fn work(self: Arc<Self>) {
        let born = Instant::now();
        let mut state = self.state.lock();
        loop {
            if let Some((_, job)) = state.jobs.pop_front() {
                state.last += 1;
                let number = state.last;
                state.running.push((number, Instant::now(), false));
                // An error as above.
                let _ = self.engage(&mut state, self.width);
                drop(state);
                job();
                state = self.state.lock();
                if let Some(place) = state.running.iter().position(|(one, ..)| *one == number) {
                    let (_, _, is_replaced) = state.running.swap_remove(place);
                    state.replaced -= usize::from(is_replaced);
                }
                continue;
            }
            if state.is_closed || born.elapsed() >= AGE {
                break;
            }
            state.idle += 1;
            let waited = self.arrived.wait_for(&mut state, LINGER);
            state.idle -= 1;
            if !waited.timed_out() {
                state.woken = state.woken.saturating_sub(1);
            } else if state.jobs.is_empty() && state.woken <= state.idle {
                break;
            }
        }
        state.threads -= 1;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    /// Ticks until the receiver has something.
    fn receive<T>(pool: &Arc<Pool>, receiver: &Receiver<T>) -> T {
        let end = Instant::now() + LIMIT;
        loop {
            if let Ok(received) = receiver.recv_timeout(TICK) {
                return received;
            }
            assert!(Instant::now() < end, "no job has run");
            pool.tick(Instant::now());
        }
    }

    fn blocked(pool: &Arc<Pool>) -> Sender<()> {
        let (open, opened) = channel::<()>();
        pool.run(Box::new(move || assert!(opened.recv().is_err()))).unwrap();
        open
    }

    #[test]
    fn jobs_that_block_hold_no_other_up() {
        let pool = Pool::new(100);
        let gates: Vec<_> = (0..30).map(|_| blocked(&pool)).collect();
        let (done, ended) = channel();
        pool.run(Box::new(move || done.send(7).unwrap())).unwrap();
        assert_eq!(receive(&pool, &ended), 7);
        drop(gates);
        pool.close();
    }

    #[test]
    fn short_jobs_need_few_threads() {
        let pool = Pool::new(100);
        let (done, ended) = channel();
        for number in 0..1000 {
            let done = done.clone();
            pool.run(Box::new(move || done.send(number).unwrap())).unwrap();
        }
        let mut all: Vec<i32> = (0..1000).map(|_| receive(&pool, &ended)).collect();
        all.sort_unstable();
        assert_eq!(all, (0..1000).collect::<Vec<_>>());
        // One that is preempted looks slow and is replaced.
        let threads = pool.state.lock().threads;
        assert!(threads < 50, "{threads} threads");
        pool.close();
    }

    #[test]
    fn threads_are_bounded_and_end() {
        let pool = Pool::new(3);
        let gates: Vec<_> = (0..9).map(|_| blocked(&pool)).collect();
        let end = Instant::now() + LIMIT;
        while pool.state.lock().threads < 3 {
            assert!(Instant::now() < end, "threads are started");
            thread::sleep(TICK);
            assert!(pool.tick(Instant::now()), "jobs wait");
        }
        assert_eq!(pool.state.lock().threads, 3);
        drop(gates);
        pool.close();
        while pool.state.lock().threads > 0 {
            assert!(Instant::now() < end, "{} threads are left", pool.state.lock().threads);
            thread::sleep(TICK);
        }
    }
}
