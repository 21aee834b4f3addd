//! Clients that send without pause.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
};

use crate::{
    frame::Frame,
    host::Host,
    resp::{Resp, encode},
    wait::{LIMIT, wait_until},
};

/// Number of replies that each client must get before the host counts as loaded.
const FLOW: u64 = 20;

/// Clients at full speed. A wrong reply, or a session that ends, fails the test.
pub struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<Client>,
}

struct Client {
    replies: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl Load {
    /// Returns a load without clients.
    #[must_use]
    pub fn new() -> Self {
        Self { stop: Arc::default(), clients: Vec::new() }
    }

    /// Adds a client that sends a command repeatedly, `batch` of it at once.
    #[must_use]
    pub fn client(
        mut self,
        host: &Host,
        words: &[&str],
        batch: usize,
        mut right: impl FnMut(&Frame) -> bool + Send + 'static,
    ) -> Self {
        let (requests, words) = (encode(words).repeat(batch), words.join(" "));
        let (stop, replies) = (Arc::clone(&self.stop), Arc::<AtomicU64>::default());
        let (mut session, counted) = (Resp::connect(host), Arc::clone(&replies));
        let thread = thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                session.send(&requests);
                for _ in 0..batch {
                    let reply = session.frame();
                    assert!(right(&reply), "'{words}' got the reply {reply:?}");
                    counted.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        self.clients.push(Client { replies, thread });
        self
    }

    /// Waits until every client has got some more replies.
    ///
    /// # Panics
    /// A client gets none, since its session has ended or blocks.
    #[track_caller]
    pub fn flow(&self) {
        for (number, client) in self.clients.iter().enumerate() {
            let goal = client.replies.load(Ordering::Relaxed) + FLOW;
            wait_until(&format!("client {number} gets replies"), LIMIT, || {
                let ended = client.thread.is_finished();
                assert!(!ended, "client {number} has ended, see above");
                client.replies.load(Ordering::Relaxed) >= goal
            });
        }
    }

    /// Stops the clients, each after its current batch, and returns how many replies each has got.
    ///
    /// # Panics
    /// A reply was wrong or a session has ended.
    #[track_caller]
    pub fn stop(mut self) -> Vec<u64> {
        self.stop.store(true, Ordering::SeqCst);
        let mut replies = Vec::new();
        for (number, client) in std::mem::take(&mut self.clients).into_iter().enumerate() {
            let ended = client.thread.join();
            assert!(ended.is_ok(), "a reply for client {number} was wrong, see above");
            replies.push(client.replies.load(Ordering::SeqCst));
        }
        replies
    }
}

/// Ends the sessions of a test, even if it fails.
pub struct Ending<'a>(pub &'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Default for Load {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}
