//! The state that the threads of a membership share.

use std::{path::PathBuf, sync::Arc};

use plugin_engine::{
    context::Shutdown, events::EventBus, plugin_control::PluginControl, registry::LiveRegistry,
    trust::signature::PluginKey,
};
use telemetry::{log_throttle::NamedThrottle, metrics::Metrics};
use tokio::sync::Notify;

use crate::{
    answering::{endpoints::EndpointStats, pool::Pool, running::RunningCalls},
    calling::pending::PendingCalls,
    echo::Echo,
    link::Link,
    members::Members,
    outbox::Outbox,
    rollout::RolloutState,
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
    /// The bus on which events of plugins are published.
    pub events: Arc<EventBus>,
    /// The plugins folder.
    pub plugins: PathBuf,
    /// The key that every plugin must be signed with; `None` on a host that takes no plugins from
    /// the fleet.
    pub plugin_key: Option<Arc<PluginKey>>,
    /// The plugin in which the last run of this host crashed; `None` if it did not.
    pub crashed: Option<String>,
}

/// The state that the threads of a membership share.
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
    /// Bounds the log's lines about what the server refuses.
    pub refusals: NamedThrottle,
    /// Messages on their way to the connection.
    pub outbox: Outbox,
    /// The other hosts.
    pub members: Members,
    /// The pings of this host to itself.
    pub echo: Echo,
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
    /// The rollouts of plugins.
    pub rollouts: RolloutState,
}
