//! The rollout of one plugin, as the fleet's hosts share it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::version::Version;

/// The number of canaries that may be lost in one rollout: a version that ends its host must not
/// end one host after the other.
pub const MOST_LOST: usize = 2;

/// The rollout of one plugin for one target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollout {
    /// The version that all hosts shall serve.
    pub wanted: Version,
    /// The last other version that was meant for all hosts.
    pub before: Option<Version>,
    /// The phase.
    pub phase: Phase,
    /// The time for which the canary serves the version alone, in milliseconds.
    pub wait: u64,
    /// The canaries that have vanished, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<String>,
    /// True once a host has verified the signature and served the version.
    #[serde(default)]
    pub is_accepted: bool,
}

/// The phase of a rollout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// One host tries the version; `None` until a host has claimed that.
    Canary(Option<Canary>),
    /// All hosts take the version.
    Everyone,
    /// No further host takes the version.
    Stopped {
        /// The name of the host that stopped it.
        host: String,
        /// The reason.
        reason: String,
    },
}

/// The host that tries a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Canary {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The number of its heartbeats.
    #[serde(default)]
    pub beats: u64,
}

impl Canary {
    /// Makes the canary of this id and name.
    pub fn new(id: &str, name: &str) -> Self {
        Self { id: id.to_owned(), name: name.to_owned(), beats: 0 }
    }
}

impl Rollout {
    /// Begins the rollout of a version after the rollout `earlier`.
    pub fn begin(
        earlier: Option<&Self>,
        wanted: Version,
        canary: Option<Canary>,
        wait: Duration,
    ) -> Self {
        let before = earlier.and_then(|earlier| match earlier.phase {
            // The same content once more is no version to go back from.
            Phase::Everyone if earlier.wanted.sha256 != wanted.sha256 => {
                Some(earlier.wanted.clone())
            }
            // Else it never reached all hosts.
            _ => earlier.before.clone(),
        });
        let wait = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        let phase = Phase::Canary(canary);
        Self { wanted, before, phase, wait, lost: Vec::new(), is_accepted: false }
    }

    /// Returns true if this file with this content has been rolled out, or is about to be.
    pub fn has(&self, version: &Version) -> bool {
        let is_same = self.wanted.sha256 == version.sha256 && self.wanted.file == version.file;
        is_same && !matches!(self.phase, Phase::Stopped { .. })
    }

    /// Returns the versions of a rollout that this one, which follows it, does not keep.
    pub fn drops<'a>(&self, earlier: &'a Self) -> Vec<&'a Version> {
        let keeps = |id: &str| {
            self.wanted.id == id || self.before.as_ref().is_some_and(|before| before.id == id)
        };
        let all = std::iter::once(&earlier.wanted).chain(&earlier.before);
        all.filter(|version| !keeps(&version.id)).collect()
    }

    /// Returns true if a host may still take the version of this id.
    pub fn may_take(&self, id: &str) -> bool {
        let is_before = self.before.as_ref().is_some_and(|before| before.id == id);
        match self.phase {
            Phase::Canary(_) => self.wanted.id == id || is_before,
            Phase::Everyone => self.wanted.id == id,
            Phase::Stopped { .. } => is_before,
        }
    }

    /// Returns the time for which the canary serves the version alone.
    pub fn wait(&self) -> Duration {
        Duration::from_millis(self.wait)
    }

    /// Makes this host the canary.
    pub fn claim(&self, canary: Canary) -> Self {
        Self { phase: Phase::Canary(Some(canary)), ..self.clone() }
    }

    /// Makes this host the canary in place of one that has vanished, or stops the rollout if too
    /// many have.
    pub fn take_over(&self, canary: Canary) -> Self {
        let Phase::Canary(Some(gone)) = &self.phase else { return self.clone() };
        let mut next = self.clone();
        next.lost.push(gone.name.clone());
        next.phase = match next.lost.len() {
            MOST_LOST.. => Phase::Stopped {
                host: gone.name.clone(),
                reason: format!(
                    "the hosts {} vanished while they tried it",
                    next.lost.join(" and ")
                ),
            },
            _ => Phase::Canary(Some(canary)),
        };
        next
    }

    /// Renews the lease of the canary.
    pub fn beat(&self) -> Self {
        let mut next = self.clone();
        if let Phase::Canary(Some(canary)) = &mut next.phase {
            canary.beats += 1;
        }
        next
    }

    /// Lets all hosts take the version, whose own version and API the canary knows now.
    pub fn release(&self, version: &str, api: &str) -> Self {
        let mut next = Self { phase: Phase::Everyone, is_accepted: true, ..self.clone() };
        version.clone_into(&mut next.wanted.version);
        api.clone_into(&mut next.wanted.api);
        next
    }

    /// Stops the rollout.
    pub fn stop(&self, host: &str, reason: &str) -> Self {
        /// The most characters of a reason.
        const LONGEST: usize = 500;
        let reason = reason.chars().take(LONGEST).collect();
        Self { phase: Phase::Stopped { host: host.to_owned(), reason }, ..self.clone() }
    }

    /// Puts the version before back on all hosts; `None` if there is none. A version that was
    /// stopped is not kept: rolling back twice must not bring it to all hosts.
    pub fn roll_back(&self) -> Option<Self> {
        let wanted = self.before.clone()?;
        let before = match self.phase {
            Phase::Everyone => Some(self.wanted.clone()),
            Phase::Canary(_) | Phase::Stopped { .. } => None,
        };
        let phase = Phase::Everyone;
        Some(Self { wanted, before, phase, wait: self.wait, lost: Vec::new(), is_accepted: true })
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub fn version(id: &str) -> Version {
        let version = Version::describe("greet", b"#!/bin/sh\n", "a").unwrap();
        Version { id: id.to_owned(), ..version }
    }

    pub fn rollout(id: &str, before: Option<&str>, phase: Phase) -> Rollout {
        Rollout {
            wanted: version(id),
            before: before.map(version),
            phase,
            wait: 1000,
            lost: Vec::new(),
            is_accepted: true,
        }
    }

    fn stopped() -> Phase {
        Phase::Stopped { host: "b".into(), reason: "broken".into() }
    }

    fn ids(rollout: &Rollout) -> (&str, Option<&str>) {
        (&rollout.wanted.id, rollout.before.as_ref().map(|before| before.id.as_str()))
    }

    fn push(earlier: Option<&Rollout>, id: &str) -> Rollout {
        Rollout::begin(earlier, version(id), None, Duration::ZERO)
    }

    #[test]
    fn only_released_versions_are_rolled_back_to() {
        assert_eq!(ids(&push(None, "1")), ("1", None));
        let mut everywhere = rollout("2", Some("1"), Phase::Everyone);
        everywhere.wanted.sha256 = "other".into();
        assert_eq!(ids(&push(Some(&everywhere), "3")), ("3", Some("2")));
        for phase in [stopped(), Phase::Canary(None)] {
            let unfinished = rollout("2", Some("1"), phase);
            let pushed = push(Some(&unfinished), "3");
            assert_eq!(ids(&pushed), ("3", Some("1")));
            let dropped = pushed.drops(&unfinished);
            assert_eq!(dropped.iter().map(|one| one.id.as_str()).collect::<Vec<_>>(), ["2"]);
        }
    }

    #[test]
    fn content_that_is_there_needs_no_rollout() {
        let same = version("3");
        for phase in [Phase::Everyone, Phase::Canary(None)] {
            assert!(rollout("2", Some("1"), phase).has(&same));
        }
        assert!(!rollout("2", None, stopped()).has(&same), "it may be tried again");
        let everywhere = rollout("2", None, Phase::Everyone);
        assert!(!everywhere.has(&Version { sha256: "other".into(), ..same.clone() }));
        assert!(!everywhere.has(&Version { file: "greet.sh".into(), ..same }));
    }

    #[test]
    fn same_content_again_keeps_the_version_before() {
        let everywhere = rollout("2", Some("1"), Phase::Everyone);
        assert_eq!(ids(&push(Some(&everywhere), "3")), ("3", Some("1")));
    }

    #[test]
    fn rollback_swaps_but_forgets_stopped_versions() {
        let back = rollout("2", Some("1"), Phase::Everyone).roll_back().unwrap();
        assert_eq!((ids(&back), &back.phase), (("1", Some("2")), &Phase::Everyone));
        let back = rollout("2", Some("1"), stopped()).roll_back().unwrap();
        assert_eq!((ids(&back), &back.phase), (("1", None), &Phase::Everyone));
        assert_eq!(back.roll_back(), None);
    }

    #[test]
    fn stopped_versions_are_not_taken() {
        for (phase, expected) in [
            (Phase::Canary(None), (true, true)),
            (Phase::Everyone, (true, false)),
            (stopped(), (false, true)),
        ] {
            let rollout = rollout("2", Some("1"), phase);
            assert_eq!((rollout.may_take("2"), rollout.may_take("1")), expected, "{rollout:?}");
            assert!(!rollout.may_take("0"));
        }
    }

    #[test]
    fn second_lost_canary_stops_the_rollout() {
        let first = rollout("1", None, Phase::Canary(Some(Canary::new("x", "a"))));
        let second = first.take_over(Canary::new("y", "b"));
        assert_eq!(second.phase, Phase::Canary(Some(Canary::new("y", "b"))));
        match second.take_over(Canary::new("z", "c")).phase {
            Phase::Stopped { host, reason } => {
                assert_eq!((host.as_str(), reason.contains("a and b")), ("b", true), "{reason}");
            }
            phase => panic!("{phase:?}"),
        }
    }

    #[test]
    fn an_entry_has_a_form_in_json() {
        for phase in [
            Phase::Canary(None),
            Phase::Canary(Some(Canary::new("x", "a"))),
            Phase::Everyone,
            stopped(),
        ] {
            let rollout = rollout("1", None, phase);
            let text = serde_json::to_string(&rollout).unwrap();
            assert_eq!(serde_json::from_str::<Rollout>(&text).unwrap(), rollout, "{text}");
        }
    }
}
