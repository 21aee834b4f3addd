//! The tracker of the sessions' threads: it counts them, and has them joined as they end.

use std::{
    collections::HashMap,
    io,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, after, never};

use super::joiner::Joiner;

/// The poll interval for threads that are about to end.
const TICK: Duration = Duration::from_millis(2);

/// The poll interval while one of them does not end.
const LONG_TICK: Duration = Duration::from_millis(200);

/// An event that the pool or one of its threads sends to the server.
pub(crate) enum Event {
    /// The thread of this number has started.
    Started(u64, JoinHandle<()>),
    /// The thread has ended, except for its thread-locals and the system's last steps.
    Ended(u64),
    /// The thread of this number could not be started. `Ended` is sent for it, too.
    NeverStarted(u64),
}

/// The sessions' threads that have not been joined.
pub(crate) struct ThreadTracker {
    running: HashMap<u64, JoinHandle<()>>,
    ending: Joiner,
    /// Threads whose `Ended` has arrived before `Started` or `NeverStarted`.
    early: Vec<u64>,
}

impl ThreadTracker {
    /// Starts the joiner. Fails if its thread cannot be started.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { running: HashMap::new(), ending: Joiner::start()?, early: Vec::new() })
    }

    /// Applies an event.
    pub(crate) fn note(&mut self, event: Option<Event>) {
        match event {
            Some(Event::Started(id, thread)) => {
                match self.early.iter().position(|early| *early == id) {
                    Some(place) => {
                        self.early.swap_remove(place);
                        self.ending.join(thread);
                    }
                    None => {
                        self.running.insert(id, thread);
                    }
                }
            }
            Some(Event::Ended(id)) => match self.running.remove(&id) {
                Some(thread) => self.ending.join(thread),
                None => self.early.push(id),
            },
            Some(Event::NeverStarted(id)) => self.early.retain(|early| *early != id),
            None => {}
        }
        self.reap();
    }

    /// Has the joiner check for a blocked queue.
    pub(crate) fn reap(&mut self) {
        self.ending.add_thread_if_stalled();
    }

    /// Returns a channel that fires when [`reap`](Self::reap) is due.
    pub(crate) fn tick(&self) -> Receiver<Instant> {
        match self.ending.left() {
            0 => never(),
            _ => after(if self.ending.is_stalled() { LONG_TICK } else { TICK }),
        }
    }

    /// Returns the number of threads that have not been joined.
    pub(crate) fn left(&self) -> usize {
        self.running.len() + self.ending.left()
    }
}
