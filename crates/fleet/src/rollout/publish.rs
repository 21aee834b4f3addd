//! Offers files to the fleet: those that sessions push, and those that an operator puts into the
//! plugins folder of a host that publishes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use crossbeam_channel::Sender;

use super::{
    error::RolloutError,
    folder,
    hold::Trial,
    record::Held,
    requests::Answer,
    run::{News, Runner},
    state::{Canary, Rollout},
    store::{STORE, Store},
    take::{blocking, serves},
    upload::Upload,
    version::{Version, sha256_of},
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

/// The order in which files were offered.
#[derive(Default)]
pub(super) struct Offers {
    last: u64,
    /// The number of the last one that has begun, by the key of its rollout.
    begun: BTreeMap<String, u64>,
}

impl Offers {
    /// Returns the number of a new one.
    fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// Notes that one begins. Returns false if a later one has begun already.
    fn begin(&mut self, key: String, number: u64) -> bool {
        let begun = self.begun.entry(key).or_default();
        let is_last = *begun <= number;
        *begun = number.max(*begun);
        is_last
    }
}

/// A version whose file is stored.
pub(super) struct Stored {
    version: Version,
    hash: blake3::Hash,
    /// The number of the offer.
    number: u64,
}

/// A file that may be stored.
struct Verified {
    version: Version,
    content: Vec<u8>,
    signature: String,
    hash: blake3::Hash,
}

impl Runner {
    /// Verifies a pushed file and stores it, beside the task: its heartbeats must go on.
    pub(super) fn push(&mut self, upload: Upload, reply: Sender<Answer>) {
        let store = match self.store() {
            Ok(store) => store,
            Err(error) => {
                // Best effort: the session may have ended.
                let _ = reply.send(Err(error));
                return;
            }
        };
        let number = self.offers.next();
        let (node, sender) = (Arc::clone(&self.node), self.sender.clone());
        tokio::spawn(async move {
            let stored = async {
                let Upload { file, signature, content, room, .. } = upload;
                // Until it is stored.
                let _room = room;
                let verified =
                    move || verify(&node, describe(&node, &file, &content)?, content, signature);
                put(&store, blocking(verified).await?, number).await
            };
            let stored = stored.await;
            // The task may have ended.
            let _ = sender.send(News::Pushed(reply, stored)).await;
        });
    }

    /// Begins the rollout of a pushed file.
    pub(super) async fn begin_pushed(&mut self, stored: Result<Stored, RolloutError>) -> Answer {
        let Stored { version, number, .. } = stored?;
        // This host is a natural canary, if the plugin is for its platform.
        let canary = version.fits().then(|| self.own_canary());
        let tried = if canary.is_some() { "this host tries it first" } else { "a host tries it" };
        self.begin_stored(&version, canary, number).await?;
        let (plugin, label) = (&version.plugin, version.label());
        self.advance(&version.key()).await;
        Ok(format!(
            "plugin '{plugin}' {label} is offered to the fleet, and {tried}; `fleet rollout` shows \
             how it goes on"
        ))
    }

    fn own_canary(&self) -> Canary {
        Canary::new(&self.node.id, &self.node.settings.host)
    }

    /// Begins the rollout of a stored version.
    async fn begin_stored(
        &mut self,
        version: &Version,
        canary: Option<Canary>,
        number: u64,
    ) -> Result<(), RolloutError> {
        if !self.offers.begin(version.key(), number) {
            self.remove_stored(version).await;
            return Err(RolloutError::Overtaken(version.file.clone()));
        }
        let wait = self.node.settings.canary;
        let begin = |earlier: Option<&Rollout>| {
            Ok(Rollout::begin(earlier, version.clone(), canary.clone(), wait))
        };
        let begun = self.begin(&version.key(), begin).await;
        if begun.is_err() {
            self.remove_stored(version).await;
        }
        begun
    }

    async fn remove_stored(&self, version: &Version) {
        if let Some(store) = self.store.clone() {
            store.remove(version).await;
        }
    }

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

/// Verifies the signature of a file.
fn verify(
    node: &Node,
    version: Version,
    content: Vec<u8>,
    signature: String,
) -> Result<Verified, RolloutError> {
    let key = node.host.plugin_key.as_ref().ok_or(RolloutError::NoKey)?;
    match key.verify_named(&version.file, &content, &signature) {
        Ok(()) => Ok(Verified { hash: blake3::hash(&content), version, content, signature }),
        Err(cause) => Err(RolloutError::Signature { file: version.file, cause }),
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
    // If it has changed again, an event of that follows.
    if !serves(node, file, blake3::hash(&content))
        || written.get(&version.key()) == Some(&version.sha256)
    {
        return Ok(None);
    }
    if let Some(served) = node.host.registry.load().served_from(file) {
        version.version.clone_from(&served.manifest.version);
        version.api.clone_from(&served.manifest.api_version);
    }
    verify(node, version, content, signature).map(Some)
}

/// Describes a file. Its plugin has the name of an earlier rollout of the same file, or of the
/// plugin that this host serves from it.
fn describe(node: &Node, file: &str, content: &[u8]) -> Result<Version, RolloutError> {
    let version = Version::describe(file, content, &node.settings.host)?;
    let known = node.rollouts.known.lock();
    let mut wanted = known.values().map(|rollout| &rollout.wanted);
    let same = wanted.find(|one| one.file == version.file && one.target == version.target);
    let registry = node.host.registry.load();
    let served = || registry.served_from(file).map(|one| one.manifest.name.clone());
    Ok(match same.map(|one| one.plugin.clone()).or_else(served) {
        Some(plugin) => version.named(plugin),
        None => version,
    })
}

async fn put(store: &Store, verified: Verified, number: u64) -> Result<Stored, RolloutError> {
    let Verified { version, content, signature, hash } = verified;
    store.put(&version, &content, &signature).await?;
    Ok(Stored { version, hash, number })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_offer_is_not_replaced_by_earlier() {
        let mut offers = Offers::default();
        let [first, second] = [offers.next(), offers.next()];
        assert!(offers.begin("greet.any".into(), second));
        assert!(!offers.begin("greet.any".into(), first));
        assert!(offers.begin("text.any".into(), first), "it is of another plugin");
        assert!(offers.begin("greet.any".into(), second), "it is tried again");
    }
}
