//! Keeps what this host knows of the rollouts.

use async_nats::jetstream::kv::{Entry, Operation};

use super::{hold::Hold, record::Held, run::Runner, state::Rollout, version::check_file_name};

/// The most rollouts that a host follows. Each is a small entry of the bucket.
const MOST: usize = 1024;

impl Runner {
    /// Notes that this host has seen all rollouts. Those that it knew before and that have not been
    /// removed are lost.
    pub(super) fn note_current(&mut self) {
        let rollouts = &self.node.rollouts;
        let mut known = rollouts.known.lock();
        let before = known.len();
        known.retain(|key, _| self.holds.contains_key(key));
        let lost = before - known.len();
        drop(known);
        if lost > 0 {
            log::warn!(
                "fleet: JetStream has lost the rollouts of {lost} plugins; this host keeps their \
                 files, push them again for new hosts and for rollbacks"
            );
        }
        *rollouts.problem.lock() = None;
        log::debug!("fleet '{}': follows the rollouts of plugins", self.node.settings.fleet);
    }

    /// Notes an entry of the bucket.
    pub(super) async fn note(&mut self, entry: Entry) {
        let Entry { key, revision, value, .. } = entry;
        if self.holds.get(&key).is_some_and(|hold| hold.revision >= revision) {
            return;
        }
        if entry.operation != Operation::Put {
            return self.drop_hold(&key).await;
        }
        let rollout: Rollout = match serde_json::from_slice(&value) {
            Ok(rollout) => rollout,
            Err(error) => return log::warn!("fleet: the rollout '{key}' is unreadable: {error}"),
        };
        let versions = std::iter::once(&rollout.wanted).chain(&rollout.before);
        for version in versions {
            if let Err(error) = check_file_name(&version.file) {
                return log::error!("fleet: the rollout '{key}' is refused: {error}");
            }
        }
        if rollout.wanted.key() != key {
            return log::error!("fleet: the rollout '{key}' is refused: it is of another plugin");
        }
        self.set_hold(&key, rollout, revision);
        self.advance(&key).await;
    }

    /// Forgets what this host knows of a rollout, and ends its trial: a version that is served stays.
    pub(super) async fn drop_hold(&mut self, key: &str) {
        self.holds.remove(key);
        self.node.rollouts.known.lock().remove(key);
        let Some(trial) = self.trials.get(key) else { return };
        if trial.served.is_none() && trial.placed.is_some() {
            return self.fail(key, "its rollout was forgotten", false).await;
        }
        let is_served = trial.served.is_some();
        self.trials.remove(key);
        if let Some(held) = self.record.get(key).cloned().filter(|_| is_served) {
            self.record.set(key, Held { is_confirmed: true, ..held }).await;
            *self.node.rollouts.confirmed.lock() = self.record.confirmed();
        }
    }

    /// Replaces what this host knows of a rollout.
    pub(super) fn set_hold(&mut self, key: &str, rollout: Rollout, revision: u64) {
        if self.holds.len() >= MOST && !self.holds.contains_key(key) {
            return log::warn!("fleet: the rollout '{key}' is one too many");
        }
        if !self.takes() && !std::mem::replace(&mut self.has_warned, true) {
            log::warn!(
                "fleet: plugin '{}' is rolled out, but this host takes no plugins from the fleet: \
                 it runs without --plugin-key",
                rollout.wanted.plugin
            );
        }
        self.node.rollouts.known.lock().insert(key.to_owned(), rollout.clone());
        self.holds.insert(key.to_owned(), Hold::new(rollout, revision));
    }
}
