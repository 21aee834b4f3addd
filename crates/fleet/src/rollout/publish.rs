//! Offers files to the fleet that sessions push.

use std::{collections::BTreeMap, sync::Arc};

use crossbeam_channel::Sender;

use super::{
    error::RolloutError,
    requests::Answer,
    run::{News, Runner},
    state::{Canary, Rollout},
    store::Store,
    take::{blocking, serves},
    upload::Upload,
    version::Version,
};
use crate::node::Node;

/// The order in which files were offered.
#[derive(Default)]
pub(super) struct Offers {
    last: u64,
    /// The number of the last one that has begun, by the key of its rollout.
    begun: BTreeMap<String, u64>,
}

impl Offers {
    /// Returns the number of a new one.
    pub(super) fn next(&mut self) -> u64 {
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
    /// The version.
    pub(super) version: Version,
    /// The hash of its content, as the engine computes it.
    pub(super) hash: blake3::Hash,
    /// The number of the offer.
    pub(super) number: u64,
}

/// A file that may be stored.
pub(super) struct Verified {
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
                let describing = Arc::clone(&node);
                let verified = move || {
                    let node = describing;
                    let (version, hash) =
                        (describe(&node, &file, &content)?, blake3::hash(&content));
                    verify(&node, version, content, hash, signature)
                };
                let verified = blocking(verified).await?;
                if is_there(&node, &store, &verified).await {
                    return Err(RolloutError::Same(verified.version.file));
                }
                put(&store, verified, number).await
            };
            let stored = stored.await;
            // The task may have ended.
            let _ = sender.send(News::Pushed(reply, stored)).await;
        });
    }

    /// Begins the rollout of a pushed file.
    pub(super) async fn begin_pushed(&mut self, stored: Result<Stored, RolloutError>) -> Answer {
        let Stored { version, number, .. } = match stored {
            // This is a success for the person who pushes.
            Err(error @ RolloutError::Same(_)) => return Ok(error.to_string()),
            stored => stored?,
        };
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

    /// Makes this host a canary.
    pub(super) fn own_canary(&self) -> Canary {
        Canary::new(&self.node.id, &self.node.settings.host)
    }

    /// Begins the rollout of a stored version.
    pub(super) async fn begin_stored(
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
        match &begun {
            // The rollout may have begun, although its answer was lost.
            Ok(()) | Err(RolloutError::Away(_)) => {}
            Err(_) => self.remove_stored(version).await,
        }
        begun
    }

    /// Removes the file of a version whose rollout does not begin.
    pub(super) async fn remove_stored(&self, version: &Version) {
        if let Some(store) = self.store.clone() {
            store.remove(version).await;
        }
    }
}

/// Returns true if the fleet has a pushed file already, with a signature that this host accepts, and
/// this host serves it.
async fn is_there(node: &Node, store: &Store, verified: &Verified) -> bool {
    let Verified { version, content, hash, .. } = verified;
    let known = node.rollouts.known.lock().get(&version.key()).cloned();
    let Some(known) = known.filter(|rollout| rollout.has(version)) else { return false };
    let (Some(key), Ok(signature)) = (&node.host.plugin_key, store.signature(&known.wanted).await)
    else {
        return false;
    };
    let is_served = !version.fits() || serves(node, &version.file, *hash);
    is_served && key.verify_named(&version.file, content, &signature).is_ok()
}

/// Verifies the signature of a file, whose content has this hash.
pub(super) fn verify(
    node: &Node,
    version: Version,
    content: Vec<u8>,
    hash: blake3::Hash,
    signature: String,
) -> Result<Verified, RolloutError> {
    let key = node.host.plugin_key.as_ref().ok_or(RolloutError::NoKey)?;
    match key.verify_named(&version.file, &content, &signature) {
        Ok(()) => Ok(Verified { version, content, signature, hash }),
        Err(cause) => Err(RolloutError::Signature { file: version.file, cause }),
    }
}

/// Describes a file. Its plugin has the name of an earlier rollout of the same file, or of the
/// plugin that this host serves from it.
pub(super) fn describe(node: &Node, file: &str, content: &[u8]) -> Result<Version, RolloutError> {
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

/// Stores a verified file.
pub(super) async fn put(
    store: &Store,
    verified: Verified,
    number: u64,
) -> Result<Stored, RolloutError> {
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
