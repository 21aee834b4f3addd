//! Executes the requests of operators.

use std::{path::PathBuf, sync::Arc, time::Instant};

use crossbeam_channel::Sender;

use super::{
    Manager,
    candidate::{Candidate, ChangeRequest},
    change::Change,
    load::{Refused, being_disabled},
};
use crate::{
    files::{folder, kind::may_be_plugin, shadow_copy::Shadow},
    live::{deadline::Deadline, manifest::Manifest},
    plugin_control::{ControlResult, Request, Response},
    state::handover::Quiesced,
};

impl Manager {
    /// Executes a request and answers it, at once or when it is done.
    pub(super) fn handle(&mut self, request: Request, plugin: &str, reply: Sender<ControlResult>) {
        let forced = match request {
            Request::Reload { force: true } => Some("reload"),
            Request::Rollback { force: true } => Some("rollback"),
            Request::Disable { force: true } => Some("disable"),
            _ => None,
        };
        let reply = match forced {
            Some(subcommand) => match self.force(plugin, subcommand, reply) {
                Some(reply) => reply,
                None => return,
            },
            None => reply,
        };
        let answer = match request {
            Request::Reload { .. } | Request::Rollback { .. } if self.is_being_disabled(plugin) => {
                Err(being_disabled(plugin))
            }
            Request::Info => self.info(plugin),
            Request::Save => return self.save_now(plugin, reply),
            Request::Reload { force } => match self.reloadable(plugin) {
                Ok(path) => return self.load(&path, ChangeRequest::by_operator(force, reply)),
                Err(problem) => Err(problem),
            },
            Request::Rollback { force } => match self.code_before(plugin) {
                Ok((code, manifest)) => {
                    let asked = ChangeRequest::by_operator(force, reply);
                    return self.roll_back(plugin, code, manifest, asked);
                }
                Err(problem) => Err(problem),
            },
            Request::Disable { force } if self.slots.contains_key(plugin) => {
                let asked = ChangeRequest::by_operator(force, reply);
                let change = Change::Withdraw { disable: true, asked };
                return self.submit(plugin.to_owned(), change);
            }
            Request::Restart => self.restart(plugin),
            Request::Enable if self.slots.contains_key(plugin) => match self.enable(plugin) {
                Some(answer) => answer,
                None => return self.handle(Request::Reload { force: false }, plugin, reply),
            },
            Request::Disable { .. } | Request::Enable => unknown(plugin),
        };
        // Best effort: the session that asked may have ended.
        let _ = reply.send(answer);
    }

    /// Ends the processes of a plugin, with their calls, and starts them again. A state is saved
    /// before, if the plugin still answers.
    fn restart(&self, plugin: &str) -> ControlResult {
        let Some(slot) = self.slots.get(plugin) else { return unknown(plugin) };
        let Some(generation) = slot.generation() else {
            return Err(format!("plugin '{plugin}' is not served"));
        };
        let Some(status) = generation.live().status() else {
            return Err(format!(
                "plugin '{plugin}' runs in the host; reload it, or set `isolate = true` for it"
            ));
        };
        let give_up = || self.context.shutdown.is_stopping();
        let pause = Deadline { time: self.context.settings.handover_pause, give_up: &give_up };
        let keeps = generation.live().saves() && status.unavailable.is_none();
        // New calls wait until the processes have been asked to end.
        let quiesced = keeps.then(|| Quiesced::force(generation, &pause)).transpose();
        let saved = quiesced
            .as_ref()
            .map_err(ToString::to_string)
            .and_then(|quiesced| quiesced.as_ref().map_or(Ok(()), |quiesced| self.save(quiesced)));
        if let Err(problem) = saved {
            log::warn!("plugin {plugin}: its state is lost in the restart: {problem}");
        }
        if !generation.live().restart() {
            return Err(format!("plugin '{plugin}' has no processes between calls"));
        }
        Ok(Response::Done(format!("plugin '{plugin}' is started again")))
    }

    fn info(&self, plugin: &str) -> ControlResult {
        let Some(slot) = self.slots.get(plugin) else { return unknown(plugin) };
        let mut info = slot.info(plugin, &self.retired, &self.states);
        info.waiting = self.pending.get(plugin).map(|pending| pending.describe());
        Ok(Response::Info(Box::new(info)))
    }

    /// Returns the file to load again for a plugin, or for a file that never became one.
    fn reloadable(&self, plugin: &str) -> Result<PathBuf, String> {
        let folder = &self.context.settings.plugins;
        let path = match self.slots.get(plugin) {
            Some(slot) if slot.disabled => {
                return Err(format!("plugin '{plugin}' is disabled; enable it"));
            }
            Some(slot) => folder.join(&slot.file),
            // A file that never became a plugin is known by its own name.
            None => {
                let path = folder.join(plugin);
                let is_inside = path.parent() == Some(&**folder) && may_be_plugin(&path);
                if !is_inside || folder::is_gone(&path) {
                    return Err(format!("there is no plugin '{plugin}'"));
                }
                path
            }
        };
        if folder::is_gone(&path) {
            return Err(format!("{} is not there", path.display()));
        }
        Ok(path)
    }

    /// Allows a plugin to be served. Returns `None` if its file must be loaded for that.
    fn enable(&mut self, plugin: &str) -> Option<ControlResult> {
        let disabling = |other: &str, change: &Change| {
            other == plugin && matches!(change, Change::Withdraw { disable: true, .. })
        };
        let cancelled = self.drop_pending(disabling);
        let is_cancelled = cancelled.is_some();
        if let Some(mut asked) = cancelled {
            asked.answer(&Err(format!("plugin '{plugin}' was enabled before it was disabled")));
        }
        let was_crashed = self.context.crashed.forget(plugin);
        let slot = self.slots.get_mut(plugin)?;
        slot.disabled = false;
        if was_crashed && slot.generation().is_some_and(|one| one.live().is_process()) {
            // An operator vouches for it: it is loaded into the host again.
            return None;
        }
        if slot.serving.is_some() {
            // A new file may have arrived meanwhile.
            let path = self.context.settings.plugins.join(&slot.file);
            self.retries.retry_later(&path, Instant::now());
        }
        let serving = match is_cancelled {
            true => format!("plugin '{plugin}' keeps serving, its disabling is cancelled"),
            false => format!("plugin '{plugin}' is serving already"),
        };
        slot.serving.is_some().then_some(Ok(Response::Done(serving)))
    }

    /// Returns the code that was served before.
    fn code_before(&self, plugin: &str) -> Result<(Arc<Shadow>, Manifest), String> {
        let slot = self.slots.get(plugin).ok_or_else(|| no_plugin(plugin))?;
        let before = slot
            .code_before()
            .ok_or_else(|| format!("plugin '{plugin}' has no generation before this one"))?;
        if slot.disabled {
            return Err(format!("plugin '{plugin}' is disabled; enable it"));
        }
        Ok(before)
    }

    /// Puts back the code that was served before.
    fn roll_back(
        &mut self,
        plugin: &str,
        code: Arc<Shadow>,
        manifest: Manifest,
        asked: ChangeRequest,
    ) {
        let (started, copy) = (Instant::now(), self.shadows.copy_again(&code));
        let file = self.slots.get(plugin).map(|slot| slot.file.as_str()).unwrap_or_default();
        let path = self.context.settings.plugins.join(file);
        let mut candidate =
            Candidate { path, shadow: code, started, asked, is_rollback: true, plugin: None };
        match copy {
            Ok(copy) => {
                candidate.shadow = Arc::new(copy);
                self.submit(plugin.to_owned(), Change::Replace(candidate, manifest));
            }
            Err(refusal) => {
                let took = candidate.started.elapsed();
                self.refuse(candidate, Refused { plugin: Some(plugin.to_owned()), refusal, took });
            }
        }
    }
}

fn unknown(plugin: &str) -> ControlResult {
    Err(no_plugin(plugin))
}

fn no_plugin(plugin: &str) -> String {
    format!("there is no plugin '{plugin}'")
}
