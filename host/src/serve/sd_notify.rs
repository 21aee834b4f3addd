//! Notifications to the service manager that has started the host: systemd, or one that implements
//! sd_notify(3).
//!
//! They report that the host serves, its status, that it is alive, and that it ends. Without a
//! service manager nothing is sent. Nothing depends on their arrival.

use std::time::{Duration, Instant};

use plugin_engine::registry::LiveRegistry;

use crate::runtime::context::Shared;

/// The interval between two status notifications.
const STATUS: Duration = Duration::from_secs(5);

/// Reports that the host serves: its plugins are loaded, and clients can connect.
pub fn ready(shared: &Shared, registry: &LiveRegistry) {
    platform::notify_service_manager(&format!("READY=1\nSTATUS={}", status(shared, registry)));
}

/// Reports that the host has begun to end.
pub fn stopping() {
    platform::notify_service_manager("STOPPING=1\nSTATUS=shutting down");
}

/// The time that one request extends the unit's stop timeout by. Requests repeat well before that.
const EXTENSION: Duration = Duration::from_secs(30);

/// Reports that the host is still ending, for this reason, and asks for more time.
pub fn still_stopping(why: &str) {
    let extension = EXTENSION.as_micros();
    platform::notify_service_manager(&format!(
        "EXTEND_TIMEOUT_USEC={extension}\nWATCHDOG=1\nSTATUS={why}"
    ));
}

/// The notifications that repeat: alive, status, and the extension of the stop timeout.
pub struct Notifier {
    /// The watchdog's timeout, after which the service manager takes the host for hung.
    watchdog: Option<Duration>,
    /// True if there is a service manager.
    is_active: bool,
    alive: Option<Instant>,
    extended: Option<Instant>,
    status: Option<(Instant, String)>,
}

impl Notifier {
    /// Reads the service manager's wishes from the environment.
    pub fn new() -> Self {
        let (watchdog, is_active) = (platform::watchdog(), platform::has_service_manager());
        Self { watchdog, is_active, alive: None, extended: None, status: None }
    }

    /// Returns the interval for calling [`notify`](Self::notify): `usual`, or a quarter of the
    /// watchdog's timeout if that is shorter.
    pub fn interval(&self, usual: Duration) -> Duration {
        self.watchdog.map_or(usual, |watchdog| usual.min(watchdog / 4))
    }

    /// Sends the notifications that are due.
    pub fn notify(&mut self, now: Instant, shared: &Shared, registry: &LiveRegistry) {
        if !self.is_active {
            return;
        }
        let due = |last: Option<Instant>, pause| {
            last.is_none_or(|last| now.saturating_duration_since(last) >= pause)
        };
        if self.watchdog.is_some_and(|watchdog| due(self.alive, watchdog / 4)) {
            platform::notify_service_manager("WATCHDOG=1");
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
                platform::notify_service_manager(&format!("STATUS={status}"));
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

/// Formats the status line that `systemctl status` shows.
fn status(shared: &Shared, registry: &LiveRegistry) -> String {
    let registry = registry.load();
    let (plugins, sessions) = (registry.all_plugins().len(), shared.sessions.len());
    let calls: u64 = shared.metrics.read().iter().map(|one| one.calls).sum();
    format!("plugins: {plugins}, sessions: {sessions}, calls so far: {calls}")
}
