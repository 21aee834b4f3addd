//! What all threads of a serving host share.

use std::{path::PathBuf, sync::Arc, time::Instant};

use auth::{certificate::Certificate, keyring::Keyring};
use plugin_engine::{events::EventBus, plugin_control::PluginControl};
use telemetry::{log_throttle::Throttle, metrics::Metrics};

use super::{client_memory::ClientMemory, clients::Sessions, shutdown::Shutdown};
use crate::config::Serve;

/// What all threads of a serving host share. Lives until the last of them has ended.
pub struct Shared {
    /// The flags.
    pub config: Serve,
    /// The keys that let in.
    pub keyring: Keyring,
    /// What the host proves itself with over TLS.
    pub certificate: Certificate,
    /// Who is connected.
    pub sessions: Sessions,
    /// How much memory the sessions' requests and replies take.
    pub client_memory: ClientMemory,
    /// What the log is told of who is not let in.
    pub turned_away: Throttle,
    /// What the host counts.
    pub metrics: Arc<Metrics>,
    /// Whether the host is ending.
    pub shutdown: Arc<Shutdown>,
    /// Where events of plugins are published.
    pub events: Arc<EventBus>,
    /// Where the manager of plugins is told.
    pub plugin_control: PluginControl,
    /// When the host started.
    pub started: Instant,
    /// The directory that this host has to itself while it runs.
    pub state_dir: PathBuf,
}
