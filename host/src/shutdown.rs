//! The host's end: one flag that every thread sees, and the times that it is bound by.

use std::{
    fmt,
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, Sender, bounded};

/// The notice to every client when one of them has ended the host: nobody starts it again by itself.
pub const FOR_GOOD: &str = "the server is shutting down";

/// The notice to every client when the system has ended the host. A restart looks the same. The
/// client's prompt knows these words and connects again.
pub const FOR_NOW: &str = "the server is stopping, perhaps for a restart";

/// What of the time that the system leaves goes to saving states.
const SAVING: Duration = Duration::from_secs(3);

/// Why the host ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A client sent `ks`.
    Client(std::net::SocketAddr),
    /// The system asked, by a signal or a closed console.
    System {
        /// How long it waits before it kills the host; `None`: as long as it takes.
        limit: Option<Duration>,
    },
}

/// The stop flag and its deadline. It is set once and never taken back.
pub struct Shutdown {
    stopping: AtomicBool,
    /// When it was set first, and what clients are told of it.
    since: OnceLock<(Instant, &'static str)>,
    /// In milliseconds from then. It only ever gets shorter.
    grace: AtomicU64,
    wake: Sender<Reason>,
}

impl Shutdown {
    /// The flag, and where its first setting is heard.
    #[must_use]
    pub fn new(grace: Duration) -> (Self, Receiver<Reason>) {
        let (wake, woken) = bounded(1);
        let (stopping, grace) = (AtomicBool::new(false), AtomicU64::new(millis(grace)));
        (Self { stopping, since: OnceLock::new(), grace, wake }, woken)
    }

    /// Asks the host to end. Returns false where it was already ending; it may then have less time
    /// than it had.
    pub fn request(&self, reason: Reason) -> bool {
        let (since, _) = *self.since.get_or_init(|| (Instant::now(), reason.notice()));
        if let Reason::System { limit: Some(limit) } = reason {
            let usable = since.elapsed() + limit.saturating_sub(SAVING);
            self.grace.fetch_min(millis(usable), Ordering::SeqCst);
        }
        if self.stopping.swap(true, Ordering::SeqCst) {
            return false;
        }
        // The channel holds the one message there is, unless nobody listens any more.
        let _ = self.wake.try_send(reason);
        true
    }

    /// Whether the host is ending.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// The notice to every client. The first reason decides.
    #[must_use]
    pub fn notice(&self) -> &'static str {
        self.since.get().map_or(FOR_NOW, |(_, notice)| notice)
    }

    /// When running workers are given up. `None` while the host is not ending.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.since.get().map(|(since, _)| *since + self.grace())
    }

    /// When a client that still sends, or does not read, is given up: half way to the
    /// [`deadline`](Self::deadline), so that it never costs an orderly end.
    #[must_use]
    pub fn client_deadline(&self) -> Option<Instant> {
        self.since.get().map(|(since, _)| *since + self.grace() / 2)
    }

    fn grace(&self) -> Duration {
        Duration::from_millis(self.grace.load(Ordering::SeqCst))
    }

    /// Whether the host is ending and clients have had their time.
    #[must_use]
    pub fn is_overrun(&self) -> bool {
        self.is_stopping() && self.client_deadline().is_some_and(|end| Instant::now() >= end)
    }
}

impl Reason {
    fn notice(&self) -> &'static str {
        match self {
            Self::Client(_) => FOR_GOOD,
            Self::System { .. } => FOR_NOW,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(peer) => write!(out, "{peer} sent ks"),
            Self::System { .. } => out.write_str("the system asked for it"),
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_reason_decides_the_notice() {
        let (shutdown, _woken) = Shutdown::new(Duration::ZERO);
        shutdown.request(Reason::System { limit: None });
        shutdown.request(Reason::Client(([127, 0, 0, 1], 1).into()));
        assert_eq!(shutdown.notice(), FOR_NOW);
        let (shutdown, _woken) = Shutdown::new(Duration::ZERO);
        shutdown.request(Reason::Client(([127, 0, 0, 1], 1).into()));
        shutdown.request(Reason::System { limit: None });
        assert_eq!(shutdown.notice(), FOR_GOOD);
    }

    #[test]
    fn the_systems_limit_leaves_time_to_save() {
        let left = |shutdown: &Shutdown| shutdown.deadline().unwrap() - Instant::now();
        let limit = Some(Duration::from_secs(5));
        let (long, _woken) = Shutdown::new(Duration::from_secs(600));
        assert!(long.request(Reason::System { limit: None }));
        assert!(left(&long) > Duration::from_secs(500));
        assert!(!long.request(Reason::System { limit }));
        assert!(left(&long) <= Duration::from_secs(2));
        let (short, _woken) = Shutdown::new(Duration::from_millis(500));
        assert!(short.request(Reason::System { limit }));
        assert!(left(&short) <= Duration::from_millis(500));
    }
}
