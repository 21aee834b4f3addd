//! Taking what is in a file: from its bytes to a probe, and what became of it.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Manager, Seen, Waits,
    candidate::{Asked, Candidate},
    change::{Change, Pending},
    file_name,
    probes::Report,
};
use crate::{
    events::{EventKind, PluginEvent},
    live::manifest::Manifest,
    load_error::Refusal,
    plugin_control::Response,
};

/// A file that was not taken.
pub(super) struct Refused {
    /// The plugin that is served from this file, or would be.
    pub(super) plugin: Option<String>,
    pub(super) refusal: Refusal,
    pub(super) took: Duration,
}

impl Manager {
    /// Takes a file's content, if it is new or asked for anew: copies, verifies and probes it.
    pub(super) fn load(&mut self, path: &Path, asked: Asked) {
        if let Some(candidate) = self.prepare(path, asked) {
            log::debug!("plugin file {}: probe started", file_name(path));
            self.probes.start(candidate);
        }
    }

    /// Copies and verifies the content of a file; `None` where there is nothing to be probed.
    fn prepare(&mut self, path: &Path, mut asked: Asked) -> Option<Candidate> {
        let started = Instant::now();
        match self.admit(path, asked.anew) {
            // Gone, or the same as before, which may be on its way.
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
                    asked.take_over(earlier);
                }
                let (path, shadow) = (path.to_owned(), Arc::new(shadow));
                // Touched again, it is the same.
                self.files.insert(path.clone(), Seen { hash: shadow.hash(), waits: Waits::No });
                Some(Candidate { path, shadow, started, asked, is_rollback: false })
            }
            Err(refusal) => {
                if let Some(earlier) = self.cancel(path) {
                    asked.take_over(earlier);
                    // The earlier content was not served: with other rights, say, it is new.
                    self.files.remove(path);
                }
                let plugin = self.served_from(&file_name(path));
                let took = started.elapsed();
                self.tell_not_taken(path, asked, Refused { plugin, refusal, took });
                None
            }
        }
    }

    /// A probe has ended.
    pub(super) fn probed(&mut self, (number, result): Report) {
        if let Some(candidate) = self.probes.finish(number) {
            self.judge(candidate, result);
        }
    }

    /// Goes on with what has been probed.
    pub(super) fn judge(&mut self, candidate: Candidate, result: Result<Manifest, Refusal>) {
        let file = file_name(&candidate.path);
        let result = result.map_err(|it| it.about(candidate.shadow.path(), &candidate.path));
        // Clashes are looked for already here, so that none displaces a change that waits.
        let checked = result.and_then(|manifest| {
            self.check_clashes(&manifest, &file)?;
            Ok(manifest)
        });
        match checked {
            Ok(manifest) if self.is_being_disabled(&manifest.name) => {
                let Candidate { path, mut asked, .. } = candidate;
                // It is what is served when the plugin is enabled.
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

    /// The file of what is under way has changed, or was found to be what an operator has asked for:
    /// a failure that may pass is tried again.
    fn note_change(&mut self, path: &Path) {
        let waiting = self.pending.values_mut().filter_map(Pending::candidate);
        for candidate in self.probes.candidates().chain(waiting).filter(|one| one.is_from(path)) {
            candidate.asked.is_change = true;
        }
    }

    /// Stops what is under way with an earlier content of this file. Returns what was asked.
    pub(super) fn cancel(&mut self, path: &Path) -> Option<Asked> {
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
                probed.take_over(waiting);
                Some(probed)
            }
            (probed, waiting) => probed.or(waiting),
        }
    }

    /// A candidate is served.
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

    /// A candidate is not served.
    pub(super) fn refuse(&mut self, candidate: Candidate, refused: Refused) {
        let Candidate { path, shadow, asked, is_rollback, .. } = candidate;
        if is_rollback {
            let mut asked = asked;
            let problem = self.tell_refused(&path, refused);
            return asked.answer(&Err(problem));
        }
        let waits = match &refused.refusal {
            Refusal::Clash { .. } => Waits::ForNames,
            Refusal::Configuration { plugin, passing: false, .. } => {
                Waits::ForConfiguration(plugin.clone())
            }
            _ => Waits::No,
        };
        // What another try may take is not remembered.
        if waits != Waits::No || refused.refusal.is_lasting() {
            self.files.insert(path.clone(), Seen { hash: shadow.hash(), waits });
        } else {
            self.files.remove(&path);
        }
        self.tell_not_taken(&path, asked, refused);
    }

    /// Tells that a file was not taken, unless it is on its way, and has it tried again where that
    /// may help.
    fn tell_not_taken(&mut self, path: &Path, mut asked: Asked, refused: Refused) {
        let (now, is_asked) = (Instant::now(), !asked.replies.is_empty());
        let passing = refused.refusal.is_passing();
        let held = matches!(refused.refusal, Refusal::InUse);
        let is_told = match refused.refusal {
            Refusal::InUse => asked.is_change && self.retries.held(path, now),
            // A file that is being written is told of when it stays so.
            Refusal::Unsettled => self.retries.is_late(path),
            _ => true,
        };
        if is_told || is_asked {
            let problem = self.tell_refused(path, refused);
            asked.answer(&Err(problem));
        }
        if asked.is_change && !held {
            if passing {
                self.retries.later(path, now);
            } else {
                self.retries.forget(path);
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
        let (kind, generation, plugin) = (EventKind::Refused, 0, plugin.unwrap_or_default());
        let told = detail.clone();
        self.context.events.publish(PluginEvent { kind, plugin, generation, file, took, detail });
        told
    }

    /// What a file claimed in vain may be free now.
    pub(super) fn retry_clashed(&mut self) {
        let clashed =
            |(path, seen): (&PathBuf, &Seen)| (seen.waits == Waits::ForNames).then(|| path.clone());
        for path in self.files.iter().filter_map(clashed).collect::<Vec<_>>() {
            self.load(&path, Asked::by_change(true));
        }
    }
}

/// Why a plugin is not replaced.
pub(super) fn being_disabled(plugin: &str) -> String {
    format!("plugin '{plugin}' is about to be disabled; enable it first")
}
