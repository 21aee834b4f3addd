//! Withdraws plugins whose file is gone, or that are disabled.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Manager,
    candidate::ChangeRequest,
    change::{Change, Stopped},
    file_name, retired,
    slot::Slot,
};
use crate::{
    events::EventKind, files::kind::NoPlugin, load_error::Refusal, state::handover::Quiesced,
};

/// The longest wait before a plugin whose file is gone is withdrawn while others are probed: one of
/// them may be the same plugin under another name.
const RENAMED: Duration = Duration::from_secs(2);

impl Manager {
    /// Withdraws the plugin that was served from a file that is gone. If its state cannot be saved,
    /// it keeps serving, the log says so, and it is retried.
    pub(super) fn handle_gone(&mut self, path: &Path) {
        match path.try_exists() {
            Ok(false) => {}
            Ok(true) => return,
            // It is unknown if it is gone.
            Err(_) => return self.retries.retry_later(path, Instant::now()),
        }
        if let Some(mut asked) = self.cancel(path) {
            asked.answer(&Err(format!("{} is not there", path.display())));
        }
        self.files.remove(path);
        // A file in a probe may be the same plugin under another name: nothing is withdrawn then.
        if self.probes.has_younger(RENAMED) {
            return self.retries.retry_later(path, Instant::now());
        }
        self.retries.forget(path);
        if let Some(plugin) = self.served_from(&file_name(path)) {
            // Both changes end this generation, and check the file again if they fail.
            if self.is_being_disabled(&plugin) || self.is_being_renamed(&plugin, path) {
                return;
            }
            self.submit(
                plugin,
                Change::Withdraw { disable: false, asked: ChangeRequest::default() },
            );
        }
    }

    /// Returns true if a plugin is served from a file that is still there but no plugin any more.
    pub(super) fn is_served_no_more(&self, path: &Path) -> bool {
        let is_served = self.served_from(&file_name(path)).is_some();
        is_served && path.exists() && self.kind_of(path) == Err(NoPlugin::Other)
    }

    /// Withdraws the plugin that is served from this file.
    pub(super) fn withdraw_file(&mut self, path: &Path) {
        self.files.remove(path);
        if let Some(plugin) = self.served_from(&file_name(path)) {
            let asked = ChangeRequest::default();
            self.submit(plugin, Change::Withdraw { disable: false, asked });
        }
    }

    /// Reports that a plugin's state could not be saved, so that it keeps serving.
    pub(super) fn report_not_withdrawn(&mut self, plugin: &str, disable: bool, problem: &str) {
        let Some(slot) = self.slots.get_mut(plugin) else { return };
        if disable {
            return;
        }
        log::error!("plugin {plugin}: still served, although its file is gone: {problem}");
        slot.last_failure = Some((problem.to_owned(), Instant::now()));
        let path = self.context.settings.plugins.join(&slot.file);
        self.retries.retry_later(&path, Instant::now());
    }

    /// Saves a plugin's state and removes its commands from the registry.
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
                // The size on disk is the right one from now on.
                slot.state_bytes = None;
                slot.withdrawn = Some((Arc::clone(old.shadow()), old.manifest.clone()));
            }
            self.publish();
            old.order.retire();
            if let Some(durable) = old.order.durable() {
                durable.suspend();
            }
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
