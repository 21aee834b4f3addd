//! The state of the connection to the NATS servers, as every thread sees it.

use std::{
    fmt::Display,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Instant,
};

use parking_lot::Mutex;
use tokio::sync::watch;

/// The bytes of a message that are reserved for its subject and its kind.
const RESERVED: usize = 1 << 10;

/// The limit of a message before a server has named its own, in bytes.
const FIRST_LIMIT: usize = 64 << 10;

/// The error of a call that runs when the connection ends.
pub const CUT: &str = "the connection to the fleet's NATS server ended while the command was away; it \
                       may have run";

/// The state of the connection to the NATS servers.
pub struct Link {
    is_up: AtomicBool,
    changed: watch::Sender<bool>,
    /// The reason for which it is down, and the time since then.
    problem: Mutex<(String, Instant)>,
    /// The largest message, in bytes.
    limit: AtomicUsize,
    /// The number of times that it has been up.
    connects: AtomicUsize,
    /// The last refusal of the server on this connection; `None` if there was none.
    refusal: Mutex<Option<String>>,
}

impl Link {
    /// Makes a link that has not been up yet.
    pub fn new() -> Self {
        Self {
            is_up: AtomicBool::new(false),
            changed: watch::Sender::new(false),
            problem: Mutex::new(("not connected yet".to_owned(), Instant::now())),
            limit: AtomicUsize::new(FIRST_LIMIT),
            connects: AtomicUsize::new(0),
            refusal: Mutex::default(),
        }
    }

    /// Returns true if the connection is up.
    pub fn is_up(&self) -> bool {
        self.is_up.load(Ordering::Acquire)
    }

    /// Records that the connection is up, and the server's limit of a message in bytes.
    pub fn rise(&self, limit: usize) {
        self.limit.store(limit.saturating_sub(RESERVED).max(RESERVED), Ordering::Relaxed);
        self.connects.fetch_add(1, Ordering::Relaxed);
        self.is_up.store(true, Ordering::Release);
        self.changed.send_replace(true);
    }

    /// Records that the connection is down.
    pub fn fall(&self, why: impl Display) {
        *self.problem.lock() = (why.to_string(), Instant::now());
        *self.refusal.lock() = None;
        self.is_up.store(false, Ordering::Release);
        self.changed.send_replace(false);
    }

    /// Replaces the reason for which the connection is down, and logs it if it is new.
    pub fn note_problem(&self, why: impl Display) {
        let why = why.to_string();
        let mut problem = self.problem.lock();
        if !self.is_up() && problem.0 != why {
            log::warn!("fleet: cannot connect to a NATS server: {why}");
            problem.0 = why;
        }
    }

    /// Notes what the server refuses on this connection.
    pub fn note_refusal(&self, error: impl Display) {
        *self.refusal.lock() = Some(error.to_string());
    }

    /// Returns what the server has refused last; `None`: nothing on this connection.
    pub fn refusal(&self) -> Option<String> {
        self.refusal.lock().clone()
    }

    /// Waits until the connection is up.
    pub async fn risen(&self) {
        // The sender lives as long as this.
        let _ = self.changed.subscribe().wait_for(|is_up| *is_up).await;
    }

    /// Waits until the connection is down.
    pub async fn fallen(&self) {
        // The sender lives as long as this.
        let _ = self.changed.subscribe().wait_for(|is_up| !is_up).await;
    }

    /// Returns the most bytes of a message.
    pub fn limit(&self) -> usize {
        self.limit.load(Ordering::Relaxed)
    }

    /// Returns the number of times that the connection has been up.
    pub fn connects(&self) -> usize {
        self.connects.load(Ordering::Relaxed)
    }

    /// Describes for people why the connection is down.
    pub fn explain(&self) -> String {
        let (why, since) = &*self.problem.lock();
        let seconds = since.elapsed().as_secs_f64();
        format!("the fleet's NATS server has been away for {seconds:.1} s: {why}")
    }
}
