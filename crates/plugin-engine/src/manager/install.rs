//! Installs a copy that a probe has approved: load, configure, hand over, swap the registry.

use std::{sync::Arc, time::Instant};

use super::{
    Manager,
    candidate::Candidate,
    change::Stopped,
    conflicts, file_name, retired,
    slot::{Serving, Slot},
};
use crate::{
    events::EventKind,
    files::folder,
    live::{generation::Generation, loader, manifest::Manifest},
    load_error::Refusal,
    state::{configuration::AppliedConfig, handover::Quiesced},
};

/// A replacement of the served generation, from the pause to the swap.
struct Replacement {
    /// The earlier generation of the same plugin.
    old: Option<Arc<Generation>>,
    /// Another plugin that was served from the same file, and is removed in the same step.
    renamed: Option<Arc<Generation>>,
    /// Those of the two that keep state, paused.
    quiesced: [Option<Quiesced>; 2],
    state_bytes: Option<u64>,
    /// The configuration of the new generation.
    applied_config: Option<AppliedConfig>,
    paused: Instant,
}

impl Manager {
    /// Checks the names of a newcomer against the host's and those of served plugins.
    pub(super) fn check_clashes(&self, manifest: &Manifest, file: &str) -> Result<(), Refusal> {
        let plugins = &self.context.settings.plugins;
        // Not counted: a plugin served from this very file, which it replaces, and this plugin if
        // it is served from a file that is gone, which means that the file was renamed.
        let goes = |other: &Arc<Generation>| {
            other.file == file
                || (other.manifest.name == manifest.name
                    && folder::is_gone(&plugins.join(&other.file)))
        };
        let served = self.slots.values().filter_map(Slot::generation);
        let is_builtin = |name: &str| self.context.is_builtin(name);
        conflicts::check(manifest, file, plugins, is_builtin, served.filter(|other| !goes(other)))
    }

    /// Loads a copy that a probe has approved, and serves it in place of the earlier generation.
    pub(super) fn install(
        &mut self,
        candidate: &Candidate,
        manifest: &Manifest,
    ) -> Result<(), Stopped> {
        let (name, file) = (&manifest.name, file_name(&candidate.path));
        self.check_clashes(manifest, &file)?;
        let slot = self.slots.entry(name.clone()).or_default();
        if slot.disabled || slot.serving.is_none() {
            slot.file.clone_from(&file);
        }
        if slot.disabled {
            log::info!("plugin {name}: {file} is not loaded, since the plugin is disabled");
            return Ok(());
        }
        slot.number += 1;
        let number = slot.number;
        let plugin = match &candidate.plugin {
            Some(plugin) => Arc::clone(plugin),
            None => {
                let shared = (&self.context, &self.states);
                loader::load(shared, &candidate.shadow, manifest, &candidate.path)?
            }
        };
        let shadow = Arc::clone(&candidate.shadow);
        let new = Arc::new(Generation::new(manifest.clone(), number, file, plugin, shadow));
        match self.begin_replacement(&new, candidate.asked.force) {
            Ok(replacement) => {
                self.swap(&new, replacement, candidate.started);
                // Its earlier commands may be free now.
                self.retry_clashed();
                Ok(())
            }
            Err(stopped) => {
                // It has been loaded, so it has to be unloaded in order.
                self.retired.add(new);
                Err(stopped)
            }
        }
    }

    /// Configures a new generation and hands it the state.
    fn begin_replacement(
        &self,
        new: &Arc<Generation>,
        force: bool,
    ) -> Result<Replacement, Stopped> {
        let applied_config = self.configure_first(new)?;
        let name = &new.manifest.name;
        let served = |plugin: &str| self.slots.get(plugin)?.generation().cloned();
        let old = served(name);
        let renamed = self.served_from(&new.file).filter(|other| other != name);
        let renamed = renamed.and_then(|other| served(&other));
        if let Some(old) = &old
            && let Err(problem) = self.stop_snapshot(old)
        {
            // A slow disk is no fault of the new code.
            log::warn!("plugin {name}: {problem}; its replacement waits");
            return Err(Stopped::Busy);
        }
        let transfer = self.begin_transfer(old.as_ref(), new);
        let transfer = transfer.map_err(|problem| Refusal::Handover { problem })?;
        let paused = Instant::now();
        let quiesced = [self.quiesce(old.as_ref(), force)?, self.quiesce(renamed.as_ref(), force)?];
        let handed =
            self.hand_over((quiesced[0].as_ref(), transfer), new).and_then(|state_bytes| {
                quiesced[1].as_ref().map_or(Ok(()), |renamed| self.save(renamed))?;
                Ok(state_bytes)
            });
        let state_bytes = handed.map_err(|problem| Refusal::Handover { problem })?;
        Ok(Replacement { old, renamed, quiesced, state_bytes, applied_config, paused })
    }

    /// Publishes a new generation and retires the generations that it replaces.
    fn swap(&mut self, new: &Arc<Generation>, replacement: Replacement, started: Instant) {
        let Replacement { old, renamed, quiesced, state_bytes, applied_config, paused } =
            replacement;
        if let Some(renamed) = &renamed {
            self.slots.entry(renamed.manifest.name.clone()).or_default().serving = None;
        }
        let is_configured = applied_config.as_ref().is_some_and(|config| config.content.is_some());
        let slot = self.slots.entry(new.manifest.name.clone()).or_default();
        slot.file.clone_from(&new.file);
        slot.serving = Some(Serving::new(Arc::clone(new), &self.context.metrics));
        slot.state_bytes = state_bytes.or(slot.state_bytes);
        slot.applied_config = applied_config;
        let withdrawn = slot.withdrawn.take();
        let before =
            old.as_ref().map(|old| (Arc::clone(old.shadow()), old.manifest.clone())).or(withdrawn);
        // Loading the same code again does not change the code to roll back to.
        if let Some(before) = before.filter(|(code, _)| code.hash() != new.shadow().hash()) {
            slot.previous = Some(before);
        }
        if let Some(durable) = new.order.durable() {
            durable.set_owner(new.number);
            if old.as_ref().is_some_and(|old| old.shadow().hash() != new.shadow().hash()) {
                // Other code may run the journal's commands in another way.
                durable.want_snapshot();
            }
        }
        self.publish();
        // Also of a plugin that keeps no state, which was not paused.
        old.iter().chain(&renamed).for_each(|replaced| replaced.order.retire());
        quiesced.into_iter().flatten().for_each(Quiesced::retire);

        let mut detail = format!("version {}", new.manifest.version);
        if is_configured {
            detail += &format!(", configured by {}.toml", new.manifest.name);
        }
        if let Some(old) = &old {
            let (number, version) = (old.number, &old.manifest.version);
            let paused = paused.elapsed().as_secs_f64() * 1e3;
            detail += &format!(
                ", in place of generation {number} ({version}); paused for {paused:.2} ms"
            );
        }
        let kind = if old.is_some() { EventKind::Swapped } else { EventKind::Loaded };
        self.context.events.publish(retired::event(new, kind, started.elapsed(), detail));
        self.retired.extend(old.into_iter().chain(renamed));
    }
}
