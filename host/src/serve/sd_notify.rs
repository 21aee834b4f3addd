//! The service manager that has started the host, if one has: systemd, or what speaks as it does.
//!
//! It is told when the host serves, how it is, that it is alive, and when it ends; sd_notify(3).
//! Without one nothing is said, and nothing depends on being heard.

use std::time::{Duration, Instant};

use plugin_engine::registry::LiveRegistry;

use crate::runtime::context::Shared;

/// How often the host tells how it is.
const STATUS: Duration = Duration::from_secs(5);

/// The host serves: its plugins are loaded, and clients can connect.
pub fn ready(shared: &Shared, registry: &LiveRegistry) {
    platform::tell_service_manager(&format!("READY=1\nSTATUS={}", status(shared, registry)));
}

/// The host has begun to end.
pub fn stopping() {
    platform::tell_service_manager("STOPPING=1\nSTATUS=shutting down");
}

/// For how long the host asks at a time, when its end takes long. It asks again long before.
const EXTENSION: Duration = Duration::from_secs(30);

/// The end takes long, for this reason: it is alive, and wants more time than the unit gives it.
pub fn still_stopping(why: &str) {
    let extension = EXTENSION.as_micros();
    platform::tell_service_manager(&format!(
        "EXTEND_TIMEOUT_USEC={extension}\nWATCHDOG=1\nSTATUS={why}"
    ));
}

/// What is told again and again.
pub struct Notifier {
    /// How often the manager wants to hear something; else it takes the host for hung.
    watchdog: Option<Duration>,
    /// Somebody listens.
    heard: bool,
    alive: Option<Instant>,
    extended: Option<Instant>,
    status: Option<(Instant, String)>,
}

impl Notifier {
    /// As the manager wants it.
    #[must_use]
    pub fn new() -> Self {
        let (watchdog, heard) = (platform::watchdog(), platform::has_service_manager());
        Self { watchdog, heard, alive: None, extended: None, status: None }
    }

    /// How often [`notify`](Self::notify) is wanted: as usual, or more often for the watchdog, with
    /// time for one that comes late.
    #[must_use]
    pub fn interval(&self, usual: Duration) -> Duration {
        self.watchdog.map_or(usual, |watchdog| usual.min(watchdog / 4))
    }

    /// Tells what is due.
    pub fn notify(&mut self, now: Instant, shared: &Shared, registry: &LiveRegistry) {
        if !self.heard {
            return;
        }
        let due = |last: Option<Instant>, pause| {
            last.is_none_or(|last| now.saturating_duration_since(last) >= pause)
        };
        if self.watchdog.is_some_and(|watchdog| due(self.alive, watchdog / 4)) {
            platform::tell_service_manager("WATCHDOG=1");
            self.alive = Some(now);
        }
        let stopping = shared.shutdown.is_stopping();
        if stopping && due(self.extended, STATUS) {
            still_stopping("shutting down");
            self.extended = Some(now);
        }
        if !stopping && due(self.status.as_ref().map(|(last, _)| *last), STATUS) {
            let status = status(shared, registry);
            if self.status.as_ref().is_none_or(|(_, before)| *before != status) {
                platform::tell_service_manager(&format!("STATUS={status}"));
            }
            self.status = Some((now, status));
        }
    }
}

impl Default for Notifier {
    fn default() -> Self {
        Self::new()
    }
}

/// In a few figures, as `systemctl status` shows it.
fn status(shared: &Shared, registry: &LiveRegistry) -> String {
    let registry = registry.load();
    let (plugins, sessions) = (registry.all_plugins().len(), shared.sessions.len());
    let calls: u64 = shared.metrics.read().iter().map(|one| one.calls).sum();
    format!("plugins: {plugins}, sessions: {sessions}, calls so far: {calls}")
}
