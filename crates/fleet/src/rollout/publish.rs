//! Offers files to the fleet: those that sessions push, and those that an operator puts into the
//! plugins folder of a host that publishes.

use std::{sync::Arc, time::Instant};

use super::{
    error::RolloutError,
    folder,
    hold::Trial,
    record::Held,
    requests::Answer,
    run::Runner,
    state::{Canary, Rollout},
    take::blocking,
    upload::Upload,
    version::{Version, sha256_of},
};

/// The most files that wait until they can be offered.
const MOST_DROPS: usize = 256;

impl Runner {
    /// Offers a pushed file to the fleet.
    pub(super) async fn push(&mut self, upload: Upload) -> Answer {
        let Upload { file, signature, content, .. } = upload;
        let described = Version::describe(&file, &content, &self.node.settings.host)?;
        let version = self.named_as_known(described);
        let (content, signature) = self.verify(&version, content, signature).await?;
        // This host is a natural canary, if the plugin is for its platform.
        let canary = version.fits().then(|| self.own_canary());
        let tried = if canary.is_some() { "this host tries it first" } else { "a host tries it" };
        self.offer(&version, &content, &signature, canary).await?;
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

    /// Names a version as an earlier rollout of the same file, or as the plugin that this host
    /// serves from that file.
    fn named_as_known(&self, mut version: Version) -> Version {
        let wanted = self.holds.values().map(|hold| &hold.rollout.wanted);
        let mut same =
            wanted.filter(|one| one.file == version.file && one.target == version.target);
        let registry = self.node.host.registry.load();
        let served = registry.served_from(&version.file).map(|one| one.manifest.name.clone());
        if let Some(name) = same.next().map(|one| one.plugin.clone()).or(served) {
            version.plugin = name;
        }
        version
    }

    async fn verify(
        &self,
        version: &Version,
        content: Vec<u8>,
        signature: String,
    ) -> Result<(Vec<u8>, String), RolloutError> {
        let key = self.node.host.plugin_key.clone().ok_or(RolloutError::NoKey)?;
        let (name, file) = (version.signature_file(), version.file.clone());
        if signature.is_empty() {
            let cause = plugin_engine::trust::signature::BadSignature::Missing { name };
            return Err(RolloutError::Signature { file, cause });
        }
        blocking(move || {
            key.verify_bytes(&name, &signature, &content)
                .map_err(|cause| RolloutError::Signature { file, cause })?;
            Ok((content, signature))
        })
        .await
    }

    /// Stores a file and begins its rollout.
    async fn offer(
        &mut self,
        version: &Version,
        content: &[u8],
        signature: &str,
        canary: Option<Canary>,
    ) -> Result<(), RolloutError> {
        let away = || {
            let problem = self.node.rollouts.problem.lock().clone();
            RolloutError::Away(problem.unwrap_or_else(|| self.node.link.explain()))
        };
        let store = self.store.clone().ok_or_else(away)?;
        store.put(version, content, signature).await?;
        let wait = self.node.settings.canary;
        let begin = |earlier: Option<&Rollout>| {
            Ok(Rollout::begin(earlier, version.clone(), canary.clone(), wait))
        };
        let begun = self.begin(&version.key(), begin).await;
        if begun.is_err() {
            store.remove(version).await;
        }
        begun
    }

    /// Notes that a file is served that the fleet may not know.
    pub(super) fn note_drop(&mut self, file: &str) {
        if self.node.settings.publish && self.drops.len() < MOST_DROPS {
            self.drops.insert(file.to_owned());
        }
    }

    /// Offers the files that were put into the plugins folder.
    pub(super) async fn offer_drops(&mut self) {
        if self.store.is_none() {
            return;
        }
        while let Some(file) = self.drops.pop_first() {
            match self.offer_drop(&file).await {
                Ok(()) => {}
                Err(error @ RolloutError::Away(_)) => {
                    log::warn!("fleet: '{file}' is not offered to the fleet yet: {error}");
                    self.drops.insert(file);
                    return;
                }
                Err(error) => log::warn!("fleet: '{file}' is not offered to the fleet: {error}"),
            }
        }
    }

    async fn offer_drop(&mut self, file: &str) -> Result<(), RolloutError> {
        let (plugins, name) = (self.node.host.plugins.clone(), file.to_owned());
        let (content, signature) = blocking(move || folder::read(&plugins, &name)).await?;
        let hash = blake3::hash(&content);
        if !self.serves(file, hash) {
            // The file has changed again, and an event of that follows.
            return Ok(());
        }
        let described = Version::describe(file, &content, &self.node.settings.host)?;
        let mut version = self.named_as_known(described);
        let key = version.key();
        let held = self.record.get(&key).cloned().unwrap_or_default();
        if held.written == version.sha256 {
            // The fleet has put it there.
            return Ok(());
        }
        {
            let registry = self.node.host.registry.load();
            if let Some(served) = registry.served_from(file) {
                version.version.clone_from(&served.manifest.version);
                version.api.clone_from(&served.manifest.api_version);
            }
        }
        version.id = format!("{key}.{:016x}", fastrand::u64(..));
        let (content, signature) = self.verify(&version, content, signature).await?;
        let now = Instant::now();
        // Known first: the entry of the bucket may arrive at once.
        let trial = Trial {
            version: version.clone(),
            hash: Some(hash),
            is_fetching: false,
            placed: Some(now),
            served: Some(now),
            began: now,
        };
        let canary = Some(self.own_canary());
        self.offer(&version, &content, &signature, canary).await?;
        self.trials.insert(key.clone(), trial);
        let earlier = if held.is_confirmed { held.id } else { held.before };
        self.record.set(
            &key,
            Held {
                id: Some(version.id.clone()),
                is_confirmed: false,
                written: version.sha256.clone(),
                before: earlier,
                refused: held.refused,
            },
        );
        log::info!(
            "fleet: plugin '{}' {} is offered to the fleet, from {file}",
            version.plugin,
            version.label()
        );
        // Boxed: the step may come back here.
        Box::pin(self.advance(&key)).await;
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
