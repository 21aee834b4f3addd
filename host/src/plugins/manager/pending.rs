//! Changes of what a plugin serves, and the calls that they wait for.

use std::time::{Duration, Instant};

use super::{
    Manager,
    candidate::{Asked, Candidate},
    drain::Drain,
    file_name,
    take::Refused,
};
use crate::{
    desk::Told,
    plugins::{handover::NotQuiet, manifest::Manifest, refusal::Refusal, retired, slot::Slot},
    running_call::RunningCall,
};

/// How often it is looked whether the calls have ended, when they have run for longer than a
/// second.
const LONG_TICK: Duration = Duration::from_millis(100);

/// A change of what a plugin serves.
pub(super) enum Change {
    /// Serves this in place of what is served, if anything is.
    Replace(Candidate, Manifest),
    /// Takes its commands away: its file is gone, or it is to be disabled.
    Withdraw { disable: bool, asked: Asked },
}

/// A change that waits for calls that run.
pub(super) struct Pending {
    change: Change,
    drain: Drain,
    since: Instant,
    /// Whether the log and those who asked know that it waits.
    is_told: bool,
}

/// Why a change was not made.
pub(super) enum Stopped {
    /// A call is in the way: later.
    Busy,
    /// It is not to be made.
    Refused(Refusal),
}

impl From<Refusal> for Stopped {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<NotQuiet> for Stopped {
    fn from(problem: NotQuiet) -> Self {
        match problem {
            NotQuiet::Busy(..) => Self::Busy,
            NotQuiet::Saving => Self::Refused(Refusal::Handover { problem: problem.to_string() }),
        }
    }
}

impl Change {
    fn asked(&mut self) -> &mut Asked {
        match self {
            Self::Replace(candidate, _) => &mut candidate.asked,
            Self::Withdraw { asked, .. } => asked,
        }
    }
}

impl Pending {
    /// What it is, and what it waits for.
    pub(super) fn describe(&self) -> String {
        let what = match &self.change {
            Change::Replace(candidate, manifest) => {
                format!("version {} of {}", manifest.version, file_name(&candidate.path))
            }
            Change::Withdraw { disable: true, .. } => "its disabling".into(),
            Change::Withdraw { disable: false, .. } => "its withdrawal".into(),
        };
        let waited = self.since.elapsed().as_secs_f64();
        let calls = self.drain.calls();
        match calls.first() {
            Some(call) if calls.len() > 1 => {
                let more = calls.len() - 1;
                format!("{what} waits since {waited:.1} s for {call} and {more} more")
            }
            Some(call) => format!("{what} waits since {waited:.1} s for {call}"),
            None => format!("{what} waits since {waited:.1} s for calls that overlap"),
        }
    }
}

impl Manager {
    /// Makes a change as soon as no long call is in the way; it takes the place of one that waits.
    pub(super) fn submit(&mut self, plugin: String, mut change: Change) {
        if let Some(mut before) = self.pending.remove(&plugin) {
            let overtaken = format!("plugin '{plugin}': another change came before it was made");
            before.change.asked().answer(&Err(overtaken));
        }
        let now = Instant::now();
        let file = match &change {
            Change::Replace(candidate, _) => Some(file_name(&candidate.path)),
            Change::Withdraw { .. } => None,
        };
        let force = change.asked().force;
        let calls =
            if force { Vec::new() } else { self.calls_in_the_way(&plugin, file.as_deref()) };
        let drain = Drain::new(calls, now);
        self.pending.insert(plugin.clone(), Pending { change, drain, since: now, is_told: false });
        self.advance(&plugin, now);
    }

    /// Makes those changes that wait no longer.
    pub(super) fn advance_all(&mut self) {
        let now = Instant::now();
        for plugin in self.pending.keys().cloned().collect::<Vec<_>>() {
            self.advance(&plugin, now);
        }
    }

    /// When to look again; `None` where nothing waits.
    pub(super) fn pending_pause(&self) -> Option<Duration> {
        let youngest = self.pending.values().map(|pending| pending.since.elapsed()).min()?;
        Some(if youngest < Duration::from_secs(1) { retired::TICK } else { LONG_TICK })
    }

    fn advance(&mut self, plugin: &str, now: Instant) {
        let Some(mut pending) = self.pending.remove(plugin) else { return };
        let file = match &pending.change {
            Change::Replace(candidate, _) => Some(file_name(&candidate.path)),
            Change::Withdraw { .. } => None,
        };
        let find = || self.calls_in_the_way(plugin, file.as_deref());
        let pause = self.shared.config.handover_pause;
        if !pending.change.asked().force && !pending.drain.is_over(now, pause, find) {
            self.tell_waiting(plugin, &mut pending, now);
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
                let calls = self.calls_in_the_way(plugin, file.as_deref());
                pending.drain.retry(calls, Instant::now());
                self.pending.insert(plugin.to_owned(), pending);
            }
            Ok(()) => self.finish(plugin, pending, None),
            Err(Stopped::Refused(refusal)) => self.finish(plugin, pending, Some(refusal)),
        }
    }

    /// A change was made or refused: tells those who asked, and what is to be remembered of it.
    fn finish(&mut self, plugin: &str, pending: Pending, refused: Option<Refusal>) {
        match (pending.change, refused) {
            (Change::Replace(candidate, _), Some(refusal)) => {
                // A clash is the newcomer's failure, not that of the plugin that has the name.
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
                self.tell_not_withdrawn(plugin, disable, &problem);
                asked.answer(&Err(problem));
            }
            (Change::Withdraw { mut asked, .. }, None) => {
                asked.answer(&Ok(Told::Done(format!("plugin '{plugin}' is disabled"))));
            }
        }
    }

    /// Tells once, after `--handover-timeout`, that a change waits, and for what.
    fn tell_waiting(&self, plugin: &str, pending: &mut Pending, now: Instant) {
        let waited = now.saturating_duration_since(pending.since);
        if pending.is_told || waited < self.shared.config.handover_timeout {
            return;
        }
        pending.is_told = true;
        let what = pending.describe();
        log::warn!("plugin {plugin}: {what}; `plugin reload {plugin} force` does not wait");
        let answer = format!(
            "plugin '{plugin}': {what}, and is made then; add 'force' to make it now, without what \
             such calls change from then on"
        );
        pending.change.asked().answer(&Err(answer));
    }

    /// The calls that a change of this plugin waits for, and of what else is served from the file
    /// that it comes from.
    fn calls_in_the_way(&self, plugin: &str, file: Option<&str>) -> Vec<RunningCall> {
        let keeps_state = |one: &&Slot| one.generation().is_some_and(|old| old.live().saves());
        let renamed = file.and_then(|file| self.served_from(file)).filter(|other| other != plugin);
        let names = [Some(plugin), renamed.as_deref()];
        let slots = names.into_iter().flatten().filter_map(|name| self.slots.get(name));
        let serving = slots.filter(keeps_state).filter_map(|slot| slot.serving.as_ref());
        let commands: Vec<_> = serving.flat_map(|one| one.commands.iter().cloned()).collect();
        if commands.is_empty() {
            return Vec::new();
        }
        RunningCall::find(&self.shared.sessions.all(), &commands)
    }

    /// Drops the waiting change that `matches`, if there is one. Returns what was asked.
    pub(super) fn drop_pending(
        &mut self,
        matches: impl Fn(&str, &Change) -> bool,
    ) -> Option<Asked> {
        let found = self.pending.iter().find(|(plugin, pending)| matches(plugin, &pending.change));
        let plugin = found.map(|(plugin, _)| plugin.clone())?;
        let mut pending = self.pending.remove(&plugin)?;
        Some(std::mem::take(pending.change.asked()))
    }
}
