//! The calling session, as a worker process knows it.

use std::{
    sync::{Mutex, MutexGuard, PoisonError, atomic::AtomicBool, atomic::Ordering},
    time::{Duration, Instant},
};

use abi_stable::std_types::{RStr, RString, RVec};
use plugin_api::abi::{RawCommand, RawPeer, RawPlugin, RawSession, Session};
use serde::de::DeserializeOwned;

use super::{
    message::{CallHead, Query, kind},
    wire::{Received, Wire},
};
use crate::live::host_services::{raw_commands, raw_plugins, raw_sessions};

/// The session behind one call. Facts that did not travel with the call are asked for over its
/// connection, on which the host waits for the reply.
pub struct RemoteSession<'a> {
    head: CallHead,
    /// The lock is for workers that use the session on several threads.
    wire: Mutex<&'a mut Wire>,
    is_cancelled: AtomicBool,
}

impl<'a> RemoteSession<'a> {
    /// Makes the session of the call that was received last on this connection.
    pub fn new(head: CallHead, wire: &'a mut Wire) -> Self {
        Self { head, wire: Mutex::new(wire), is_cancelled: AtomicBool::new(false) }
    }

    /// Sends a message to the host.
    pub fn send(&self, kind: u8, fill: impl FnOnce(&mut Vec<u8>)) {
        // A host that has gone ends this process.
        let _ = self.wire().send(kind, fill, &mut || true);
    }

    fn wire(&self) -> MutexGuard<'_, &'a mut Wire> {
        self.wire.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the host for facts; returns their default if the host has gone.
    fn ask<T: DeserializeOwned + Default>(&self, query: Query) -> T {
        let mut wire = self.wire();
        if wire.send(kind::QUERY, |out| out.push(query as u8), &mut || true).is_err() {
            return T::default();
        }
        loop {
            match wire.receive(usize::MAX) {
                Ok(Received::Message(kind::FACTS, facts)) => {
                    return serde_json::from_slice(facts).unwrap_or_default();
                }
                Ok(Received::Message(kind::CANCEL, _)) => {
                    self.is_cancelled.store(true, Ordering::SeqCst);
                }
                Ok(_) => {}
                Err(_) => return T::default(),
            }
        }
    }
}

impl Session for RemoteSession<'_> {
    fn id(&self) -> u64 {
        self.head.session
    }

    fn time_millis(&self) -> u64 {
        self.head.time
    }

    fn peer(&self) -> RawPeer {
        self.head.peer
    }

    fn name(&self) -> RString {
        self.ask::<String>(Query::Name).into()
    }

    fn cancelled(&self) -> bool {
        self.wait(0)
    }

    fn wait(&self, millis: u64) -> bool {
        /// The longest time for which one thread of a worker keeps others from the connection.
        const SLICE: Duration = Duration::from_millis(50);
        let end = Instant::now().checked_add(Duration::from_millis(millis));
        loop {
            if self.is_cancelled.load(Ordering::SeqCst) {
                return true;
            }
            let now = Instant::now();
            let left = end.map_or(SLICE, |end| end.saturating_duration_since(now).min(SLICE));
            let mut wire = self.wire();
            if wire.is_readable(left) {
                // The host sends only a cancellation here. If it has gone, that is one, too.
                self.is_cancelled.store(true, Ordering::SeqCst);
                let _ = wire.receive(usize::MAX);
                return true;
            }
            drop(wire);
            if end.is_some_and(|end| Instant::now() >= end) {
                return self.is_cancelled.load(Ordering::SeqCst);
            }
        }
    }

    fn commands(&self) -> RVec<RawCommand> {
        raw_commands(self.ask(Query::Commands))
    }

    fn sessions(&self) -> RVec<RawSession> {
        raw_sessions(self.ask(Query::Sessions))
    }

    fn plugins(&self) -> RVec<RawPlugin> {
        raw_plugins(&self.ask::<Vec<_>>(Query::Plugins))
    }

    fn progress(&self, done: u64, total: u64, text: RStr<'_>) {
        self.send(kind::PROGRESS, |out| {
            out.extend_from_slice(&done.to_le_bytes());
            out.extend_from_slice(&total.to_le_bytes());
            out.extend_from_slice(text.as_str().as_bytes());
        });
    }

    fn key(&self) -> RString {
        self.ask::<String>(Query::Key).into()
    }

    fn role(&self) -> RString {
        self.ask::<String>(Query::Role).into()
    }
}
