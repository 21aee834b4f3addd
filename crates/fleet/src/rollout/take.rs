//! Takes a version: fetches and verifies it, puts it into the plugins folder, and watches what the
//! host says of it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use plugin_engine::events::{EventKind, PluginEvent};
use tokio::sync::OwnedSemaphorePermit;

use super::{
    error::RolloutError,
    folder,
    hold::Trial,
    record::Held,
    run::{News, Runner},
    state::Phase,
    store::{Store, TRUST, distrust},
    version::{Version, sha256_of},
};
use crate::{alive, node::Node};

/// The time in which a placed file must be served. A replacement waits for running calls.
const SERVE_TIMEOUT: Duration = Duration::from_secs(300);

/// The pause before a version is fetched again.
const RETRY: Duration = Duration::from_secs(5);

/// A version that has been fetched and verified.
pub(super) struct Fetched {
    content: Vec<u8>,
    signature: String,
    hash: blake3::Hash,
    /// Lets the next one be fetched when it is dropped.
    permit: OwnedSemaphorePermit,
}

impl Runner {
    /// Begins to fetch a version, unless this host does so already.
    pub(super) fn take(&mut self, key: &str, version: Version) {
        let Some(store) = self.store.clone() else { return };
        let is_same = |trial: &Trial| trial.version.id == version.id && trial.is_fetching;
        if self.trials.get(key).is_some_and(is_same) {
            return;
        }
        log::debug!("fleet: fetches '{}'", version.id);
        self.trials.insert(key.to_owned(), Trial::begin(version.clone()));
        let (node, sender, key) = (Arc::clone(&self.node), self.sender.clone(), key.to_owned());
        let fetches = Arc::clone(&self.fetches);
        tokio::spawn(async move {
            // A new host may miss many files, and each is held in memory.
            let Ok(permit) = fetches.acquire_owned().await else { return };
            let fetched = fetch(&node, &store, &version, permit).await;
            // The task may have ended.
            let _ = sender.send(News::Fetched(key, version.id, fetched)).await;
        });
    }

    /// Puts a fetched version into the plugins folder.
    pub(super) async fn handle_fetched(
        &mut self,
        key: String,
        id: &str,
        fetched: Result<Fetched, RolloutError>,
    ) {
        let current = self.trials.get(&key).filter(|trial| trial.version.id == id);
        let Some(version) = current.map(|trial| trial.version.clone()) else { return };
        // It may have waited for long, and the rollout been stopped, replaced or forgotten meanwhile.
        if self.holds.get(&key).is_none_or(|hold| !hold.rollout.may_take(id)) {
            self.trials.remove(&key);
            return self.advance(&key).await;
        }
        let Fetched { content, signature, hash, permit } = match fetched {
            Ok(fetched) => fetched,
            Err(error) => return self.handle_failed_fetch(&key, &version, error).await,
        };
        let earlier = self.record.get(&key).cloned().unwrap_or_default();
        // A version that has not proved itself is no version to go back to.
        let keeps = earlier.id.is_none() || earlier.is_confirmed;
        let held = Held {
            id: Some(version.id.clone()),
            is_confirmed: false,
            written: version.sha256.clone(),
            before: if keeps { earlier.id } else { earlier.before },
            refused: earlier.refused,
            is_own_fault: earlier.is_own_fault,
            name: String::new(),
        };
        let is_there = serves(&self.node, &version.file, hash);
        let plugins = self.node.host.plugins.clone();
        let file = version.file.clone();
        let kept = blocking(move || match keeps {
            true => folder::keep_before(&plugins, &file),
            false => Ok(()),
        });
        if let Err(error) = kept.await {
            return self.fail(&key, &error.to_string(), true).await;
        }
        self.record.set(&key, held).await;
        if let Some(trial) = self.trials.get_mut(&key) {
            (trial.hash, trial.placed) = (Some(hash), Some(Instant::now()));
            trial.is_fetching = false;
        }
        let (plugins, file) = (self.node.host.plugins.clone(), version.file.clone());
        let placed = blocking(move || {
            let _permit = permit;
            match is_there {
                true => Ok(()),
                false => folder::place(&plugins, &file, &content, &signature, || ()),
            }
        });
        if let Err(error) = placed.await {
            return self.fail(&key, &error.to_string(), true).await;
        }
        self.check_served(&key).await;
    }

    async fn handle_failed_fetch(&mut self, key: &str, version: &Version, error: RolloutError) {
        let is_lasting = match &error {
            RolloutError::Signature { .. } => true,
            RolloutError::Object { operation, .. } => *operation == TRUST,
            _ => false,
        };
        log::error!("fleet: plugin '{}' {} is not taken: {error}", version.plugin, version.label());
        if is_lasting {
            self.trials.remove(key);
            let mut held = self.record.get(key).cloned().unwrap_or_default();
            (held.refused, held.is_own_fault) =
                (Some((version.id.clone(), error.to_string())), true);
            self.record.set(key, held).await;
            self.advance(key).await;
        } else if let Some(trial) = self.trials.get_mut(key) {
            // It stays for a while, so that the version is not fetched again at once.
            (trial.is_fetching, trial.began) = (false, Instant::now());
        }
    }

    /// Handles an event of a plugin.
    pub(super) async fn handle_event(&mut self, when: Instant, event: &PluginEvent) {
        let is_tried = |(key, trial): (&String, &Trial)| {
            let is_meant = trial.version.file == event.file && trial.placed <= Some(when);
            (is_meant && trial.placed.is_some()).then(|| key.clone())
        };
        let Some(key) = self.trials.iter().find_map(is_tried) else {
            if matches!(event.kind, EventKind::Loaded | EventKind::Swapped) {
                self.note_drop(&event.file);
                self.offer_drops();
            }
            return;
        };
        match event.kind {
            EventKind::Refused | EventKind::Crashed | EventKind::Quarantined => {
                let reason = match event.detail.as_str() {
                    "" => event.kind.name().to_owned(),
                    detail => format!("{}: {detail}", event.kind.name()),
                };
                self.fail(&key, &reason, false).await;
                self.advance(&key).await;
            }
            EventKind::Loaded | EventKind::Swapped => {
                self.check_served(&key).await;
                self.check_superseded(&key).await;
            }
            _ => {}
        }
    }

    /// Gives a trial up if an operator has put another file in its place, which stays.
    async fn check_superseded(&mut self, key: &str) {
        let Some(trial) = self.trials.get(key) else { return };
        let version = trial.version.clone();
        if trial.hash.is_none_or(|hash| serves(&self.node, &version.file, hash)) {
            return;
        }
        let (plugins, file) = (self.node.host.plugins.clone(), version.file.clone());
        let present = blocking(move || folder::read(&plugins, &file)).await;
        if present.is_ok_and(|(content, _)| sha256_of(&content) == version.sha256) {
            // It is about to be loaded.
            return;
        }
        self.trials.remove(key);
        let reason = format!("another {} was put into the plugins folder", version.file);
        log::info!("fleet: plugin '{}' {} is given up: {reason}", version.plugin, version.label());
        let mut held = self.record.get(key).cloned().unwrap_or_default();
        let is_canary = self.holds.get(key).is_some_and(|hold| match &hold.rollout.phase {
            Phase::Canary(Some(canary)) => canary.id == self.node.id,
            _ => false,
        });
        if is_canary {
            (held.refused, held.is_own_fault) = (Some((version.id.clone(), reason)), false);
        }
        held.is_confirmed = true;
        self.record.set(key, held).await;
        self.note_drop(&version.file);
        self.advance(key).await;
    }

    /// Notices versions that are served now, or have not been for too long.
    pub(super) async fn check_trials(&mut self) {
        for key in self.trials.keys().cloned().collect::<Vec<_>>() {
            self.check_served(&key).await;
            let Some(trial) = self.trials.get(&key) else { continue };
            if !trial.is_fetching && trial.placed.is_none() && trial.began.elapsed() >= RETRY {
                self.trials.remove(&key);
                continue;
            }
            let is_late = trial.placed.is_some_and(|placed| placed.elapsed() > SERVE_TIMEOUT);
            if is_late && trial.served.is_none() {
                let reason = format!("it was not served within {} s", SERVE_TIMEOUT.as_secs());
                self.fail(&key, &reason, false).await;
            }
        }
    }

    async fn check_served(&mut self, key: &str) {
        let Some(trial) = self.trials.get(key) else { return };
        let Some(hash) = trial.hash.filter(|_| trial.served.is_none()) else { return };
        if !serves(&self.node, &trial.version.file, hash) {
            return;
        }
        let took = trial.began.elapsed().as_secs_f64() * 1e3;
        let (plugin, label) = (&trial.version.plugin, trial.version.label());
        log::info!("fleet: plugin '{plugin}' {label} is served here ({took:.1} ms)");
        let registry = self.node.host.registry.load_full();
        let served = registry.served_from(&trial.version.file);
        let name = served.map(|one| one.manifest.name.clone()).unwrap_or_default();
        if let Some(trial) = self.trials.get_mut(key) {
            trial.served = Some(Instant::now());
        }
        let held = self.record.get(key).cloned().unwrap_or_default();
        self.record.set(key, Held { name, ..held }).await;
        self.advance(key).await;
    }

    /// Ends the trial of a version that has proved itself: all hosts take it.
    pub(super) async fn confirm_if_due(&mut self, key: &str) {
        let (Some(hold), Some(trial)) = (self.holds.get(key), self.trials.get(key)) else { return };
        let id = &trial.version.id;
        let is_wanted = *id == hold.rollout.wanted.id;
        let is_before = hold.rollout.before.as_ref().is_some_and(|before| before.id == *id);
        let is_due = match hold.rollout.phase {
            Phase::Everyone => is_wanted,
            Phase::Canary(_) | Phase::Stopped { .. } => is_before,
        };
        if !is_due || trial.served.is_none() {
            return;
        }
        let file = trial.version.file.clone();
        self.trials.remove(key);
        let mut held = self.record.get(key).cloned().unwrap_or_default();
        held.is_confirmed = true;
        self.record.set(key, held).await;
        *self.node.rollouts.confirmed.lock() = self.record.confirmed();
        alive::announce(&self.node).await;
        self.keep_for_next_drop(file).await;
    }

    /// Gives a version up: puts the file before back, and remembers the reason, and whether that is
    /// one of this host alone.
    pub(super) async fn fail(&mut self, key: &str, reason: &str, is_own_fault: bool) {
        let trial = self.trials.remove(key);
        let hold = self.holds.get(key).map(|hold| &hold.rollout.wanted);
        let Some(version) = trial.as_ref().map(|trial| &trial.version).or(hold).cloned() else {
            return;
        };
        let held = self.record.get(key).cloned().unwrap_or_default();
        let is_placed = held.id.as_ref() == Some(&version.id) && !held.is_confirmed;
        let refused = Some((version.id.clone(), reason.to_owned()));
        let mut next = Held { refused, is_own_fault, ..held };
        let (plugin, label) = (&version.plugin, version.label());
        if is_placed {
            let (plugins, file) = (self.node.host.plugins.clone(), version.file.clone());
            let put_back = blocking(move || {
                folder::put_back(&plugins, &file)?;
                Ok(folder::read(&plugins, &file).map(|(content, _)| sha256_of(&content)).ok())
            });
            match put_back.await {
                Ok(written) => {
                    log::error!(
                        "fleet: plugin '{plugin}' {label} has failed here, and the file before is \
                         back: {reason}"
                    );
                    next.id = next.before.take();
                    next.written = written.unwrap_or_default();
                    next.is_confirmed = next.id.is_some();
                }
                Err(error) => {
                    log::error!(
                        "fleet: plugin '{plugin}' {label} has failed here ({reason}), and the file \
                         before is not back: {error}"
                    );
                    if let Some(hold) = self.holds.get_mut(key) {
                        hold.note_failure();
                    }
                }
            }
        } else {
            log::error!("fleet: plugin '{plugin}' {label} has failed here: {reason}");
        }
        self.record.set(key, next).await;
        *self.node.rollouts.confirmed.lock() = self.record.confirmed();
    }
}

/// Fetches a version and verifies it.
async fn fetch(
    node: &Node,
    store: &Store,
    version: &Version,
    permit: OwnedSemaphorePermit,
) -> Result<Fetched, RolloutError> {
    let key = node.host.plugin_key.clone().ok_or(RolloutError::NoKey)?;
    let (content, signature) = store.fetch(version).await?;
    let version = version.clone();
    blocking(move || {
        if sha256_of(&content) != version.sha256 {
            let problem = "its SHA-256 is not that of the rollout; push the file again";
            return Err(distrust(&version, problem));
        }
        let verified = key.verify_named(&version.file, &content, &signature);
        verified.map_err(|cause| RolloutError::Signature { file: version.file, cause })?;
        Ok(Fetched { hash: blake3::hash(&content), content, signature, permit })
    })
    .await
}

/// Returns true if a host serves this content from a file of this name.
pub(super) fn serves(node: &Node, file: &str, hash: blake3::Hash) -> bool {
    let registry = node.host.registry.load();
    registry.served_from(file).is_some_and(|one| one.shadow().hash() == hash)
}

/// Runs work that reads or writes files, or takes long, beside the fleet's own thread.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, RolloutError> + Send + 'static,
) -> Result<T, RolloutError> {
    let ended = |error: tokio::task::JoinError| RolloutError::Object {
        operation: "run the work for",
        object: "a rollout".to_owned(),
        cause: error.to_string(),
    };
    tokio::task::spawn_blocking(work).await.map_err(ended)?
}
