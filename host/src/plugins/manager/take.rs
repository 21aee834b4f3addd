//! Taking what is in a file: from its bytes to a swapped table.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Manager, Seen, Waits, file_name};
use crate::{
    news::{Event, News},
    plugins::{
        clashes, folder,
        generation::Generation,
        handover::Quiet,
        loader,
        manifest::Manifest,
        refusal::Refusal,
        retired,
        shadow::Shadow,
        slot::{Serving, Slot},
    },
};

/// A file that was not taken.
pub(super) struct Refused {
    /// The plugin that is served from this file, or would be.
    pub(super) plugin: Option<String>,
    pub(super) refusal: Refusal,
    pub(super) took: Duration,
}

impl Manager {
    /// Takes a file's content, if it is new or `anew` is set, and tells what came of it.
    pub(super) fn take(&mut self, path: &Path, anew: bool) {
        match self.try_take(path, anew) {
            Ok(()) => self.retries.forget(path),
            Err(refused) => {
                let passing = refused.refusal.is_passing();
                if matches!(refused.refusal, Refusal::InUse) {
                    if self.retries.held(path, Instant::now()) {
                        self.tell_refused(path, refused);
                    }
                    return;
                }
                // A file that is being written is told of when it stays so.
                if !matches!(refused.refusal, Refusal::Unsettled) || self.retries.is_late(path) {
                    self.tell_refused(path, refused);
                }
                if passing {
                    self.retries.later(path, Instant::now());
                } else {
                    self.retries.forget(path);
                }
            }
        }
    }

    /// Tells of a refusal and gives its reason.
    pub(super) fn tell_refused(&mut self, path: &Path, refused: Refused) -> String {
        let Refused { plugin, refusal, took } = refused;
        let (file, detail) = (file_name(path), refusal.to_string());
        if let Some(slot) = plugin.as_ref().and_then(|plugin| self.slots.get_mut(plugin)) {
            slot.last_failure = Some((detail.clone(), Instant::now()));
        }
        let (event, generation, plugin) = (Event::Refused, 0, plugin.unwrap_or_default());
        let told = detail.clone();
        self.shared.newsroom.tell(News { event, plugin, generation, file, took, detail });
        told
    }

    /// The sequence: copy, verify, probe, load, hand over, swap.
    pub(super) fn try_take(&mut self, path: &Path, anew: bool) -> Result<(), Refused> {
        let started = Instant::now();
        let file = file_name(path);
        let served = self.served_from(&file);
        let fail = |plugin: Option<String>| {
            move |refusal| Refused { plugin, refusal, took: started.elapsed() }
        };

        let fresh = self.fresh_copy(path, anew).map_err(fail(served.clone()))?;
        let Some(shadow) = fresh else { return Ok(()) };
        let hash = shadow.hash();
        // Or a success further down would take it for one of those that wait for their chance.
        self.files.remove(path);
        let taken = loader::probe(&self.shared, &shadow)
            .map_err(|refusal| (served.clone(), refusal.about(shadow.path(), path)))
            .and_then(|manifest| {
                let plugin = manifest.name.clone();
                let installed = self.install(&file, shadow, manifest, started);
                installed.map_err(|refusal| match refusal {
                    // It is the newcomer's failure, not that of whoever has the name.
                    Refusal::Clash { .. } => (served, refusal),
                    _ => (served.or(Some(plugin)), refusal),
                })
            });
        let refused = taken.as_ref().err().map(|(_, refusal)| refusal);
        let waits = match refused {
            Some(Refusal::Clash { .. }) => Waits::ForNames,
            Some(Refusal::Configuration { plugin, passing: false, .. }) => {
                Waits::ForConfiguration(plugin.clone())
            }
            _ => Waits::No,
        };
        // What another try may take is not remembered.
        if waits != Waits::No || refused.is_none_or(Refusal::is_lasting) {
            self.files.insert(path.to_owned(), Seen { hash, waits });
        } else {
            self.files.remove(path);
        }
        taken.map_err(|(plugin, refusal)| fail(plugin)(refusal))
    }

    /// From a copy that a probe has approved to a swapped table.
    pub(super) fn install(
        &mut self,
        file: &str,
        shadow: Shadow,
        manifest: Manifest,
        started: Instant,
    ) -> Result<(), Refusal> {
        let name = manifest.name.clone();
        let plugins = &self.shared.config.plugins;
        // What is served from this very file is about to go, and so is this plugin as it is served
        // from a file that is gone: it has been renamed.
        let goes = |other: &Arc<Generation>| {
            other.file == file
                || (other.manifest.name == name && folder::is_gone(&plugins.join(&other.file)))
        };
        let served = self.slots.values().filter_map(Slot::generation);
        clashes::check(&manifest, file, plugins, served.filter(|other| !goes(other)))?;
        let slot = self.slots.entry(name.clone()).or_default();
        if slot.disabled {
            file.clone_into(&mut slot.file);
            log::info!("plugin {name}: {file} is not loaded, since the plugin is disabled");
            return Ok(());
        }
        if slot.serving.is_none() {
            file.clone_into(&mut slot.file);
        }
        slot.number += 1;
        let (number, old) = (slot.number, slot.generation().cloned());
        let (shadow, file) = (Arc::new(shadow), file.to_owned());
        let new = loader::load(&self.shared, shadow, manifest, number, file.clone())?;
        let new = Arc::new(new);
        let given = match self.configure_first(&new) {
            Ok(given) => given,
            Err(refusal) => {
                // It has been loaded, so it has to be unloaded in order.
                self.retired.add(new);
                return Err(refusal);
            }
        };
        // What was served from this file under another name goes in the same step.
        let renamed = self.served_from(&file).filter(|served| *served != name);
        let renamed = renamed.and_then(|other| self.slots.get(&other)?.generation().cloned());

        let paused = Instant::now();
        let quieted = self.hand_over(old.as_ref(), &new).and_then(|(quiet, size)| {
            let renamed = renamed.as_ref().map(|renamed| self.save(renamed)).transpose()?;
            Ok(([quiet, renamed.flatten()], size))
        });
        let (quieted, size) = match quieted {
            Ok(quieted) => quieted,
            Err(problem) => {
                self.retired.add(new);
                return Err(Refusal::Handover { problem });
            }
        };
        if let Some(renamed) = &renamed {
            self.slots.entry(renamed.manifest.name.clone()).or_default().serving = None;
        }
        let slot = self.slots.entry(name).or_default();
        slot.file = file;
        slot.serving = Some(Serving::new(Arc::clone(&new), &self.shared.metrics));
        slot.state_bytes = size.or(slot.state_bytes);
        let configured_by = given.as_ref().and_then(|given| given.content);
        slot.given = given;
        let hash = new.shadow().hash();
        let withdrawn = slot.withdrawn.take();
        let before =
            old.as_ref().map(|old| (Arc::clone(old.shadow()), old.manifest.clone())).or(withdrawn);
        // The same code again leaves what there is to roll back to.
        if let Some(before) = before.filter(|(code, _)| code.hash() != hash) {
            slot.previous = Some(before);
        }
        self.publish();
        quieted.into_iter().flatten().for_each(Quiet::move_on);

        let mut detail = format!("version {}", new.manifest.version);
        if configured_by.is_some() {
            detail += &format!(", configured by {}.toml", new.manifest.name);
        }
        if let Some(old) = &old {
            let (number, version) = (old.number, &old.manifest.version);
            let paused = paused.elapsed().as_secs_f64() * 1e3;
            detail += &format!(
                ", in place of generation {number} ({version}); paused for {paused:.2} ms"
            );
        }
        let event = if old.is_some() { Event::Swapped } else { Event::Loaded };
        self.shared.newsroom.tell(retired::news(&new, event, started.elapsed(), detail));
        self.retired.extend(old.into_iter().chain(renamed));
        // Commands that it had may be free now.
        self.retry_clashed();
        Ok(())
    }

    /// What a file claimed in vain may be free now.
    pub(super) fn retry_clashed(&mut self) {
        let clashed =
            |(path, seen): (&PathBuf, &Seen)| (seen.waits == Waits::ForNames).then(|| path.clone());
        for path in self.files.iter().filter_map(clashed).collect::<Vec<_>>() {
            self.take(&path, true);
        }
    }
}
