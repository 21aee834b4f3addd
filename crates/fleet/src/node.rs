//! What the threads of a membership share.

use std::sync::Arc;

use plugin_engine::{context::Shutdown, plugin_control::PluginControl, registry::LiveRegistry};
use telemetry::metrics::Metrics;
use tokio::sync::Notify;

use crate::{
    answering::{endpoints::EndpointStats, pool::Pool, running::RunningCalls},
    calling::pending::PendingCalls,
    link::Link,
    members::Members,
    outbox::Outbox,
    settings::Settings,
    subjects::Subjects,
};

/// The parts of the host that a membership uses.
#[derive(Clone)]
pub struct HostParts {
    /// The registry in force.
    pub registry: Arc<LiveRegistry>,
    /// The channel to the manager of plugins.
    pub plugin_control: PluginControl,
    /// The host's counters.
    pub metrics: Arc<Metrics>,
    /// The end of the host.
    pub shutdown: Arc<dyn Shutdown>,
}

/// What the threads of a membership share.
pub struct Node {
    /// This host's id: new at each start, and one token of a subject.
    pub id: String,
    /// The prefix of the subjects on which replies arrive.
    pub inbox: String,
    /// The settings.
    pub settings: Settings,
    /// The subjects of the fleet.
    pub subjects: Subjects,
    /// The host.
    pub host: HostParts,
    /// The state of the connection.
    pub link: Link,
    /// Messages on their way to the connection.
    pub outbox: Outbox,
    /// The other hosts.
    pub members: Members,
    /// The calls of this host that others answer.
    pub pending: PendingCalls,
    /// Wakes the watch of these calls.
    pub has_pending: Notify,
    /// The calls of others that this host answers.
    pub running: RunningCalls,
    /// The threads that run them.
    pub pool: Arc<Pool>,
    /// Wakes the task that ticks the pool.
    pub has_jobs: Notify,
    /// The counters of the commands that others can call.
    pub stats: EndpointStats,
}
