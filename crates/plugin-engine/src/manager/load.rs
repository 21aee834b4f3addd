//! Loads a file: copies it, has it probed, and handles the result.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    FileRecord, Manager, RetryOn,
    candidate::{Candidate, ChangeRequest},
    change::{Change, Pending},
    file_name,
    probes::Report,
};
use crate::{
    events::{EventKind, PluginEvent},
    live::loader::Probed,
    load_error::Refusal,
    plugin_control::Response,
};

/// A file that was refused.
pub(super) struct Refused {
    /// The plugin that is served from this file, or would be.
    pub(super) plugin: Option<String>,
    pub(super) refusal: Refusal,
    pub(super) took: Duration,
}

impl Manager {
    /// Copies, verifies and probes a file, if its content is new or a request asks for it anew.
    pub(super) fn load(&mut self, path: &Path, asked: ChangeRequest) {
        if let Some(candidate) = self.prepare(path, asked) {
            log::debug!("plugin file {}: probe started", file_name(path));
            self.probes.start(candidate);
        }
    }

    /// Copies and verifies the content of a file. Returns `None` if there is nothing to probe.
    fn prepare(&mut self, path: &Path, mut asked: ChangeRequest) -> Option<Candidate> {
        let started = Instant::now();
        match self.admit(path, asked.anew) {
            Ok(None) if self.is_served_no_more(path) => {
                // It has lost its right to be executed, or became a document.
                asked.answer(&Err(format!("{} is no plugin any more", path.display())));
                self.withdraw_file(path);
                None
            }
            // Gone, or unchanged; the same content may be in a probe already.
            Ok(None) => {
                asked.answer(&Err(format!("{} is not there", path.display())));
                if asked.is_change {
                    self.note_change(path);
                }
                self.retries.forget(path);
                None
            }
            Ok(Some(shadow)) => {
                if let Some(earlier) = self.cancel(path) {
                    asked.merge(earlier);
                }
                let (path, shadow) = (path.to_owned(), Arc::new(shadow));
                // Without a new content, touching the file again has no effect.
                self.files
                    .insert(path.clone(), FileRecord { hash: shadow.hash(), waits: RetryOn::No });
                Some(Candidate { path, shadow, started, asked, is_rollback: false, plugin: None })
            }
            Err(refusal) => {
                if let Some(earlier) = self.cancel(path) {
                    asked.merge(earlier);
                    // The earlier content was not served: with other rights, for example, it is
                    // new.
                    self.files.remove(path);
                }
                let plugin = self.served_from(&file_name(path));
                let took = started.elapsed();
                self.report_not_loaded(path, asked, Refused { plugin, refusal, took });
                None
            }
        }
    }

    /// Handles the end of a probe.
    pub(super) fn handle_report(&mut self, (number, result): Report) {
        if let Some(candidate) = self.probes.finish(number) {
            self.judge(candidate, result);
        }
    }

    /// Handles the result of a probe.
    pub(super) fn judge(&mut self, mut candidate: Candidate, result: Result<Probed, Refusal>) {
        let file = file_name(&candidate.path);
        let result = result.map_err(|it| it.about(candidate.shadow.path(), &candidate.path));
        // Conflicts are checked here already, so that a refused file displaces no pending change.
        let checked = result.and_then(|Probed { manifest, plugin }| {
            candidate.plugin = plugin;
            self.check_clashes(&manifest, &file)?;
            Ok(manifest)
        });
        match checked {
            Ok(manifest) if self.is_being_disabled(&manifest.name) => {
                let Candidate { path, mut asked, .. } = candidate;
                // It is loaded when the plugin is enabled.
                self.files.remove(&path);
                asked.answer(&Err(being_disabled(&manifest.name)));
            }
            Ok(manifest) => {
                self.submit(manifest.name.clone(), Change::Replace(candidate, manifest));
            }
            Err(refusal) => {
                let (plugin, took) = (self.served_from(&file), candidate.started.elapsed());
                self.refuse(candidate, Refused { plugin, refusal, took });
            }
        }
        log::debug!("plugin file {file}: probe ended");
    }

    /// Notes that the file of a running request has changed, or is the one that an operator asked
    /// for: a failure that may pass is retried then.
    fn note_change(&mut self, path: &Path) {
        let waiting = self.pending.values_mut().filter_map(Pending::candidate);
        for candidate in self.probes.candidates().chain(waiting).filter(|one| one.is_from(path)) {
            candidate.asked.is_change = true;
        }
    }

    /// Cancels the work on an earlier content of this file. Returns its request.
    pub(super) fn cancel(&mut self, path: &Path) -> Option<ChangeRequest> {
        let file = file_name(path);
        let probed = self.probes.cancel(path).map(|candidate| candidate.asked);
        if probed.is_some() {
            log::debug!("plugin file {file}: probe ended, the file has changed");
        }
        let served = self.served_from(&file);
        let waiting = self.drop_pending(|plugin, change| match change {
            Change::Replace(candidate, _) => candidate.is_from(path),
            Change::Withdraw { disable, .. } => !disable && served.as_deref() == Some(plugin),
        });
        match (probed, waiting) {
            (Some(mut probed), Some(waiting)) => {
                probed.merge(waiting);
                Some(probed)
            }
            (probed, waiting) => probed.or(waiting),
        }
    }

    /// Handles a candidate that is served now.
    pub(super) fn accept(&mut self, plugin: &str, candidate: Candidate) {
        let Candidate { path, mut asked, is_rollback, .. } = candidate;
        if !is_rollback {
            self.retries.forget(&path);
        }
        let Some(slot) = self.slots.get(plugin) else { return };
        let answer = match (slot.disabled, is_rollback) {
            (true, _) => Err(format!("plugin '{plugin}' is disabled; enable it")),
            (false, true) => {
                let number = slot.number;
                Ok(format!("plugin '{plugin}' serves generation {number}, the code before"))
            }
            (false, false) => Ok(format!("plugin '{plugin}' serves generation {}", slot.number)),
        };
        asked.answer(&answer.map(Response::Done));
    }

    /// Handles a candidate that was refused.
    pub(super) fn refuse(&mut self, candidate: Candidate, refused: Refused) {
        let Candidate { path, shadow, asked, is_rollback, .. } = candidate;
        if is_rollback {
            let mut asked = asked;
            let problem = self.publish_refusal(&path, refused);
            return asked.answer(&Err(problem));
        }
        let waits = match &refused.refusal {
            Refusal::Clash { .. } => RetryOn::ForNames,
            Refusal::Configuration { plugin, passing: false, .. } => {
                RetryOn::ForConfiguration(plugin.clone())
            }
            _ => RetryOn::No,
        };
        // A content that a later attempt may accept is not remembered.
        if waits != RetryOn::No || refused.refusal.is_lasting() {
            self.files.insert(path.clone(), FileRecord { hash: shadow.hash(), waits });
        } else {
            self.files.remove(&path);
        }
        self.report_not_loaded(&path, asked, refused);
    }

    /// Reports that a file was refused, unless it is still being written, and schedules another
    /// attempt if that may help.
    fn report_not_loaded(&mut self, path: &Path, mut asked: ChangeRequest, refused: Refused) {
        let (now, is_asked) = (Instant::now(), !asked.replies.is_empty());
        let passing = refused.refusal.is_passing();
        let held = matches!(refused.refusal, Refusal::InUse);
        let is_reported = match refused.refusal {
            Refusal::InUse => asked.is_change && self.retries.retry_soon(path, now),
            // A file that is being written is reported once it stays so.
            Refusal::Unsettled => self.retries.is_late(path),
            _ => true,
        };
        if is_reported || is_asked {
            let problem = self.publish_refusal(path, refused);
            asked.answer(&Err(problem));
        }
        if asked.is_change && !held {
            if passing {
                self.retries.retry_later(path, now);
            } else {
                self.retries.forget(path);
            }
        }
    }

    /// Reports a refusal and returns its reason.
    pub(super) fn publish_refusal(&mut self, path: &Path, refused: Refused) -> String {
        let Refused { plugin, refusal, took } = refused;
        let (file, detail) = (file_name(path), refusal.to_string());
        if let Some(slot) = plugin.as_ref().and_then(|plugin| self.slots.get_mut(plugin)) {
            slot.last_failure = Some((detail.clone(), Instant::now()));
        }
        let (kind, generation, plugin) = (EventKind::Refused, 0, plugin.unwrap_or_default());
        let reason = detail.clone();
        self.context.events.publish(PluginEvent { kind, plugin, generation, file, took, detail });
        reason
    }

    /// Loads the files again whose names were taken: they may be free now.
    pub(super) fn retry_clashed(&mut self) {
        let clashed = |(path, seen): (&PathBuf, &FileRecord)| {
            (seen.waits == RetryOn::ForNames).then(|| path.clone())
        };
        for path in self.files.iter().filter_map(clashed).collect::<Vec<_>>() {
            self.load(&path, ChangeRequest::by_change(true));
        }
    }
}

/// Returns the error for a plugin that is about to be disabled.
pub(super) fn being_disabled(plugin: &str) -> String {
    format!("plugin '{plugin}' is about to be disabled; enable it first")
}
