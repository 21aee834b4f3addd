//! The waiting of one runner: its poller, and the table of its sessions.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, TryLockError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use platform::{Poller, Ready, WakeReceiver};
use slab::Slab;

use super::Client;
use crate::runtime::client_handle::ClientHandle;

/// The number of deadlines from which on those that mean nothing are dropped.
const FEW: usize = 64;

/// The waiting of one runner.
pub(super) struct Waiting {
    poller: Poller,
    table: Mutex<Table>,
    /// The number of its clients.
    load: AtomicUsize,
}

/// The sessions of one runner, and its leader.
#[derive(Default)]
pub(super) struct Table {
    clients: Slab<Entry>,
    /// The client that the leader serves.
    serving: Option<usize>,
    /// The number of turns so far.
    turns: u64,
    /// The number of the present leader.
    term: u64,
    /// The start of the term, and the number of turns before it.
    since: Option<(Instant, u64)>,
    /// When clients need a turn though nothing arrives, with their keys. An entry that is not the
    /// one of its client means nothing.
    deadlines: BinaryHeap<Reverse<(Instant, usize)>>,
    /// The number of clients that the last wait has found.
    ready: usize,
    /// The number of clients that are to move to another runner.
    pub(super) surplus: usize,
    /// True if the leader is to be replaced for its age.
    pub(super) is_old: bool,
    is_closing: bool,
    is_closed: bool,
}

struct Entry {
    /// `None` while the leader serves it.
    client: Option<Client>,
    handle: Arc<ClientHandle>,
    /// The waker that the poller knows.
    waker: Option<Arc<WakeReceiver>>,
    /// The deadline of this client in `deadlines`.
    deadline: Option<Instant>,
}

impl Waiting {
    pub(super) fn new() -> io::Result<Self> {
        let (table, load) = (Mutex::default(), AtomicUsize::new(0));
        Ok(Self { poller: Poller::new()?, table, load })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the table, if nobody has it.
    pub(super) fn try_lock(&self) -> Option<MutexGuard<'_, Table>> {
        match self.table.try_lock() {
            Ok(table) => Some(table),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Returns the number of clients.
    pub(super) fn load(&self) -> usize {
        self.load.load(Ordering::Relaxed)
    }

    /// Waits for clients, for at most this time.
    pub(super) fn wait(&self, ready: &mut Ready, time: Option<Duration>) -> io::Result<()> {
        self.poller.wait(ready, time)
    }

    /// Ends the leader's wait.
    pub(super) fn wake(&self) {
        self.poller.wake();
    }

    /// Adds a client.
    pub(super) fn insert(&self, client: Client) -> Result<(), (Client, io::Error)> {
        let mut table = self.lock();
        if table.is_closed {
            return Err((client, io::ErrorKind::NotConnected.into()));
        }
        let handle = Arc::clone(&client.registered.handle);
        let entry =
            Entry { client: None, handle: Arc::clone(&handle), waker: None, deadline: None };
        let key = table.clients.insert(entry);
        self.count(&table);
        if let Err(error) = self.poller.add(&handle.stream, &handle.reader, key) {
            self.forget(&mut table, key);
            return Err((client, error));
        }
        let before = table.next_deadline();
        self.lay_down(&mut table, key, client);
        let next = table.next_deadline();
        if next.is_some() && (before.is_none() || next < before) {
            // The leader waits for longer than that.
            self.poller.wake();
        }
        Ok(())
    }

    /// Puts the client back that the leader has served.
    pub(super) fn put_back(&self, table: &mut Table, key: usize, client: Client) {
        table.serving = None;
        self.lay_down(table, key, client);
    }

    fn lay_down(&self, table: &mut Table, key: usize, client: Client) {
        let Some(entry) = table.clients.get_mut(key) else { return };
        let known = entry.waker.as_ref().map(Arc::as_ptr);
        if known != client.session.wake_receiver().map(Arc::as_ptr) {
            self.change_waker(entry, key, &client);
        }
        let deadline = client.session.deadline();
        entry.client = Some(client);
        // An earlier entry is looked at in time, and replaced by this one then.
        if let Some(deadline) = deadline
            && entry.deadline.is_none_or(|known| deadline < known)
        {
            entry.deadline = Some(deadline);
            table.deadlines.push(Reverse((deadline, key)));
            table.tidy_deadlines();
        }
    }

    #[cold]
    fn change_waker(&self, entry: &mut Entry, key: usize, client: &Client) {
        if let Some(waker) = entry.waker.take() {
            self.poller.remove_waker(&waker);
        }
        if let Some(waker) = client.session.wake_receiver() {
            match self.poller.add_waker(waker, key) {
                Ok(()) => entry.waker = Some(Arc::clone(waker)),
                // The client gets its events with its next reply.
                Err(error) => log::warn!("session {}: no events: {error}", entry.handle.id),
            }
        }
    }

    /// Removes a client from table and poller.
    pub(super) fn forget(&self, table: &mut Table, key: usize) {
        if table.serving == Some(key) {
            table.serving = None;
        }
        if let Some(entry) = table.clients.try_remove(key) {
            self.poller.remove(&entry.handle.stream, &entry.handle.reader);
            if let Some(waker) = &entry.waker {
                self.poller.remove_waker(waker);
            }
        }
        self.count(table);
    }

    /// Begins the term of another leader. The client that the last one serves is no longer one of
    /// this runner.
    pub(super) fn begin_term(&self, table: &mut Table, term: u64) {
        if let Some(key) = table.serving {
            self.forget(table, key);
        }
        table.term = term;
        table.since = Some((Instant::now(), table.turns));
        table.is_old = false;
    }

    /// Ends the leader once there is no client left.
    pub(super) fn close(&self) {
        self.lock().is_closing = true;
        self.poller.wake();
    }

    /// Ends the leader if no client is left, and none will come. A runner that has ended is the last
    /// choice for a client.
    pub(super) fn close_if_done(&self, table: &mut Table) -> bool {
        table.is_closed = table.is_closing && table.clients.is_empty();
        if table.is_closed {
            self.load.store(usize::MAX, Ordering::Relaxed);
        }
        table.is_closed
    }

    fn count(&self, table: &Table) {
        self.load.store(table.clients.len(), Ordering::Relaxed);
    }
}

impl Table {
    pub(super) fn term(&self) -> u64 {
        self.term
    }

    /// Returns the number of turns so far, and whether one is running.
    pub(super) fn turns(&self) -> (u64, bool) {
        (self.turns, self.serving.is_some())
    }

    /// Returns the time for which the present leader leads, if it has served a client.
    pub(super) fn age(&self) -> Option<Duration> {
        let (since, turns) = self.since?;
        (turns != self.turns).then(|| since.elapsed())
    }

    /// Returns the number of clients that were ready at the last wait.
    pub(super) fn ready(&self) -> usize {
        self.ready
    }

    /// Takes a client out to serve it. Returns `None` if there is none with this key.
    pub(super) fn take(&mut self, key: usize) -> Option<Client> {
        let client = self.clients.get_mut(key)?.client.take()?;
        self.serving = Some(key);
        self.turns += 1;
        Some(client)
    }

    /// Notes how many clients a wait has found.
    pub(super) fn note_ready(&mut self, ready: usize) {
        self.ready = ready;
    }

    /// Removes one deadline that has passed, and returns its client.
    pub(super) fn next_due(&mut self) -> Option<usize> {
        while let Some(Reverse((deadline, key))) = self.deadlines.peek().copied()
            && deadline <= Instant::now()
        {
            self.deadlines.pop();
            if let Some(entry) = self.clients.get_mut(key)
                && entry.deadline == Some(deadline)
            {
                entry.deadline = None;
                return Some(key);
            }
        }
        None
    }

    /// Drops the entries of deadlines that mean nothing, if they are many.
    fn tidy_deadlines(&mut self) {
        let Self { deadlines, clients, .. } = self;
        if deadlines.len() > 2 * clients.len() + FEW {
            deadlines.retain(|Reverse((deadline, key))| {
                clients.get(*key).is_some_and(|entry| entry.deadline == Some(*deadline))
            });
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.peek().map(|Reverse((deadline, _))| *deadline)
    }

    /// Returns the longest time for a wait; `None` without a limit.
    pub(super) fn time(&self) -> Option<Duration> {
        Some(self.next_deadline()?.saturating_duration_since(Instant::now()))
    }
}
