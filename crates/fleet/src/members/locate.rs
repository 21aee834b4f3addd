//! Finds the host that has a call.

use std::time::Instant;

use super::{Member, Members, REMEMBERED, SETTLED, SILENCE};

/// The place of a call that is not answered, as far as it is known.
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
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, time::Duration};

    use super::{
        super::tests::{announcement, members},
        *,
    };
    use crate::announcement::{Announcement, HostState};

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
    fn a_host_that_leaves_still_has_its_calls() {
        let members = members(&["a"]);
        members.take_pong("a", 4, HashSet::from([7]), 1);
        assert!(!members.hear(Announcement { state: HostState::Leaves, ..announcement("a") }));
        assert_eq!(locate(&members, Some("a")), "at a");
        assert!(members.facts().is_empty() && members.list.lock().merge().is_empty());
        assert!(!members.hear(Announcement { state: HostState::Ended, ..announcement("a") }));
        assert_eq!(locate(&members, Some("a")), "nowhere, Some(\"host a\")");
    }
}
