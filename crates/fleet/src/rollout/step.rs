//! Decides what a host does next for one rollout. Pure.

use std::time::Duration;

use super::{
    state::{Phase, Rollout},
    version::Version,
};

/// The interval of the heartbeats of a canary.
pub const BEAT: Duration = Duration::from_secs(2);

/// The time without a change of the entry after which a canary has vanished.
pub const LEASE: Duration = Duration::from_secs(8);

/// The facts about this host that decide its next step.
#[derive(Clone, Copy, Debug, Default)]
pub struct View<'a> {
    /// This host's id.
    pub id: &'a str,
    /// The version whose file is in the plugins folder, as far as the fleet has put it there.
    pub held: Option<&'a str>,
    /// True if that version has proved itself on this host.
    pub is_confirmed: bool,
    /// The version that is being fetched, placed or loaded.
    pub busy: Option<&'a str>,
    /// The version that failed on this host, and the reason.
    pub refused: Option<(&'a str, &'a str)>,
    /// True if it failed for a reason of this host alone: its key, or its folder.
    pub is_own_fault: bool,
    /// The time for which this host has served the wanted version; `None` if it does not.
    pub served: Option<Duration>,
    /// The time since the entry's last change, as this host has seen it.
    pub silent: Duration,
}

/// The next step of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// None, until something changes.
    Nothing,
    /// Becomes the canary.
    Claim,
    /// Becomes the canary in place of one that has vanished.
    TakeOver,
    /// Renews the lease of the canary, which is this host.
    Beat,
    /// Fetches this version and serves it.
    Take(Version),
    /// Lets all hosts take the version.
    Release,
    /// Stops the rollout for this reason.
    Stop(String),
    /// Puts the file before back: the version was stopped while this host tried it.
    PutBack,
}

/// Returns the next step of a host.
pub fn next_step(rollout: &Rollout, view: &View<'_>) -> Step {
    let wanted = rollout.wanted.id.as_str();
    let refused = view.refused.filter(|(id, _)| *id == wanted);
    let holds = |id: &str| view.held == Some(id) || view.busy == Some(id);
    match (&rollout.phase, refused) {
        (Phase::Stopped { .. }, _) => match view.held == Some(wanted) && !view.is_confirmed {
            true if view.busy.is_none() || view.served.is_some() => Step::PutBack,
            // It is put back once it has been placed.
            true => Step::Nothing,
            false => settle(rollout, view),
        },
        // That must not hold up hosts that are in order.
        (Phase::Everyone, Some(_)) if view.is_own_fault && rollout.is_accepted => Step::Nothing,
        // Also if another host tries it now: this one may have crashed in it.
        (Phase::Canary(_) | Phase::Everyone, Some((_, reason))) => Step::Stop(reason.to_owned()),
        (Phase::Canary(None), None) => match rollout.wanted.fits() {
            true => Step::Claim,
            false => settle(rollout, view),
        },
        (Phase::Canary(Some(canary)), None) if canary.id == view.id => match view.served {
            Some(served) if served >= rollout.wait() => Step::Release,
            None if view.busy != Some(wanted) => Step::Take(rollout.wanted.clone()),
            _ if view.silent >= BEAT => Step::Beat,
            _ => Step::Nothing,
        },
        (Phase::Canary(Some(_)), None) if view.silent >= LEASE && rollout.wanted.fits() => {
            Step::TakeOver
        }
        (Phase::Canary(Some(_)), None) => settle(rollout, view),
        (Phase::Everyone, None) if !rollout.wanted.fits() => Step::Nothing,
        (Phase::Everyone, None) if view.busy == Some(wanted) => Step::Nothing,
        (Phase::Everyone, None) if holds(wanted) && view.is_confirmed => Step::Nothing,
        (Phase::Everyone, None) => Step::Take(rollout.wanted.clone()),
    }
}

/// Takes the version before, if this host has missed it.
fn settle(rollout: &Rollout, view: &View<'_>) -> Step {
    let Some(before) = &rollout.before else { return Step::Nothing };
    let has = |id: &str| view.held == Some(id) || view.busy == Some(id);
    let is_refused = view.refused.is_some_and(|(id, _)| id == before.id);
    match has(&before.id) || has(&rollout.wanted.id) || is_refused || !before.fits() {
        true => Step::Nothing,
        false => Step::Take(before.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::state::{
            Canary,
            tests::{rollout, version},
        },
        *,
    };

    const ME: View<'_> = View {
        id: "me",
        held: None,
        is_confirmed: false,
        busy: None,
        refused: None,
        is_own_fault: false,
        served: None,
        silent: Duration::ZERO,
    };

    fn canary(id: &str) -> Phase {
        Phase::Canary(Some(Canary::new(id, id)))
    }

    fn stopped() -> Phase {
        Phase::Stopped { host: "b".into(), reason: "broken".into() }
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn foreign() -> Rollout {
        let mut foreign = rollout("2", None, Phase::Canary(None));
        foreign.wanted.target = "mips-plan9".into();
        foreign
    }

    #[test]
    fn first_fitting_host_claims_the_canary() {
        assert_eq!(next_step(&rollout("2", None, Phase::Canary(None)), &ME), Step::Claim);
        assert_eq!(next_step(&foreign(), &ME), Step::Nothing);
    }

    #[test]
    fn canary_takes_serves_and_releases() {
        let mine = rollout("2", Some("1"), canary("me"));
        assert_eq!(next_step(&mine, &ME), Step::Take(version("2")));
        let busy = View { busy: Some("2"), ..ME };
        assert_eq!(next_step(&mine, &busy), Step::Nothing);
        assert_eq!(next_step(&mine, &View { silent: BEAT, ..busy }), Step::Beat);
        let served = |served| View { served: Some(served), held: Some("2"), ..busy };
        assert_eq!(next_step(&mine, &served(Duration::from_millis(999))), Step::Nothing);
        assert_eq!(next_step(&mine, &served(seconds(1))), Step::Release);
    }

    #[test]
    fn failure_at_any_host_stops_the_rollout() {
        let failed = View { refused: Some(("2", "no moon")), ..ME };
        for phase in [canary("me"), canary("other"), Phase::Canary(None), Phase::Everyone] {
            let step = next_step(&rollout("2", Some("1"), phase), &failed);
            assert_eq!(step, Step::Stop("no moon".into()));
        }
        let step = next_step(&rollout("2", None, stopped()), &failed);
        assert_eq!(step, Step::Nothing, "it is stopped already");
        let step = next_step(&rollout("3", None, Phase::Everyone), &failed);
        assert_eq!(step, Step::Take(version("3")), "another version is another chance");
    }

    #[test]
    fn own_fault_stops_no_accepted_rollout() {
        let me = View { refused: Some(("2", "not the plugin key")), is_own_fault: true, ..ME };
        let accepted = rollout("2", Some("1"), Phase::Everyone);
        assert_eq!(next_step(&accepted, &me), Step::Nothing);
        let forged = Rollout { is_accepted: false, ..accepted };
        assert_eq!(next_step(&forged, &me), Step::Stop("not the plugin key".into()));
    }

    #[test]
    fn others_wait_until_the_canary_lease_ends() {
        let theirs = rollout("2", Some("1"), canary("other"));
        let me = View { held: Some("1"), is_confirmed: true, ..ME };
        assert_eq!(next_step(&theirs, &me), Step::Nothing);
        assert_eq!(next_step(&theirs, &View { silent: LEASE, ..me }), Step::TakeOver);
    }

    #[test]
    fn newcomer_takes_what_everyone_has() {
        let step = next_step(&rollout("2", Some("1"), Phase::Everyone), &ME);
        assert_eq!(step, Step::Take(version("2")));
        for phase in [canary("other"), stopped()] {
            let unfinished = rollout("2", Some("1"), phase);
            assert_eq!(next_step(&unfinished, &ME), Step::Take(version("1")));
            let refused = View { refused: Some(("1", "no moon")), ..ME };
            assert_eq!(next_step(&unfinished, &refused), Step::Nothing);
        }
    }

    #[test]
    fn hosts_that_serve_the_version_are_left_alone() {
        let me = View { held: Some("2"), is_confirmed: true, ..ME };
        for phase in [Phase::Everyone, stopped()] {
            assert_eq!(next_step(&rollout("2", Some("1"), phase), &me), Step::Nothing);
        }
    }

    #[test]
    fn unproved_version_is_put_back_when_stopped() {
        let me = View { held: Some("2"), ..ME };
        assert_eq!(next_step(&rollout("2", Some("1"), stopped()), &me), Step::PutBack);
    }

    #[test]
    fn interrupted_trial_is_taken_again() {
        let me = View { held: Some("2"), ..ME };
        let step = next_step(&rollout("2", Some("1"), Phase::Everyone), &me);
        assert_eq!(step, Step::Take(version("2")));
    }
}
