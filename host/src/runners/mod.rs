//! Threads that serve many sessions: a runner for each processor.
//!
//! A session at rest has no thread. It is in the table of one [`Waiting`], and that one's poller
//! knows its connection. One thread at a time leads a waiting: it waits, takes a session that is
//! ready out of the table, serves a turn on its own stack, and puts it back. When a turn takes long,
//! another thread becomes the leader, and the first one stays with its session.
//!
//! - A session is in a table, or one thread has it. So no session is served twice.
//! - A poller knows the sessions of its table, and the one that its leader serves. Whoever makes
//!   another thread the leader removes that one from the poller and the table first, with the
//!   table's lock held. So the new leader never meets it, and its thread puts it into a table and a
//!   poller again after the turn. As a poller reports input for as long as it is there, nothing that
//!   arrives meanwhile is lost. So no session is forgotten.
//! - The number of the leadership, the term, tells a thread whether it still leads. It is compared
//!   with the lock held before each turn and after it.

mod leader;
mod waiting;
mod watch;

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread,
};

pub use self::watch::Watch;
use self::{
    leader::lead,
    waiting::{Table, Waiting},
};
use crate::{
    net::thread_pool::{ThreadPool, Work},
    runtime::{context::Shared, registered::Registered},
    session::Session,
};

/// A client that is served in turns.
pub struct Client {
    pub(crate) session: Box<Session>,
    pub(crate) registered: Registered,
}

/// The runners of a host.
pub struct Runners {
    shared: Arc<Shared>,
    pool: Arc<ThreadPool>,
    waitings: Box<[Waiting]>,
    watch: Arc<Watch>,
    /// The number of the last thread that became a leader.
    threads: AtomicU64,
    /// The place at which the search for the one with the least load begins.
    next: AtomicUsize,
    /// True while no thread can be started for the waiting of a runner that is held up.
    is_starved: AtomicBool,
}

impl Runners {
    /// Starts a runner for each processor. Fails if the system has no descriptors or threads left.
    pub(crate) fn start(shared: &Arc<Shared>, pool: &Arc<ThreadPool>) -> io::Result<Arc<Self>> {
        let count = thread::available_parallelism().map_or(1, usize::from);
        // Leaders change every few seconds, and each would leave memory in another arena.
        platform::bound_arenas(count);
        let waitings = (0..count).map(|_| Waiting::new()).collect::<io::Result<_>>()?;
        let runners = Arc::new(Self {
            shared: Arc::clone(shared),
            pool: Arc::clone(pool),
            waitings,
            watch: Arc::default(),
            threads: AtomicU64::new(0),
            next: AtomicUsize::new(0),
            is_starved: AtomicBool::new(false),
        });
        for (place, waiting) in runners.waitings.iter().enumerate() {
            if !runners.replace_leader(place, &mut waiting.lock()) {
                runners.close();
                return Err(io::Error::other("no thread for a runner"));
            }
        }
        if let Err(error) = runners.watch.start(&runners) {
            runners.close();
            return Err(error);
        }
        Ok(runners)
    }

    /// Returns the watch, which outlives the runners.
    pub fn watch(&self) -> Arc<Watch> {
        Arc::clone(&self.watch)
    }

    /// Returns true if no thread can be started for those that wait.
    pub fn is_starved(&self) -> bool {
        self.is_starved.load(Ordering::Relaxed)
    }

    /// Has a client served by the runner with the least load. Returns it if that is not possible,
    /// since the runners have ended, or since the system has no memory left.
    pub fn insert(&self, client: Client) -> Result<(), (Client, io::Error)> {
        self.insert_besides(None, client)
    }

    fn insert_besides(
        &self,
        besides: Option<usize>,
        client: Client,
    ) -> Result<(), (Client, io::Error)> {
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let count = self.waitings.len();
        let places = (0..count).map(|number| (first + number) % count);
        let place = places
            .filter(|place| Some(*place) != besides)
            .min_by_key(|place| self.waitings.get(*place).map(Waiting::load));
        match place.and_then(|place| self.waitings.get(place)) {
            Some(waiting) => waiting.insert(client),
            None => Err((client, io::Error::other("there is no other runner"))),
        }
    }

    /// Ends each runner once it has no client left. No client may be inserted that does not end by
    /// itself.
    pub fn close(&self) {
        self.waitings.iter().for_each(Waiting::close);
    }

    /// Makes another thread the leader of the waiting at this place, and takes the session that the
    /// present one serves from it. Returns false if there is no thread; then nothing has changed.
    fn replace_leader(self: &Arc<Self>, place: usize, table: &mut Table) -> bool {
        let Some(waiting) = self.waitings.get(place) else { return false };
        let term = table.term() + 1;
        let runners = Arc::clone(self);
        let run = Box::new(move || lead(&runners, place, term));
        // The thread looks at the term when this one has released the table.
        let is_started = self.pool.run(Work { name: format!("runner {place}"), run }).is_ok();
        if is_started {
            waiting.begin_term(table, term);
        }
        is_started
    }
}
