//! Describes the rollouts for people.

use super::state::{Phase, Rollout};
use crate::node::Node;

/// A rollout, described for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolloutFacts {
    /// The plugin's name.
    pub plugin: String,
    /// The platform that it needs.
    pub target: String,
    /// The wanted version.
    pub version: String,
    /// The name of its file.
    pub file: String,
    /// The host that it was pushed to.
    pub by: String,
    /// `canary`, `everyone` or `stopped`.
    pub phase: &'static str,
    /// The host that tries it, or has stopped it; `None` if there is none.
    pub host: Option<String>,
    /// The reason for which it was stopped; `None` if it was not.
    pub reason: Option<String>,
    /// The hosts on which it has proved itself, by name.
    pub hosts: Vec<String>,
    /// The version that a rollback would put back; `None` if there is none.
    pub before: Option<String>,
}

/// Describes all rollouts, by plugin and target.
pub fn all(node: &Node) -> Vec<RolloutFacts> {
    let members = node.members.facts();
    let own = node.rollouts.confirmed.lock().clone();
    let known = node.rollouts.known.lock();
    let describe = |(key, rollout): (&String, &Rollout)| {
        let others = members.iter().map(|member| (&member.host.name, &member.host.rollouts));
        let hosts = std::iter::once((&node.settings.host, &own)).chain(others);
        let has = hosts.filter(|(_, held)| held.get(key) == Some(&rollout.wanted.id));
        let mut hosts: Vec<_> = has.map(|(name, _)| name.clone()).collect();
        hosts.sort();
        facts(rollout, hosts)
    };
    known.iter().map(describe).collect()
}

fn facts(rollout: &Rollout, hosts: Vec<String>) -> RolloutFacts {
    let Rollout { wanted, before, phase, .. } = rollout;
    let (phase, host, reason) = match phase {
        Phase::Canary(canary) => ("canary", canary.as_ref().map(|one| one.name.clone()), None),
        Phase::Everyone => ("everyone", None, None),
        Phase::Stopped { host, reason } => ("stopped", Some(host.clone()), Some(reason.clone())),
    };
    RolloutFacts {
        plugin: wanted.plugin.clone(),
        target: wanted.target.clone(),
        version: wanted.label(),
        file: wanted.file.clone(),
        by: wanted.by.clone(),
        phase,
        host,
        reason,
        hosts,
        before: before.as_ref().map(super::version::Version::label),
    }
}
