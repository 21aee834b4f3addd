//! Plugins whose commands go: their file is gone, or they are disabled.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Manager,
    candidate::Asked,
    change::{Change, Stopped},
    file_name, retired,
    slot::Slot,
};
use crate::{events::EventKind, load_error::Refusal, state::handover::Quiesced};

/// How long a file that is gone is waited for, at the most, while others are probed: one of them may
/// be the same plugin under another name.
const RENAMED: Duration = Duration::from_secs(2);

impl Manager {
    /// Withdraws what was served from a file that is gone; where its state cannot be saved it goes
    /// on serving, the log says so, and it is tried again.
    pub(super) fn gone(&mut self, path: &Path) {
        match path.try_exists() {
            Ok(false) => {}
            Ok(true) => return,
            // Whether it is gone is not known yet.
            Err(_) => return self.retries.later(path, Instant::now()),
        }
        if let Some(mut asked) = self.cancel(path) {
            asked.answer(&Err(format!("{} is not there", path.display())));
        }
        self.files.remove(path);
        // What is being probed may be the same plugin under another name: then nothing is withdrawn.
        if self.probes.has_younger(RENAMED) {
            return self.retries.later(path, Instant::now());
        }
        self.retries.forget(path);
        if let Some(plugin) = self.served_from(&file_name(path)) {
            // Both end what is served from here, and look at this file again where they do not.
            if self.is_being_disabled(&plugin) || self.is_being_renamed(&plugin, path) {
                return;
            }
            self.submit(plugin, Change::Withdraw { disable: false, asked: Asked::default() });
        }
    }

    /// A plugin's state could not be saved, so that it goes on serving.
    pub(super) fn tell_not_withdrawn(&mut self, plugin: &str, disable: bool, problem: &str) {
        let Some(slot) = self.slots.get_mut(plugin) else { return };
        if disable {
            return;
        }
        log::error!("plugin {plugin}: still served, although its file is gone: {problem}");
        slot.last_failure = Some((problem.to_owned(), Instant::now()));
        let path = self.context.settings.plugins.join(&slot.file);
        self.retries.later(&path, Instant::now());
    }

    /// Saves a plugin's state and takes its commands out of the registry.
    pub(super) fn withdraw(
        &mut self,
        plugin: &str,
        disable: bool,
        force: bool,
    ) -> Result<(), Stopped> {
        let started = Instant::now();
        let old = self.slots.get(plugin).and_then(Slot::generation).cloned();
        if let Some(old) = old {
            let quiesced = self.quiesce(Some(&old), force)?;
            let saved = quiesced.as_ref().map_or(Ok(()), |quiesced| self.save(quiesced));
            saved.map_err(|problem| Refusal::Handover { problem })?;
            if let Some(slot) = self.slots.get_mut(plugin) {
                slot.serving = None;
                // By now the file on the disk knows it.
                slot.state_bytes = None;
                slot.withdrawn = Some((Arc::clone(old.shadow()), old.manifest.clone()));
            }
            self.publish();
            quiesced.into_iter().for_each(Quiesced::retire);
            let event =
                retired::event(&old, EventKind::Withdrawn, started.elapsed(), String::new());
            self.context.events.publish(event);
            self.retired.add(old);
        }
        if let Some(slot) = self.slots.get_mut(plugin).filter(|_| disable) {
            slot.disabled = true;
        }
        self.retry_clashed();
        Ok(())
    }
}
