//! The context that all threads of a serving host share.

use std::{path::PathBuf, sync::Arc, time::Instant};

use auth::{certificate::Certificate, keyring::Keyring};
use plugin_engine::{events::EventBus, plugin_control::PluginControl};
use telemetry::{log_throttle::Throttle, metrics::Metrics};

use super::{
    client_memory::ClientMemory, clients::Sessions, membership::Membership, shutdown::Shutdown,
};
use crate::config::Serve;

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
    pub rejected: Throttle,
    /// The host's counters.
    pub metrics: Arc<Metrics>,
    /// The stop flag and its deadlines.
    pub shutdown: Arc<Shutdown>,
    /// The bus on which plugin events are published.
    pub events: Arc<EventBus>,
    /// The channel to the plugin manager.
    pub plugin_control: PluginControl,
    /// The membership in a fleet, if the host has one.
    pub membership: Membership,
    /// The time of the host's start.
    pub started: Instant,
    /// The directory that this host has locked while it runs.
    pub state_dir: PathBuf,
    /// The plugin in which the last run with this directory crashed; `None` if it did not.
    #[cfg_attr(not(feature = "fleet"), allow(dead_code, reason = "only a fleet's canary asks"))]
    pub crashed: Option<String>,
}
