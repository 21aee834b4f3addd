//! The other hosts of the fleet, and the commands that they answer.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use plugin_engine::{
    live::manifest::CommandFacts,
    registry::{Command, Target},
};
use serde::{Deserialize, Serialize};

use crate::{calling::worker::RemoteWorker, node::Node};

/// The time without a message after which a host does not answer. Hosts announce themselves each
/// second.
pub const SILENCE: Duration = Duration::from_millis(2500);

/// The time after which each host has announced itself to one that has just been connected.
const SETTLED: Duration = Duration::from_millis(1500);

/// The time without a message after which a host is no longer a member.
const FORGOTTEN: Duration = Duration::from_secs(10);

/// The time for which a host that has left is remembered, to name it in errors.
const REMEMBERED: Duration = Duration::from_secs(5);

/// A host's announcement of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Announcement {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The version of the host.
    pub version: String,
    /// The addresses that it serves on.
    pub addresses: Vec<SocketAddr>,
    /// The platform that it runs on.
    pub target: String,
    /// The number of times that it has been connected. Replies may have been lost in between.
    pub connects: usize,
    /// The number of its list of commands, which grows with each change.
    pub revision: u64,
    /// The plugins that it serves, each with its version.
    pub plugins: Vec<(String, String)>,
    /// The number of calls of other hosts that it runs.
    pub running: usize,
    /// The rolled-out versions that have proved themselves there, by the key of their rollout.
    #[serde(default)]
    pub rollouts: BTreeMap<String, String>,
    /// Its state.
    pub state: HostState,
}

/// The state of a host in its fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HostState {
    /// It answers calls.
    Serves,
    /// It takes no further calls, and finishes those that it has.
    Leaves,
    /// It has ended.
    Ended,
}

/// A command that a host answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// The plugin that answers it.
    pub plugin: String,
    /// The plugin's version.
    pub version: String,
    /// The command.
    #[serde(flatten)]
    pub facts: CommandFacts,
}

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
    /// The time since which this host waits for the answer to a ping to itself.
    echo: Option<Instant>,
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

/// What is known about a call that is not answered.
pub enum Whereabouts {
    /// The host of this id runs it.
    At(String),
    /// No host has it, and it may have run: that of this name is gone, or the reply was lost.
    Nowhere(Option<String>),
    /// It has not run: each host has received all that was sent before, and does not run it, and no
    /// reply was lost.
    NotRun,
    /// A host may have it that has not answered yet.
    Unknown,
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

    /// Notes that this host pings itself. Returns false if it waits for the answer to an earlier one.
    pub fn begin_echo(&self) -> bool {
        let mut list = self.list.lock();
        let begins = list.echo.is_none_or(|since| since.elapsed() >= SILENCE);
        if begins {
            list.echo = Some(Instant::now());
        }
        begins
    }

    /// Notes that the answer has come.
    pub fn end_echo(&self) {
        self.list.lock().echo = None;
    }

    /// Returns true if the answer is this late.
    pub fn waits_for_echo(&self, time: Duration) -> bool {
        self.list.lock().echo.is_some_and(|since| since.elapsed() >= time)
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

    /// Finds the host that has a call. `is_before` tells whether the ping of a number was sent after
    /// the call, `known` is the host that has acknowledged it.
    pub fn locate(
        &self,
        number: u64,
        began: Instant,
        known: Option<&str>,
        is_before: impl Fn(u64) -> bool,
    ) -> Whereabouts {
        let list = self.list.lock();
        let has = |member: &Member| member.running.contains(&number);
        let holder = match known {
            Some(id) => list.members.get(id).filter(|member| has(member)),
            None => list.members.values().find(|member| has(member)),
        };
        if let Some(member) = holder {
            return match member.heard.elapsed() >= SILENCE {
                true => Whereabouts::Nowhere(Some(member.host.name.clone())),
                false => Whereabouts::At(member.host.id.clone()),
            };
        }
        // An answer of each host that may have it is needed, and only of those.
        let asked = |member: &&Member| known.is_none_or(|id| id == member.host.id);
        let mut silent = None;
        for member in list.members.values().filter(asked) {
            if is_before(member.cleared) {
                continue;
            }
            if member.heard.elapsed() < SILENCE {
                return Whereabouts::Unknown;
            }
            silent = Some(member.host.name.clone());
        }
        // One that has been gone for a while may be back, and not have told so yet.
        let lately = list.gone.iter().rev().filter(|gone| gone.at.elapsed() < REMEMBERED);
        let lost = lately.clone().find(|gone| !gone.has_ended);
        let mut gone = lately.filter(|gone| gone.at >= began);
        let is_unsettled = list
            .connected
            .is_none_or(|connected| began.saturating_duration_since(connected) < SETTLED);
        let again = list.members.values().find(|member| {
            asked(member) && member.reconnected.is_some_and(|reconnected| reconnected >= began)
        });
        let blamed = silent
            .or_else(|| lost.map(|gone| gone.name.clone()))
            .or_else(|| again.map(|member| member.host.name.clone()));
        match blamed {
            Some(name) => Whereabouts::Nowhere(Some(name)),
            None if is_unsettled => Whereabouts::Nowhere(None),
            None if known.is_some() => Whereabouts::Nowhere(gone.next().map(|it| it.name.clone())),
            None => Whereabouts::NotRun,
        }
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

    /// Returns the commands by name, each with the number of hosts that have it. Of hosts that
    /// describe a command differently, the description of the newest plugin counts.
    fn merge(&self) -> BTreeMap<String, (Offer, usize)> {
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
    use super::*;

    fn announcement(id: &str) -> Announcement {
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

    fn members(ids: &[&str]) -> Members {
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

    /// Where call 7 is, sent after ping 3.
    fn locate(members: &Members, known: Option<&str>) -> String {
        match members.locate(7, Instant::now() - Duration::from_secs(1), known, |ping| ping > 3) {
            Whereabouts::At(id) => format!("at {id}"),
            Whereabouts::Nowhere(host) => format!("nowhere, {host:?}"),
            Whereabouts::NotRun => "not run".into(),
            Whereabouts::Unknown => "unknown".into(),
        }
    }

    #[test]
    fn a_call_is_where_a_host_says() {
        let members = members(&["a", "b"]);
        assert_eq!(locate(&members, None), "unknown");
        members.take_pong("a", 3, HashSet::from([7]), 1);
        assert_eq!(locate(&members, None), "at a", "whenever it was asked");
        members.take_pong("a", 4, HashSet::new(), 1);
        assert_eq!(locate(&members, None), "unknown", "b may have it");
        assert_eq!(locate(&members, Some("a")), "nowhere, None", "a had it");
        members.take_pong("b", 3, HashSet::new(), 1);
        assert_eq!(locate(&members, None), "unknown", "b was asked before the call was sent");
        members.take_pong("b", 5, HashSet::new(), 1);
        assert_eq!(locate(&members, None), "not run", "it was lost");
        members.take_pong("b", 4, HashSet::from([7]), 1);
        assert_eq!(locate(&members, None), "not run", "an old answer");
    }

    #[test]
    fn a_host_that_is_gone_had_the_call() {
        let members = members(&["a", "b"]);
        members.take_pong("b", 4, HashSet::new(), 1);
        members.take_pong("a", 4, HashSet::from([7]), 1);
        assert_eq!(members.remove("a").as_deref(), Some("host a"));
        assert_eq!(members.remove("a"), None);
        assert_eq!(locate(&members, Some("a")), "nowhere, Some(\"host a\")");
        assert_eq!(locate(&members, None), "nowhere, Some(\"host a\")");
        assert_eq!(members.ids(), ["b"]);
    }

    #[test]
    fn a_lost_reply_is_no_proof() {
        let members = members(&["a", "b"]);
        members.take_pong("a", 4, HashSet::new(), 1);
        members.take_pong("b", 4, HashSet::new(), 1);
        assert_eq!(locate(&members, None), "not run");
        members.take_pong("b", 5, HashSet::new(), 2);
        assert_eq!(locate(&members, None), "nowhere, Some(\"host b\")", "it was cut off meanwhile");
        assert!(!members.hear(Announcement { state: HostState::Ended, ..announcement("b") }));
        assert_eq!(locate(&members, None), "not run", "its last reply came before");
        assert!(members.remove("a").is_some());
        assert_eq!(locate(&members, None), "nowhere, Some(\"host a\")", "nobody knows");
    }

    #[test]
    fn a_newly_known_host_is_no_proof() {
        let members = members(&["a"]);
        members.take_pong("a", 4, HashSet::new(), 1);
        assert_eq!(locate(&members, None), "not run");
        members.hear(announcement("b"));
        members.take_pong("b", 5, HashSet::new(), 1);
        assert_eq!(locate(&members, None), "nowhere, Some(\"host b\")", "it has come meanwhile");
        members.list.lock().members.values_mut().for_each(|member| member.reconnected = None);
        assert_eq!(locate(&members, None), "not run");
        members.forgive_silence();
        assert_eq!(locate(&members, None), "nowhere, None", "this host has just come");
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
    fn a_host_that_leaves_still_has_its_calls() {
        let members = members(&["a"]);
        members.take_pong("a", 4, HashSet::from([7]), 1);
        assert!(!members.hear(Announcement { state: HostState::Leaves, ..announcement("a") }));
        assert_eq!(locate(&members, Some("a")), "at a");
        assert!(members.facts().is_empty() && members.list.lock().merge().is_empty());
        assert!(!members.hear(Announcement { state: HostState::Ended, ..announcement("a") }));
        assert_eq!(locate(&members, Some("a")), "nowhere, Some(\"host a\")");
    }

    #[test]
    fn an_echo_is_late_until_it_comes() {
        let members = members(&[]);
        assert!(!members.waits_for_echo(Duration::ZERO));
        assert!(members.begin_echo() && !members.begin_echo());
        assert!(members.waits_for_echo(Duration::ZERO));
        assert!(!members.waits_for_echo(Duration::from_secs(60)));
        members.end_echo();
        assert!(!members.waits_for_echo(Duration::ZERO) && members.begin_echo());
    }

    #[test]
    fn pings_keep_their_interval() {
        let members = members(&["a", "b"]);
        let due = |interval| members.due_for_ping(interval, |id| id == "a");
        assert_eq!(due(Duration::from_secs(60)), ["a"]);
        assert!(due(Duration::from_secs(60)).is_empty());
        assert_eq!(due(Duration::ZERO), ["a"]);
    }

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
