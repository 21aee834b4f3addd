//! The host's end: one flag that every thread sees, and the times that it is bound by.

use std::{
    fmt,
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, Sender, bounded};

/// What every client is told.
pub const NOTICE: &str = "the server is shutting down";

/// Why the host ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A client sent `ks`.
    Client(std::net::SocketAddr),
    /// The system asked, by a signal or a closed console.
    System,
}

/// The stop flag and its deadline. It is set once and never taken back.
pub struct Shutdown {
    stopping: AtomicBool,
    since: OnceLock<Instant>,
    grace: Duration,
    wake: Sender<Reason>,
}

impl Shutdown {
    /// The flag, and where its first setting is heard.
    #[must_use]
    pub fn new(grace: Duration) -> (Self, Receiver<Reason>) {
        let (wake, woken) = bounded(1);
        let stopping = AtomicBool::new(false);
        (Self { stopping, since: OnceLock::new(), grace, wake }, woken)
    }

    /// Asks the host to end. Returns false where it was already ending.
    pub fn request(&self, reason: Reason) -> bool {
        if self.stopping.swap(true, Ordering::SeqCst) {
            return false;
        }
        self.since.get_or_init(Instant::now);
        // The channel holds the one message there is, unless nobody listens any more.
        let _ = self.wake.try_send(reason);
        true
    }

    /// Whether the host is ending.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// When running workers are given up. `None` while the host is not ending.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.since.get().map(|since| *since + self.grace)
    }

    /// When a client that still sends, or does not read, is given up: half way to the
    /// [`deadline`](Self::deadline), so that it never costs an orderly end.
    #[must_use]
    pub fn client_deadline(&self) -> Option<Instant> {
        self.since.get().map(|since| *since + self.grace / 2)
    }

    /// Whether the host is ending and clients have had their time.
    #[must_use]
    pub fn is_overrun(&self) -> bool {
        self.is_stopping() && self.client_deadline().is_some_and(|end| Instant::now() >= end)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(peer) => write!(out, "{peer} sent ks"),
            Self::System => out.write_str("the system asked for it"),
        }
    }
}
