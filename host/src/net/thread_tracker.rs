//! The sessions' threads: counted, and joined as they end.

use std::{
    collections::HashMap,
    io,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, after, never};

use super::joiner::Joiner;

/// How often threads that are just about to end are looked at again.
const TICK: Duration = Duration::from_millis(2);

/// How often, when one of them does not end.
const LONG_TICK: Duration = Duration::from_millis(200);

/// What the pool and its threads tell the server.
pub(crate) enum Event {
    /// The thread of this number has started.
    Started(u64, JoinHandle<()>),
    /// The thread is at its end but for what the system does last.
    Ended(u64),
    /// The system had no thread for this number, which has ended all the same.
    NeverStarted(u64),
}

/// The sessions' threads, each joined as soon as it has ended.
pub(crate) struct Threads {
    running: HashMap<u64, JoinHandle<()>>,
    ending: Joiner,
    /// Ended before the acceptor's word of their start came through, or never started.
    early: Vec<u64>,
}

impl Threads {
    /// None yet.
    ///
    /// # Errors
    /// Where there is no thread to join them on.
    pub(crate) fn new() -> io::Result<Self> {
        let (running, early) = Default::default();
        Ok(Self { running, ending: Joiner::start()?, early })
    }

    /// Takes note of what happened.
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

    /// Sees that those that end are joined.
    pub(crate) fn reap(&mut self) {
        self.ending.look();
    }

    /// When to look again at threads that are just about to end.
    pub(crate) fn tick(&self) -> Receiver<Instant> {
        match self.ending.left() {
            0 => never(),
            _ => after(if self.ending.is_stalled() { LONG_TICK } else { TICK }),
        }
    }

    /// How many have not been joined.
    pub(crate) fn left(&self) -> usize {
        self.running.len() + self.ending.left()
    }
}
