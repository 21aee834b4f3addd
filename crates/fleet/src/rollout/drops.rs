//! Offers files to the fleet that an operator puts into the plugins folder of a host that publishes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    error::RolloutError,
    folder,
    hold::Trial,
    publish::{Stored, Verified, describe, put, verify},
    record::Held,
    run::{News, Runner},
    store::STORE,
    take::{blocking, serves},
    version::sha256_of,
};
use crate::node::Node;

/// The most files that wait until they can be offered.
const MOST_DROPS: usize = 256;

/// The pause before a file is offered again that could not be.
const RETRY: Duration = Duration::from_secs(5);

/// Files that were put into the plugins folder and are not offered yet.
#[derive(Default)]
pub(super) struct Drops {
    waiting: BTreeSet<String>,
    /// True while one of them is stored: one after the other.
    is_storing: bool,
    /// The time of the last failure.
    failed: Option<Instant>,
}

impl Runner {
    /// Notes that a file is served that the fleet may not know.
    pub(super) fn note_drop(&mut self, file: &str) {
        if self.node.settings.publish && self.drops.waiting.len() < MOST_DROPS {
            self.drops.waiting.insert(file.to_owned());
        }
    }

    /// Offers the next file that was put into the plugins folder: verifies and stores it, beside
    /// the task.
    pub(super) fn offer_drops(&mut self) {
        let Some(store) = self.store.clone() else { return };
        if self.drops.is_storing || self.drops.failed.is_some_and(|when| when.elapsed() < RETRY) {
            return;
        }
        let Some(file) = self.drops.waiting.pop_first() else { return };
        self.drops.is_storing = true;
        let number = self.offers.next();
        let (node, sender, written) =
            (Arc::clone(&self.node), self.sender.clone(), self.record.written());
        tokio::spawn(async move {
            let stored = async {
                let name = file.clone();
                match blocking(move || verify_drop(&node, &name, &written)).await? {
                    Some(verified) => put(&store, verified, number).await.map(Some),
                    None => Ok(None),
                }
            };
            let stored = stored.await;
            // The task may have ended.
            let _ = sender.send(News::Dropped(file, stored)).await;
        });
    }

    /// Begins the rollout of a stored file of the plugins folder, and offers the next one.
    pub(super) async fn begin_dropped(
        &mut self,
        file: String,
        stored: Result<Option<Stored>, RolloutError>,
    ) {
        self.drops.is_storing = false;
        self.drops.failed = None;
        let begun = match stored {
            Ok(Some(stored)) => self.begin_drop(&file, stored).await,
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = begun {
            log::warn!("fleet: '{file}' is not offered to the fleet: {error}");
            let is_away = match &error {
                RolloutError::Away(_) => true,
                RolloutError::Object { operation, .. } => *operation == STORE,
                _ => false,
            };
            if is_away {
                self.drops.failed = Some(Instant::now());
                self.drops.waiting.insert(file);
            }
        }
        self.offer_drops();
    }

    async fn begin_drop(&mut self, file: &str, stored: Stored) -> Result<(), RolloutError> {
        let Stored { version, hash, number } = stored;
        let key = version.key();
        let held = self.record.get(&key).cloned().unwrap_or_default();
        // While it was stored, the file may have changed, or the fleet have put it there.
        if !serves(&self.node, file, hash) || held.written == version.sha256 {
            self.remove_stored(&version).await;
            return Ok(());
        }
        self.begin_stored(&version, Some(self.own_canary()), number).await?;
        let now = Instant::now();
        let trial = Trial {
            version: version.clone(),
            hash: Some(hash),
            is_fetching: false,
            placed: Some(now),
            served: Some(now),
            began: now,
        };
        self.trials.insert(key.clone(), trial);
        let next = Held {
            id: Some(version.id.clone()),
            is_confirmed: false,
            written: version.sha256.clone(),
            before: if held.is_confirmed { held.id } else { held.before },
            refused: held.refused,
            is_own_fault: held.is_own_fault,
            name: version.plugin.clone(),
        };
        self.record.set(&key, next).await;
        log::info!(
            "fleet: plugin '{}' {} is offered to the fleet, from {file}",
            version.plugin,
            version.label()
        );
        self.advance(&key).await;
        Ok(())
    }

    /// Keeps copies of the served files of a host that publishes: the next file of an operator
    /// replaces them before the fleet hears of it.
    pub(super) async fn keep_served_files(&mut self) {
        let registry = Arc::clone(&self.node.host.registry.load());
        for plugin in registry.all_plugins() {
            self.keep_for_next_drop(plugin.file.clone()).await;
        }
    }

    /// Keeps a copy of one such file.
    pub(super) async fn keep_for_next_drop(&self, file: String) {
        if !self.node.settings.publish || !self.takes() {
            return;
        }
        let plugins = self.node.host.plugins.clone();
        let unproved = self.record.unproved();
        let keep = move || {
            // The copy is that of the file before such a version, which may have to be put back.
            let content = folder::read(&plugins, &file).map(|(content, _)| sha256_of(&content));
            if content.is_ok_and(|written| unproved.contains(&written)) {
                return Ok(());
            }
            folder::keep_before(&plugins, &file)
        };
        if let Err(error) = blocking(keep).await {
            log::warn!("fleet: {error}");
        }
    }
}

/// Reads and verifies a file of the plugins folder; `None` if it is not served, or if the fleet has
/// put it there. `written` is what the fleet has put there.
fn verify_drop(
    node: &Node,
    file: &str,
    written: &BTreeMap<String, String>,
) -> Result<Option<Verified>, RolloutError> {
    let (content, signature) = folder::read(&node.host.plugins, file)?;
    let mut version = describe(node, file, &content)?;
    let hash = blake3::hash(&content);
    // If it has changed again, an event of that follows.
    if !serves(node, file, hash) || written.get(&version.key()) == Some(&version.sha256) {
        return Ok(None);
    }
    if let Some(served) = node.host.registry.load().served_from(file) {
        version.version.clone_from(&served.manifest.version);
        version.api.clone_from(&served.manifest.api_version);
    }
    verify(node, version, content, hash, signature).map(Some)
}
