//! The commands that the other hosts answer.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use plugin_engine::registry::{Command, Target};

use super::{List, Member, Members};
use crate::{
    announcement::{HostState, Offer},
    calling::worker::RemoteWorker,
    node::Node,
};

impl Members {
    /// Tells the manager of plugins the commands of the other hosts, if they have changed.
    pub fn serve(&self, node: &Arc<Node>) {
        let mut list = self.list.lock();
        let merged = list.merge();
        let mut served = HashMap::with_capacity(merged.len());
        let serves = |member: &&Member| member.host.state == HostState::Serves;
        let (mut new, hosts) = (0, list.members.values().filter(serves).count());
        for (name, (offer, hosts)) in merged {
            let same = list.served.get(&name).filter(|command| is_same(command, &offer, hosts));
            let command = same.cloned().unwrap_or_else(|| {
                new += 1;
                let worker = RemoteWorker::new(Arc::clone(node), &name, offer.facts.idempotent);
                let target = Target::Worker(Box::new(worker));
                let plugin = Some(offer.plugin.as_str());
                let command = Command::new(offer.facts, plugin, &node.host.metrics, target);
                Arc::new(command.answered_by(hosts))
            });
            served.insert(name, command);
        }
        if new == 0 && served.len() == list.served.len() {
            return;
        }
        let change = format!("{} commands of {hosts} other hosts", served.len());
        let commands = served.values().cloned().collect();
        list.served = served;
        drop(list);
        node.host.plugin_control.serve_remote(commands, change);
    }
}

impl List {
    /// Returns the commands by name, each with the number of hosts that have it. Of hosts that
    /// describe a command differently, the description of the newest plugin counts.
    pub(super) fn merge(&self) -> BTreeMap<String, (Offer, usize)> {
        let mut merged: BTreeMap<String, (Offer, usize)> = BTreeMap::new();
        for offer in self.members.values().flat_map(|member| &member.offers) {
            match merged.get_mut(&offer.facts.name) {
                Some((found, hosts)) => {
                    *hosts += 1;
                    // A promise counts only if all hosts give it.
                    let idempotent = found.facts.idempotent && offer.facts.idempotent;
                    let writes = found.facts.writes || offer.facts.writes;
                    if parts(&offer.version) > parts(&found.version) {
                        *found = offer.clone();
                    }
                    (found.facts.idempotent, found.facts.writes) = (idempotent, writes);
                }
                None => {
                    merged.insert(offer.facts.name.clone(), (offer.clone(), 1));
                }
            }
        }
        merged
    }
}

/// Returns the parts of a version in the order in which versions follow each other.
fn parts(version: &str) -> Vec<(u64, &str)> {
    let part = |part| (str::parse(part).unwrap_or_default(), part);
    version.split(['.', '-', '+']).map(part).collect()
}

/// Returns true if a command is as this offer describes it.
fn is_same(command: &Command, offer: &Offer, hosts: usize) -> bool {
    command.facts() == offer.facts
        && command.plugin.as_deref() == Some(&offer.plugin)
        && command.hosts == Some(hosts)
}

#[cfg(test)]
mod tests {
    use plugin_engine::live::manifest::CommandFacts;

    use super::{super::tests::members, *};

    #[test]
    fn offers_of_several_hosts_are_merged() {
        let offer = |version: &str, usage: &str, idempotent| Offer {
            plugin: "text".into(),
            version: version.into(),
            facts: CommandFacts {
                name: "echo".into(),
                usage: usage.into(),
                idempotent,
                ..CommandFacts::default()
            },
        };
        let members = members(&["a", "b", "c"]);
        members.take_offers("a", 1, vec![offer("0.9.1", "OLD", true)]);
        members.take_offers("b", 1, vec![offer("0.10.0", "NEW", true)]);
        members.take_offers("c", 1, vec![offer("0.9.1", "OLD", false)]);
        let merged = members.list.lock().merge();
        assert_eq!(merged["echo"], (offer("0.10.0", "NEW", false), 3));
        members.remove("c");
        assert_eq!(members.list.lock().merge()["echo"], (offer("0.10.0", "NEW", true), 2));
    }
}
