//! The other hosts of the fleet.

mod commands;
mod locate;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use plugin_engine::registry::Command;

pub use self::locate::Whereabouts;
use crate::announcement::{Announcement, HostState, Offer};

/// The time without a message after which a host does not answer. Hosts announce themselves each
/// second.
pub const SILENCE: Duration = Duration::from_millis(2500);

/// The time after which each host has announced itself to one that has just been connected.
const SETTLED: Duration = Duration::from_millis(1500);

/// The time without a message after which a host is no longer a member.
const FORGOTTEN: Duration = Duration::from_secs(10);

/// The time for which a host that has left is remembered, to name it in errors.
const REMEMBERED: Duration = Duration::from_secs(5);

/// A host of the fleet, described for people.
#[derive(Clone, Debug, PartialEq)]
pub struct MemberFacts {
    /// Its announcement.
    pub host: Announcement,
    /// The time since its last message.
    pub silent: Duration,
    /// The last time of a ping there and back.
    pub latency: Option<Duration>,
    /// The number of its commands.
    pub commands: usize,
}

/// A host of the fleet.
#[derive(Debug)]
struct Member {
    host: Announcement,
    heard: Instant,
    /// The revision of `offers`.
    known: u64,
    offers: Vec<Offer>,
    /// The number of the last ping that it has answered: it has received every call before.
    cleared: u64,
    /// The last time at which it was found to have been connected again.
    reconnected: Option<Instant>,
    /// The calls that it runs, by that answer.
    running: HashSet<u64>,
    /// The time of the last ping.
    pinged: Option<Instant>,
    latency: Option<Duration>,
}

/// The other hosts of the fleet.
#[derive(Default)]
pub struct Members {
    list: Mutex<List>,
}

#[derive(Default)]
struct List {
    members: BTreeMap<String, Member>,
    /// The time since which all hosts can be heard: not all have been so soon.
    connected: Option<Instant>,
    /// The hosts that have left.
    gone: Vec<Gone>,
    /// The commands that are served now, by name.
    served: HashMap<String, Arc<Command>>,
}

/// A host that has left.
struct Gone {
    name: String,
    at: Instant,
    /// True if it has said so, behind its last reply.
    has_ended: bool,
}

impl Members {
    /// Takes an announcement. Returns true if the host's commands must be asked for. A host that
    /// leaves stays in the list until it has ended: it still runs calls.
    pub fn hear(&self, host: Announcement) -> bool {
        let mut list = self.list.lock();
        let (now, id) = (Instant::now(), host.id.clone());
        if host.state == HostState::Ended {
            // With calls that still run, it is as one that is gone.
            list.remove(&id, host.running == 0);
            return false;
        }
        let revision = host.revision;
        let member = list.members.entry(id).or_insert_with(|| Member {
            host: host.clone(),
            heard: now,
            known: 0,
            offers: Vec::new(),
            cleared: 0,
            // Calls before have been answered by nobody that is known here.
            reconnected: Some(now),
            running: HashSet::new(),
            pinged: None,
            latency: None,
        });
        member.note_connects(host.connects);
        (member.host, member.heard) = (host, now);
        if member.host.state == HostState::Leaves {
            member.offers.clear();
            member.known = revision;
        }
        member.known != revision
    }

    /// Takes a host's list of commands, of this revision. Returns false for a host that is unknown.
    pub fn take_offers(&self, id: &str, revision: u64, offers: Vec<Offer>) -> bool {
        let mut list = self.list.lock();
        let Some(member) = list.members.get_mut(id) else { return false };
        (member.known, member.offers) = (revision, offers);
        true
    }

    /// Takes a host's answer to a ping: the calls that it runs, and the number of times that it has
    /// been connected.
    pub fn take_pong(&self, id: &str, ping: u64, running: HashSet<u64>, connects: usize) {
        let mut list = self.list.lock();
        let Some(member) = list.members.get_mut(id) else { return };
        if ping > member.cleared {
            member.note_connects(connects);
            (member.cleared, member.running) = (ping, running);
            member.heard = Instant::now();
            member.latency = member.pinged.map(|pinged| pinged.elapsed());
        }
    }

    /// Notes that a part of a reply has come from a host: over a slow connection, its other messages
    /// wait behind these.
    pub fn take_part(&self, id: &str) {
        if let Some(member) = self.list.lock().members.get_mut(id) {
            member.heard = Instant::now();
        }
    }

    /// Removes a host that is gone. Returns its name if it was a member.
    pub fn remove(&self, id: &str) -> Option<String> {
        self.list.lock().remove(id, false)
    }

    /// Removes the hosts that have been silent for long. Returns true if there was one.
    pub fn forget_silent(&self) -> bool {
        let mut list = self.list.lock();
        let silent = |member: &&Member| member.heard.elapsed() >= FORGOTTEN;
        let ids: Vec<_> =
            list.members.values().filter(silent).map(|member| member.host.id.clone()).collect();
        ids.iter().for_each(|id| {
            list.remove(id, false);
        });
        !ids.is_empty()
    }

    /// Counts all hosts as heard from now: this host was not connected meanwhile.
    pub fn forgive_silence(&self) {
        let mut list = self.list.lock();
        let now = Instant::now();
        list.members.values_mut().for_each(|member| member.heard = now);
        list.connected = Some(now);
    }

    /// Returns the ids of the hosts that are to be pinged now, of those that `is_wanted` selects: not
    /// more often than each `interval`.
    pub fn due_for_ping(
        &self,
        interval: Duration,
        is_wanted: impl Fn(&str) -> bool,
    ) -> Vec<String> {
        let mut list = self.list.lock();
        let now = Instant::now();
        let mut due = Vec::new();
        for (id, member) in &mut list.members {
            if is_wanted(id) && member.pinged.is_none_or(|last| now - last >= interval) {
                member.pinged = Some(now);
                due.push(id.clone());
            }
        }
        due
    }

    /// Returns the ids of all other hosts.
    pub fn ids(&self) -> Vec<String> {
        self.list.lock().members.keys().cloned().collect()
    }

    /// Describes all other hosts, in the order of their names.
    pub fn facts(&self) -> Vec<MemberFacts> {
        let list = self.list.lock();
        let facts = |member: &Member| MemberFacts {
            host: member.host.clone(),
            silent: member.heard.elapsed(),
            latency: member.latency,
            commands: member.offers.len(),
        };
        let members = list.members.values();
        let serving = members.filter(|member| member.host.state == HostState::Serves);
        let mut all: Vec<_> = serving.map(facts).collect();
        all.sort_by(|one, other| {
            (&one.host.name, &one.host.id).cmp(&(&other.host.name, &other.host.id))
        });
        all
    }
}

impl Member {
    fn note_connects(&mut self, connects: usize) {
        if self.host.connects != connects {
            self.host.connects = connects;
            self.reconnected = Some(Instant::now());
        }
    }
}

impl List {
    fn remove(&mut self, id: &str, has_ended: bool) -> Option<String> {
        self.gone.retain(|gone| gone.at.elapsed() < REMEMBERED);
        let name = self.members.remove(id)?.host.name;
        self.gone.push(Gone { name: name.clone(), at: Instant::now(), has_ended });
        Some(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn announcement(id: &str) -> Announcement {
        Announcement {
            id: id.into(),
            name: format!("host {id}"),
            version: String::new(),
            addresses: Vec::new(),
            target: String::new(),
            connects: 1,
            revision: 1,
            plugins: Vec::new(),
            running: 0,
            rollouts: BTreeMap::new(),
            state: HostState::Serves,
        }
    }

    pub(super) fn members(ids: &[&str]) -> Members {
        let members = Members::default();
        for id in ids {
            assert!(members.hear(announcement(id)), "its commands are not known");
        }
        let mut list = members.list.lock();
        list.connected = Instant::now().checked_sub(Duration::from_secs(60));
        list.members.values_mut().for_each(|member| member.reconnected = None);
        drop(list);
        members
    }

    #[test]
    fn commands_are_asked_for_once_a_revision() {
        let members = members(&["a"]);
        assert!(members.take_offers("a", 1, Vec::new()));
        assert!(!members.hear(announcement("a")));
        assert!(members.hear(Announcement { revision: 2, ..announcement("a") }));
        assert!(!members.hear(Announcement { state: HostState::Ended, ..announcement("a") }));
        assert!(!members.take_offers("a", 2, Vec::new()), "it has left");
    }

    #[test]
    fn pings_keep_their_interval() {
        let members = members(&["a", "b"]);
        let due = |interval| members.due_for_ping(interval, |id| id == "a");
        assert_eq!(due(Duration::from_secs(60)), ["a"]);
        assert!(due(Duration::from_secs(60)).is_empty());
        assert_eq!(due(Duration::ZERO), ["a"]);
    }
}
