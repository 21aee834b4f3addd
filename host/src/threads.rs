//! The sessions' threads: counted, and joined as they end.

use std::{
    collections::HashMap,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, after, never};

/// How often threads that are just about to end are looked at again.
const TICK: Duration = Duration::from_millis(2);

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
#[derive(Default)]
pub(crate) struct Threads {
    running: HashMap<u64, JoinHandle<()>>,
    ending: Vec<JoinHandle<()>>,
    /// Ended before the acceptor's word of their start came through, or never started.
    early: Vec<u64>,
}

impl Threads {
    /// Takes note of what happened.
    pub(crate) fn note(&mut self, event: Option<Event>) {
        match event {
            Some(Event::Started(id, thread)) => {
                match self.early.iter().position(|early| *early == id) {
                    Some(place) => {
                        self.early.swap_remove(place);
                        self.ending.push(thread);
                    }
                    None => {
                        self.running.insert(id, thread);
                    }
                }
            }
            Some(Event::Ended(id)) => match self.running.remove(&id) {
                Some(thread) => self.ending.push(thread),
                None => self.early.push(id),
            },
            Some(Event::NeverStarted(id)) => self.early.retain(|early| *early != id),
            None => {}
        }
        self.reap();
    }

    /// Joins what has ended. Looking first keeps a thread that is held up in its last moments,
    /// say by a plugin's thread-local, from holding up the server.
    pub(crate) fn reap(&mut self) {
        let (ended, ending) = std::mem::take(&mut self.ending)
            .into_iter()
            .partition(|thread: &JoinHandle<()>| thread.is_finished());
        self.ending = ending;
        for thread in ended {
            if thread.join().is_err() {
                log::error!("a session's thread panicked");
            }
        }
    }

    /// When to look again at threads that are just about to end.
    pub(crate) fn tick(&self) -> Receiver<Instant> {
        if self.ending.is_empty() { never() } else { after(TICK) }
    }

    /// How many have not been joined.
    pub(crate) fn left(&self) -> usize {
        self.running.len() + self.ending.len()
    }
}
