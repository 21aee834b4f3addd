//! The context that all threads of a serving host share.

use std::{path::PathBuf, sync::Arc, time::Instant};

use super::{
    client_memory::ClientMemory, clients::Sessions, events::EventBus,
    plugin_control::PluginControl, shutdown::Shutdown,
};
use crate::{
    access::{certificate::Certificate, keyring::Keyring},
    config::Serve,
    telemetry::metrics::Metrics,
    util::log_throttle::Throttle,
};

/// The host's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The context that all threads of a serving host share. It lives until the last of them ends.
pub struct Shared {
    /// The flags.
    pub config: Serve,
    /// The valid keys.
    pub keyring: Keyring,
    /// The host's certificate for TLS.
    pub certificate: Certificate,
    /// The live sessions.
    pub sessions: Sessions,
    /// The memory that the sessions' requests and replies take.
    pub client_memory: ClientMemory,
    /// Limits the log lines about rejected clients.
    pub turned_away: Throttle,
    /// The host's counters.
    pub metrics: Metrics,
    /// The stop flag and its deadlines.
    pub shutdown: Arc<Shutdown>,
    /// The bus on which plugin events are published.
    pub events: Arc<EventBus>,
    /// The channel to the plugin manager.
    pub plugin_control: PluginControl,
    /// The time of the host's start.
    pub started: Instant,
    /// The directory that this host has locked while it runs.
    pub state_dir: PathBuf,
}
