//! Carries out the steps of this host, and changes the entries of rollouts.

use super::{
    error::RolloutError,
    requests::Answer,
    run::Runner,
    state::{Canary, Phase, Rollout},
    step::{Step, next_step},
    store::Changed,
};

/// The most steps of a rollout at once: each is followed by another state.
const MOST_STEPS: usize = 8;

/// The most attempts to change an entry that other hosts change, too.
const ATTEMPTS: usize = 5;

impl Runner {
    /// Carries out the steps that are due for a rollout.
    pub(super) async fn advance(&mut self, key: &str) {
        if !self.takes() {
            return;
        }
        for _ in 0..MOST_STEPS {
            self.confirm_if_due(key).await;
            let Some(hold) = self.holds.get(key) else { return };
            let view = hold.view(&self.node.id, self.record.get(key), self.trials.get(key));
            let step = next_step(&hold.rollout, &view);
            let rollout = hold.rollout.clone();
            let me = || Canary::new(&self.node.id, &self.node.settings.host);
            let goes_on = match step {
                Step::Nothing => return,
                Step::Claim => self.change(key, rollout.claim(me())).await,
                Step::TakeOver => self.change(key, rollout.take_over(me())).await,
                Step::Beat => self.change(key, rollout.beat()).await,
                Step::Release => {
                    let (version, api) = self.served_version(&rollout);
                    self.change(key, rollout.release(&version, &api)).await
                }
                Step::Stop(reason) => {
                    let host = self.node.settings.host.clone();
                    self.change(key, rollout.stop(&host, &reason)).await
                }
                Step::Take(version) => {
                    self.take(key, version);
                    false
                }
                Step::PutBack if !hold.may_change() => false,
                Step::PutBack => {
                    let reason = match &rollout.phase {
                        Phase::Stopped { host, reason } => format!("stopped by {host}: {reason}"),
                        _ => "stopped".to_owned(),
                    };
                    self.fail(key, &reason, false).await;
                    true
                }
            };
            if !goes_on {
                return;
            }
        }
    }

    /// Returns the version and the API that the plugin of a rollout states on this host.
    fn served_version(&self, rollout: &Rollout) -> (String, String) {
        let registry = self.node.host.registry.load();
        let manifest = registry.served_from(&rollout.wanted.file).map(|one| &one.manifest);
        manifest.map_or_else(
            || (rollout.wanted.version.clone(), rollout.wanted.api.clone()),
            |manifest| (manifest.version.clone(), manifest.api_version.clone()),
        )
    }

    /// Changes an entry from the state that this host knows. Returns false if that was not
    /// possible: another host was first, or JetStream is away.
    async fn change(&mut self, key: &str, next: Rollout) -> bool {
        let Some(store) = self.store.clone() else { return false };
        let Some(hold) = self.holds.get_mut(key).filter(|hold| hold.may_change()) else {
            return false;
        };
        let changed = store.change(key, &next, Some(hold.revision)).await;
        match changed {
            Ok(Changed::To(revision)) => {
                log_change(&hold.rollout, &next);
                self.set_hold(key, next, revision);
                true
            }
            Ok(Changed::ByAnother) => {
                hold.note_failure();
                false
            }
            Err(error) => {
                hold.note_failure();
                log::warn!("fleet: cannot change the rollout '{key}': {error}");
                false
            }
        }
    }

    /// Begins a rollout in place of an earlier one of the same plugin and target.
    pub(super) async fn begin(
        &mut self,
        key: &str,
        next: impl Fn(Option<&Rollout>) -> Result<Rollout, RolloutError>,
    ) -> Result<(), RolloutError> {
        let store = self.store()?;
        let mut begun_id = None;
        for _ in 0..ATTEMPTS {
            let earlier = store.get(key).await?;
            let (earlier, revision) = match earlier {
                Some((earlier, revision)) => (Some(earlier), Some(revision)),
                None => (None, None),
            };
            if let (Some(own), Some(revision)) = (&earlier, revision)
                && begun_id.as_ref() == Some(&own.wanted.id)
            {
                // The answer to the attempt before was lost.
                self.set_hold(key, own.clone(), revision);
                return Ok(());
            }
            let begun = next(earlier.as_ref())?;
            begun_id = Some(begun.wanted.id.clone());
            if let Changed::To(revision) = store.change(key, &begun, revision).await? {
                for dropped in earlier.iter().flat_map(|earlier| begun.drops(earlier)) {
                    store.remove(dropped).await;
                }
                self.set_hold(key, begun, revision);
                return Ok(());
            }
        }
        Err(RolloutError::Contended(key.to_owned()))
    }

    /// Puts the version of a plugin before back on all hosts.
    pub(super) async fn roll_back(&mut self, plugin: &str) -> Answer {
        self.store()?;
        let keys = self.keys_of(plugin)?;
        let nothing = || RolloutError::NothingBefore(plugin.to_owned());
        let mut labels = Vec::new();
        for key in keys {
            let next = |earlier: Option<&Rollout>| {
                earlier.and_then(Rollout::roll_back).ok_or_else(nothing)
            };
            match self.begin(&key, next).await {
                Ok(()) => {}
                // The plugin of another target may have one.
                Err(RolloutError::NothingBefore(_)) => continue,
                Err(error) => return Err(error),
            }
            labels.extend(self.holds.get(&key).map(|hold| hold.rollout.wanted.label()));
            self.advance(&key).await;
        }
        if labels.is_empty() {
            return Err(nothing());
        }
        let text = format!("plugin '{plugin}' goes back to {} on all hosts", labels.join(", "));
        log::info!("fleet: {text}");
        Ok(text)
    }

    /// Ends the rollout of a plugin: no further host takes it.
    pub(super) async fn forget(&mut self, plugin: &str) -> Answer {
        let store = self.store()?;
        for key in self.keys_of(plugin)? {
            let mut attempts = 0..ATTEMPTS;
            while let Some((rollout, revision)) = store.get(&key).await? {
                if store.forget(&key, revision).await? {
                    for version in [Some(rollout.wanted), rollout.before].into_iter().flatten() {
                        store.remove(&version).await;
                    }
                    break;
                }
                if attempts.next().is_none() {
                    return Err(RolloutError::Contended(key));
                }
            }
            self.drop_hold(&key).await;
        }
        log::info!("fleet: the rollout of plugin '{plugin}' is forgotten");
        Ok(format!(
            "no further host takes plugin '{plugin}'; those that have it keep its file until it is \
             removed there"
        ))
    }

    /// Returns the keys of the rollouts of a plugin, one for each target.
    fn keys_of(&self, plugin: &str) -> Result<Vec<String>, RolloutError> {
        let of = self.holds.iter().filter(|(_, hold)| hold.rollout.wanted.plugin == plugin);
        let keys: Vec<_> = of.map(|(key, _)| key.clone()).collect();
        match keys.is_empty() {
            true => Err(RolloutError::Unknown(plugin.to_owned())),
            false => Ok(keys),
        }
    }
}

/// Logs a change of this host that people may look for.
fn log_change(before: &Rollout, after: &Rollout) {
    let (plugin, label) = (&after.wanted.plugin, after.wanted.label());
    match &after.phase {
        Phase::Canary(Some(_)) if after.lost.len() > before.lost.len() => {
            log::warn!("fleet: this host tries plugin '{plugin}' {label}: the canary has vanished");
        }
        Phase::Canary(Some(canary)) if canary.beats == 0 => {
            log::info!("fleet: this host tries plugin '{plugin}' {label} before the others");
        }
        Phase::Canary(_) => {}
        Phase::Everyone => {
            log::info!("fleet: plugin '{plugin}' {label} has proved itself, all hosts take it");
        }
        Phase::Stopped { host, reason } => {
            log::error!(
                "fleet: the rollout of plugin '{plugin}' {label} is stopped by {host}: {reason}"
            );
        }
    }
}
