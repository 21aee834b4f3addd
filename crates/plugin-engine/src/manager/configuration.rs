//! Configures a plugin before it serves, and again when its configuration file has changed.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Manager, RetryOn, candidate::ChangeRequest, file_name, retired};
use crate::{
    events::EventKind,
    live::generation::Generation,
    load_error::Refusal,
    state::configuration::{self, AppliedConfig, Problem},
};

impl Manager {
    /// Configures a generation that has not been called yet. Returns `None` if it accepts no
    /// configuration.
    pub(super) fn configure_first(
        &self,
        new: &Arc<Generation>,
    ) -> Result<Option<AppliedConfig>, Refusal> {
        let name = &new.manifest.name;
        let file = configuration::path_of(&self.context.settings.plugins, name);
        if !new.live().configures() {
            if file.exists() {
                warn_unused(name, &file);
            }
            return Ok(None);
        }
        let refused = |problem: Problem, there| problem.refusal(name, &file, there);
        let text = configuration::read(&file, &self.trust_policy);
        let text = text.map_err(|problem| refused(problem, true))?;
        let give_up = || self.context.shutdown.is_stopping();
        let values = text.clone().unwrap_or_default();
        configuration::apply(new, values, &self.deadline(&give_up))
            .map_err(|problem| refused(problem, text.is_some()))?;
        Ok(Some(AppliedConfig::now(text.as_deref(), None)))
    }

    /// Handles a configuration file that may have changed.
    pub(super) fn reconfigure(&mut self, plugin: &str, file: &Path) {
        // A version that could not start with the earlier file may start with this one.
        let waits =
            |seen: &super::FileRecord| seen.waits == RetryOn::ForConfiguration(plugin.to_owned());
        let waiting: Vec<_> = self.files.iter().filter(|(_, seen)| waits(seen)).collect();
        for path in waiting.into_iter().map(|(path, _)| path.clone()).collect::<Vec<_>>() {
            self.load(&path, ChangeRequest::by_change(true));
        }
        let slot = self.slots.get(plugin);
        let Some(generation) = slot.and_then(|slot| slot.generation()).cloned() else {
            if file.exists() {
                let file = file.display();
                log::info!("{file} has changed; no plugin '{plugin}' is served for now");
            }
            return;
        };
        if !generation.live().configures() {
            if file.exists() {
                warn_unused(plugin, file);
            }
            return;
        }
        self.configure_again(&generation, file);
    }

    /// Hands a serving generation the present content of its file. After any failure the old values
    /// stay in force.
    fn configure_again(&mut self, generation: &Arc<Generation>, file: &Path) {
        let (started, plugin) = (Instant::now(), generation.manifest.name.as_str());
        let text = match configuration::read(file, &self.trust_policy) {
            Ok(text) => text,
            Err(problem) => {
                return self.report_refused(generation, file, problem, started.elapsed());
            }
        };
        let content = configuration::content(text.as_deref());
        let Some(slot) = self.slots.get_mut(plugin) else { return };
        if slot
            .applied_config
            .as_ref()
            .is_some_and(|config| config.content == content && !config.open)
        {
            log::debug!("{} was touched but is the same", file.display());
            return self.retries.forget(file);
        }
        let give_up = || self.context.shutdown.is_stopping();
        let values = text.clone().unwrap_or_default();
        let applied = configuration::apply(generation, values, &self.deadline(&give_up));
        if !applied.as_ref().is_err_and(|problem| problem.passing)
            && let Some(slot) = self.slots.get_mut(plugin)
        {
            slot.applied_config = Some(AppliedConfig::now(text.as_deref(), applied.as_ref().err()));
        }
        let took = started.elapsed();
        if let Err(problem) = applied {
            return self.report_refused(generation, file, problem, took);
        }
        self.retries.forget(file);
        let detail = match text {
            Some(_) => "its new configuration is in force",
            None => "it has no configuration any more, the defaults are in force",
        };
        let mut event = retired::event(generation, EventKind::Configured, took, detail.into());
        event.file = file_name(file);
        self.context.events.publish(event);
    }

    /// Reports that a serving generation keeps its old values.
    fn report_refused(
        &mut self,
        generation: &Generation,
        file: &Path,
        problem: Problem,
        took: Duration,
    ) {
        let Problem { message, passing, open } = problem;
        let again = passing && self.retries.is_late(file);
        if passing {
            self.retries.retry_later(file, Instant::now());
        } else {
            self.retries.forget(file);
        }
        // A failure that may pass is reported a few times only.
        if again {
            return;
        }
        let values =
            if open { "the values in force are unknown" } else { "the old values stay in force" };
        let detail = format!("its configuration: {message}; {values}");
        if let Some(slot) = self.slots.get_mut(&generation.manifest.name) {
            slot.last_failure = Some((detail.clone(), Instant::now()));
        }
        let mut event = retired::event(generation, EventKind::Refused, took, detail);
        event.file = file_name(file);
        self.context.events.publish(event);
    }
}

fn warn_unused(plugin: &str, file: &Path) {
    let file = file.display();
    log::warn!("plugin {plugin}: {file} has no effect, since the plugin takes no configuration");
}
