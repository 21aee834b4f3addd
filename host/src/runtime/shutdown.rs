//! The host's shutdown: one flag that every thread sees, and its deadlines.

use std::{
    fmt,
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, Sender, bounded};

/// The notice to every client after `ks`: the host is not started again by itself.
pub const FOR_GOOD: &str = "the server is shutting down";

/// The notice to every client when the system ends the host, perhaps for a restart. The client's
/// prompt recognizes this text and reconnects.
pub const FOR_NOW: &str = "the server is stopping, perhaps for a restart";

/// The part of the system's limit that is reserved for saving states and for the steps after it.
const SAVING: Duration = Duration::from_secs(3);

/// The part of [`SAVING`] that is reserved for the steps after saving.
const AFTER_SAVING: Duration = Duration::from_millis(500);

/// The reason for which the host ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A client sent `ks`.
    Client(std::net::SocketAddr),
    /// The system asked, by a signal or a closed console.
    System {
        /// The time after which the system kills the host; `None` without a limit.
        limit: Option<Duration>,
    },
}

/// The stop flag and its deadlines. The flag is set once and never cleared.
pub struct Shutdown {
    stopping: AtomicBool,
    /// The time at which it was set, and the notice for the clients.
    since: OnceLock<(Instant, &'static str)>,
    /// In milliseconds from that time. It never gets longer.
    grace: AtomicU64,
    /// The longest time that saving may take; zero without a limit.
    save_timeout: Duration,
    saving_since: OnceLock<Instant>,
    /// The system's deadline of saving, in milliseconds from `since`; `u64::MAX` for none.
    saved_by: AtomicU64,
    wake: Sender<Reason>,
}

impl Shutdown {
    /// Makes the flag, and the channel that receives the first reason.
    pub fn new(grace: Duration, save_timeout: Duration) -> (Self, Receiver<Reason>) {
        let (wake, woken) = bounded(1);
        let shutdown = Self {
            stopping: AtomicBool::new(false),
            since: OnceLock::new(),
            grace: AtomicU64::new(millis(grace)),
            save_timeout,
            saving_since: OnceLock::new(),
            saved_by: AtomicU64::new(u64::MAX),
            wake,
        };
        (shutdown, woken)
    }

    /// Asks the host to end. Returns false if it was already ending; its deadlines may then get
    /// shorter.
    pub fn request(&self, reason: Reason) -> bool {
        let (since, _) = *self.since.get_or_init(|| (Instant::now(), reason.notice()));
        if let Reason::System { limit: Some(limit) } = reason {
            let usable = since.elapsed() + limit.saturating_sub(SAVING);
            self.grace.fetch_min(millis(usable), Ordering::SeqCst);
            let saved = since.elapsed() + limit.saturating_sub(AFTER_SAVING);
            self.saved_by.fetch_min(millis(saved), Ordering::SeqCst);
        }
        if self.stopping.swap(true, Ordering::SeqCst) {
            return false;
        }
        // The channel has room for this one message. The receiver may be gone.
        let _ = self.wake.try_send(reason);
        true
    }

    /// Returns whether the host is ending.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Returns the notice to every client. The first reason decides.
    pub fn notice(&self) -> &'static str {
        self.since.get().map_or(FOR_NOW, |(_, notice)| notice)
    }

    /// Returns the time at which the host stops waiting for running workers. `None` while the host
    /// is not ending.
    pub fn deadline(&self) -> Option<Instant> {
        self.since.get().map(|(since, _)| *since + self.grace())
    }

    /// Returns the time at which the host stops waiting for clients that still send or do not read:
    /// after half of the grace, so that they never prevent an orderly end.
    pub fn client_deadline(&self) -> Option<Instant> {
        self.since.get().map(|(since, _)| *since + self.grace() / 2)
    }

    /// Records that the sessions have ended and the saving of states begins.
    pub fn begin_saving(&self) {
        self.saving_since.get_or_init(Instant::now);
    }

    /// Returns the time at which saving stops: after the save timeout, or before the system kills
    /// the host. States that are not saved by then are lost. `None` without a limit.
    pub fn save_deadline(&self) -> Option<Instant> {
        let bounded = self.saving_since.get().filter(|_| !self.save_timeout.is_zero());
        let own = bounded.map(|since| *since + self.save_timeout);
        let saved_by = self.saved_by.load(Ordering::SeqCst);
        let limited = self.since.get().filter(|_| saved_by != u64::MAX);
        let systems = limited.map(|(since, _)| *since + Duration::from_millis(saved_by));
        own.into_iter().chain(systems).min()
    }

    /// Returns whether the save deadline has passed.
    pub fn is_saving_over(&self) -> bool {
        self.save_deadline().is_some_and(|end| Instant::now() >= end)
    }

    fn grace(&self) -> Duration {
        Duration::from_millis(self.grace.load(Ordering::SeqCst))
    }

    /// Returns whether the host is ending and the client deadline has passed.
    pub fn is_overrun(&self) -> bool {
        self.is_stopping() && self.client_deadline().is_some_and(|end| Instant::now() >= end)
    }
}

impl plugin_engine::context::Shutdown for Shutdown {
    fn is_stopping(&self) -> bool {
        self.is_stopping()
    }

    fn deadline(&self) -> Option<Instant> {
        self.deadline()
    }

    fn is_saving_over(&self) -> bool {
        self.is_saving_over()
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
        let (shutdown, _woken) = Shutdown::new(Duration::ZERO, Duration::ZERO);
        shutdown.request(Reason::System { limit: None });
        shutdown.request(Reason::Client(([127, 0, 0, 1], 1).into()));
        assert_eq!(shutdown.notice(), FOR_NOW);
        let (shutdown, _woken) = Shutdown::new(Duration::ZERO, Duration::ZERO);
        shutdown.request(Reason::Client(([127, 0, 0, 1], 1).into()));
        shutdown.request(Reason::System { limit: None });
        assert_eq!(shutdown.notice(), FOR_GOOD);
    }

    #[test]
    fn the_systems_limit_leaves_time_to_save() {
        let left = |shutdown: &Shutdown| shutdown.deadline().unwrap() - Instant::now();
        let limit = Some(Duration::from_secs(5));
        let (hour, before) = (Duration::from_secs(3600), Instant::now());
        let (long, _woken) = Shutdown::new(Duration::from_secs(600), hour);
        assert!(long.request(Reason::System { limit: None }));
        assert!(left(&long) > Duration::from_secs(500));
        assert!(!long.request(Reason::System { limit }));
        assert!(left(&long) <= Duration::from_secs(2));
        long.begin_saving();
        let (deadline, to_save) = (long.save_deadline().unwrap(), Duration::from_millis(4500));
        assert!(deadline >= before + to_save && deadline <= Instant::now() + to_save);
        let (short, _woken) = Shutdown::new(Duration::from_millis(500), hour);
        assert!(short.request(Reason::System { limit }));
        assert!(left(&short) <= Duration::from_millis(500));
    }

    #[test]
    fn clients_get_half_of_the_grace() {
        let (shutdown, _woken) = Shutdown::new(Duration::from_secs(600), Duration::ZERO);
        assert!(!shutdown.is_stopping() && !shutdown.is_overrun());
        assert_eq!(shutdown.client_deadline(), None);
        let (half, before) = (Duration::from_secs(300), Instant::now());
        assert!(shutdown.request(Reason::System { limit: None }));
        assert!(shutdown.is_stopping() && !shutdown.is_overrun());
        let deadline = shutdown.client_deadline().unwrap();
        assert!(deadline >= before + half && deadline <= Instant::now() + half);
        let limit = Some(Duration::ZERO);
        assert!(!shutdown.request(Reason::System { limit }));
        assert!(shutdown.is_overrun() && shutdown.is_saving_over(), "the system waits no longer");
    }

    #[test]
    fn a_reason_names_the_client() {
        let reason = Reason::Client(([127, 0, 0, 1], 7).into());
        assert_eq!(reason.to_string(), "127.0.0.1:7 sent ks");
        let reason = Reason::System { limit: None };
        assert_eq!(reason.to_string(), "the system asked for it");
    }

    #[test]
    fn saving_has_a_bound_of_its_own() {
        let (bounded, _woken) = Shutdown::new(Duration::ZERO, Duration::from_secs(300));
        let (unbounded, _woken) = Shutdown::new(Duration::ZERO, Duration::ZERO);
        for shutdown in [&bounded, &unbounded] {
            assert!(shutdown.request(Reason::System { limit: None }));
            assert_eq!(shutdown.save_deadline(), None, "saving has not begun");
            shutdown.begin_saving();
            assert!(!shutdown.is_saving_over());
        }
        assert!(bounded.save_deadline().unwrap() > Instant::now() + Duration::from_secs(290));
        assert_eq!(unbounded.save_deadline(), None);
    }
}
