//! Announces this host to the others.

use std::{sync::Arc, time::Duration};

use plugin_engine::VERSION;

use crate::{
    announcement::{Announcement, HostState},
    node::Node,
    outbox::Outgoing,
    stall,
};

/// The interval between two announcements.
const INTERVAL: Duration = Duration::from_secs(1);

/// The interval between two pings of each host, for the list of members.
const PING_INTERVAL: Duration = Duration::from_secs(5);

/// Announces this host each second, and notices hosts that are silent, for as long as the membership
/// lasts.
pub async fn run(node: Arc<Node>) {
    let mut was_stopped = false;
    loop {
        if node.link.is_up() {
            announce(&node).await;
            for id in node.members.due_for_ping(PING_INTERVAL, |_| true) {
                node.outbox.post(Outgoing::Ping(id)).await;
            }
            if !node.echo.is_late() && node.members.forget_silent() {
                log::warn!("fleet: a host has been silent for too long");
                node.members.serve(&node);
            }
        }
        if was_stopped || (node.link.is_up() && node.echo.is_late()) {
            node.running.forgive_silence();
        } else {
            node.running.cancel_forsaken();
        }
        if node.link.is_up() && node.echo.begin() {
            node.outbox.post(Outgoing::Ping(node.id.clone())).await;
        }
        node.running.log_slow(node.settings.slow_call);
        was_stopped = stall::sleep(INTERVAL).await;
    }
}

/// Announces this host.
pub async fn announce(node: &Node) {
    let leaves = node.host.shutdown.is_stopping();
    announce_as(node, if leaves { HostState::Leaves } else { HostState::Serves }).await;
}

/// Announces this host in this state.
pub async fn announce_as(node: &Node, state: HostState) {
    let registry = node.host.registry.load();
    let plugins = registry.all_plugins().iter();
    let announcement = Announcement {
        id: node.id.clone(),
        name: node.settings.host.clone(),
        version: VERSION.to_owned(),
        addresses: node.settings.addresses.clone(),
        target: target(),
        connects: node.link.connects(),
        revision: node.stats.revision(),
        plugins: plugins.map(|plugin| (plugin.name.clone(), plugin.version.clone())).collect(),
        running: node.running.len(),
        state,
        rollouts: node.rollouts.confirmed.lock().clone(),
    };
    // Text and numbers always have a form in JSON.
    let payload = serde_json::to_vec(&announcement).unwrap_or_default();
    node.outbox.post(Outgoing::plain(node.subjects.alive(), payload.into())).await;
}

/// Returns the platform of this host, such as `x86_64-linux`.
pub fn target() -> String {
    format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS)
}
