//! Makes pending changes once the calls that they wait for have ended.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use crossbeam_channel::Sender;

use super::{
    Manager,
    candidate::ChangeRequest,
    change::{Change, Pending, Stopped},
    drain::Drain,
    file_name,
    load::Refused,
    retired,
    slot::Slot,
};
use crate::{
    context::RunningCall,
    files::folder,
    load_error::Refusal,
    plugin_control::{ControlResult, Response},
};

/// Interval at which pending changes are checked, once they have waited for a second.
const LONG_TICK: Duration = Duration::from_millis(100);

impl Manager {
    /// Makes a change as soon as no long call is in the way; it replaces a pending one of the
    /// plugin.
    pub(super) fn submit(&mut self, plugin: String, mut change: Change) {
        if let Some(mut before) = self.pending.remove(&plugin) {
            let overtaken = format!("plugin '{plugin}': another change has replaced this one");
            before.change.asked().answer(&Err(overtaken));
            // Its file counts as new again if the plugin is enabled later.
            if let (Change::Replace(old, _), Change::Withdraw { .. }) = (&before.change, &change)
                && !old.is_rollback
            {
                self.files.remove(&old.path);
            }
        }
        let now = Instant::now();
        let file = change.file();
        let force = change.asked().force;
        let calls =
            if force { Vec::new() } else { self.calls_in_the_way(&plugin, file.as_deref()) };
        let drain = Drain::new(calls, now);
        self.pending
            .insert(plugin.clone(), Pending { change, drain, since: now, is_reported: false });
        self.advance(&plugin, now);
    }

    /// Makes the pending changes that need not wait any longer.
    pub(super) fn advance_all(&mut self) {
        let now = Instant::now();
        for plugin in self.pending.keys().cloned().collect::<Vec<_>>() {
            self.advance(&plugin, now);
        }
    }

    /// Returns the time until the next check; `None` if no change is pending.
    pub(super) fn pending_pause(&self) -> Option<Duration> {
        let youngest = self.pending.values().map(|pending| pending.since.elapsed()).min()?;
        // Often enough to notice calls that end within the pause.
        let long = (self.context.settings.handover_pause / 2).clamp(retired::TICK, LONG_TICK);
        Some(if youngest < Duration::from_secs(1) { retired::TICK } else { long })
    }

    fn advance(&mut self, plugin: &str, now: Instant) {
        let Some(mut pending) = self.pending.remove(plugin) else { return };
        let file = pending.change.file();
        let find = || self.calls_in_the_way(plugin, file.as_deref());
        let pause = self.context.settings.handover_pause;
        if !pending.change.asked().force && !pending.drain.is_drained(now, pause, find) {
            self.report_waiting(plugin, &mut pending, now);
            self.pending.insert(plugin.to_owned(), pending);
            return;
        }
        let made = match &pending.change {
            Change::Replace(candidate, manifest) => self.install(candidate, manifest),
            Change::Withdraw { disable, asked } => {
                let (disable, force) = (*disable, asked.force);
                self.withdraw(plugin, disable, force)
            }
        };
        match made {
            Err(Stopped::Busy) => {
                // Loading has unlinked the file, and a file is never loaded twice.
                if let Change::Replace(candidate, _) = &mut pending.change {
                    candidate.plugin = None;
                    match self.shadows.copy_again(&candidate.shadow) {
                        Ok(copy) => candidate.shadow = Arc::new(copy),
                        Err(refusal) => return self.finish(plugin, pending, Some(refusal)),
                    }
                }
                let calls = self.calls_in_the_way(plugin, file.as_deref());
                pending.drain.retry(calls, Instant::now());
                self.pending.insert(plugin.to_owned(), pending);
            }
            Ok(()) => self.finish(plugin, pending, None),
            Err(Stopped::Refused(refusal)) => self.finish(plugin, pending, Some(refusal)),
        }
    }

    /// Handles the end of a change: answers its request and records the result.
    fn finish(&mut self, plugin: &str, pending: Pending, refused: Option<Refusal>) {
        if refused.is_some() {
            self.recheck(plugin);
        }
        match (pending.change, refused) {
            (Change::Replace(candidate, _), Some(refusal)) => {
                // A conflict is the newcomer's failure, not that of the plugin with the name.
                let served = self.served_from(&file_name(&candidate.path));
                let plugin = match refusal {
                    Refusal::Clash { .. } => served,
                    _ => served.or(Some(plugin.to_owned())),
                };
                let took = candidate.started.elapsed();
                self.refuse(candidate, Refused { plugin, refusal, took });
            }
            (Change::Replace(candidate, _), None) => self.accept(plugin, candidate),
            (Change::Withdraw { disable, mut asked }, Some(refusal)) => {
                let problem = match refusal {
                    Refusal::Handover { problem } => problem,
                    other => other.to_string(),
                };
                self.report_not_withdrawn(plugin, disable, &problem);
                asked.answer(&Err(problem));
            }
            (Change::Withdraw { mut asked, .. }, None) => {
                asked.answer(&Ok(Response::Done(format!("plugin '{plugin}' is disabled"))));
            }
        }
    }

    /// Reports once, after `--handover-timeout`, that a change waits, and for which calls.
    fn report_waiting(&self, plugin: &str, pending: &mut Pending, now: Instant) {
        let waited = now.saturating_duration_since(pending.since);
        if pending.is_reported || waited < self.context.settings.handover_timeout {
            return;
        }
        pending.is_reported = true;
        let (what, subcommand) = (pending.describe(), pending.subcommand());
        log::warn!("plugin {plugin}: {what}; `plugin {subcommand} {plugin} force` does not wait");
        let answer = format!(
            "plugin '{plugin}': {what}; it is made once they end; 'plugin {subcommand} {plugin} \
             force' makes it now, and later changes by these calls are lost"
        );
        pending.change.asked().answer(&Err(answer));
    }

    /// Returns the calls that a change of this plugin waits for, including those of another plugin
    /// that is served from the same file.
    fn calls_in_the_way(&self, plugin: &str, file: Option<&str>) -> Vec<Box<dyn RunningCall>> {
        let keeps_state = |one: &&Slot| one.generation().is_some_and(|old| old.live().saves());
        let renamed = file.and_then(|file| self.served_from(file)).filter(|other| other != plugin);
        let names = [Some(plugin), renamed.as_deref()];
        let slots = names.into_iter().flatten().filter_map(|name| self.slots.get(name));
        let serving = slots.filter(keeps_state).filter_map(|slot| slot.serving.as_ref());
        let commands: Vec<_> = serving.flat_map(|one| one.commands.iter().cloned()).collect();
        if commands.is_empty() {
            return Vec::new();
        }
        self.context.callers.running_calls(&commands)
    }

    /// Makes the pending change of a plugin now, if it is of the requested kind. Returns the reply
    /// channel if it is not.
    pub(super) fn force(
        &mut self,
        plugin: &str,
        subcommand: &str,
        reply: Sender<ControlResult>,
    ) -> Option<Sender<ControlResult>> {
        let Some(pending) =
            self.pending.get_mut(plugin).filter(|one| one.subcommand() == subcommand)
        else {
            return Some(reply);
        };
        let asked = pending.change.asked();
        asked.force = true;
        asked.replies.push(reply);
        self.advance(plugin, Instant::now());
        None
    }

    /// Returns true if a plugin is about to be disabled.
    pub(super) fn is_being_disabled(&self, plugin: &str) -> bool {
        let change = self.pending.get(plugin).map(|pending| &pending.change);
        matches!(change, Some(Change::Withdraw { disable: true, .. }))
    }

    /// Returns true if a plugin is about to be replaced by the content of another file than this.
    pub(super) fn is_being_renamed(&self, plugin: &str, path: &Path) -> bool {
        let change = self.pending.get(plugin).map(|pending| &pending.change);
        matches!(change, Some(Change::Replace(one, _)) if !one.is_rollback && one.path != path)
    }

    /// Schedules a check of a served plugin's file: it may have been removed while a change waited
    /// that was not made.
    fn recheck(&mut self, plugin: &str) {
        let Some(serving) = self.slots.get(plugin).and_then(Slot::generation) else { return };
        let path = self.context.settings.plugins.join(&serving.file);
        if folder::is_gone(&path) {
            // From the shortest pause on: each change that is refused would double it, and the check
            // would come ever later.
            self.retries.forget(&path);
            self.retries.retry_later(&path, Instant::now());
        }
    }

    /// Drops the pending change that `matches`. Returns its request, if there was one.
    pub(super) fn drop_pending(
        &mut self,
        matches: impl Fn(&str, &Change) -> bool,
    ) -> Option<ChangeRequest> {
        let found = self.pending.iter().find(|(plugin, pending)| matches(plugin, &pending.change));
        let plugin = found.map(|(plugin, _)| plugin.clone())?;
        let mut pending = self.pending.remove(&plugin)?;
        self.recheck(&plugin);
        Some(std::mem::take(pending.change.asked()))
    }
}
