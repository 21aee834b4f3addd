//! The parts of a plugin that all its processes share.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    cause::Cause, protocol::Launcher, revived_worker::RevivedWorker, running::Running,
    serving::Serving, settings::PluginSettings,
};
use crate::{
    call::Worker,
    context::EngineContext,
    events::{EventKind, PluginEvent},
    live::manifest::{CommandFacts, Manifest},
    load_error::Refusal,
    state::{
        load::{self, Loaded},
        replay::Replayer,
        store::{self, States},
    },
    write::{OrderGuard, WriteOrder},
};

/// The most processes that one process of a plugin may have started, itself included.
const MOST_PROCESSES: u64 = 256;

/// The interval at which a process that waits for the turn of the commands that write is found to
/// make progress.
const TURN: Duration = Duration::from_secs(1);

/// The least time between two reports of a new list of commands.
const LIST_PAUSE: Duration = Duration::from_millis(200);

/// The list of commands that a process has sent last, until the manager takes it.
#[derive(Debug, Default)]
struct NewCommands {
    list: Option<Vec<CommandFacts>>,
    /// True until the manager takes the list.
    is_reported: bool,
    /// The time of the last report.
    reported: Option<Instant>,
}

impl NewCommands {
    /// Returns true if the list is to be reported now, and notes that it is.
    fn report(&mut self, now: Instant) -> bool {
        let is_recent =
            self.reported.is_some_and(|last| now.saturating_duration_since(last) < LIST_PAUSE);
        let is_due = self.list.is_some() && !self.is_reported && !is_recent;
        if is_due {
            (self.is_reported, self.reported) = (true, Some(now));
        }
        is_due
    }

    /// Takes the list, so that the next one can be reported.
    fn take(&mut self) -> Option<Vec<CommandFacts>> {
        self.is_reported = false;
        self.list.take()
    }
}

/// The parts of a plugin that all its processes share.
pub struct Core {
    /// The host.
    pub context: Arc<EngineContext>,
    /// The file's name in the plugins folder.
    pub file: String,
    /// The operator's settings.
    pub settings: PluginSettings,
    /// Starts the processes.
    pub launcher: Box<dyn Launcher>,
    /// The plugin's first manifest, once it is known.
    pub manifest: OnceLock<Manifest>,
    /// The saved states, for a process that is started again.
    pub states: Arc<States>,
    /// The configuration that was accepted last.
    pub configuration: Mutex<Option<String>>,
    /// True if the plugin hands its state over.
    pub saves: OnceLock<bool>,
    /// The order of its commands that write, once it has workers.
    pub order: OnceLock<Arc<WriteOrder>>,
    commands: Mutex<NewCommands>,
    /// The number of all threads of the system when a process's children were last looked at.
    scheduled: AtomicU64,
    /// The number of the generation; 0 before it has one.
    pub number: AtomicU64,
}

impl Core {
    /// Makes the core of a plugin that has not been started.
    #[must_use]
    pub fn new(
        context: &Arc<EngineContext>,
        states: &Arc<States>,
        file: String,
        settings: PluginSettings,
        launcher: Box<dyn Launcher>,
    ) -> Self {
        Self {
            context: Arc::clone(context),
            file,
            settings,
            launcher,
            manifest: OnceLock::new(),
            states: Arc::clone(states),
            configuration: Mutex::new(None),
            saves: OnceLock::new(),
            order: OnceLock::new(),
            commands: Mutex::default(),
            scheduled: AtomicU64::new(platform::scheduled()),
            number: AtomicU64::new(0),
        }
    }

    /// Returns the plugin's name, or that of its file before the plugin has told its own.
    pub fn name(&self) -> &str {
        self.manifest.get().map_or(&self.file, |manifest| &manifest.name)
    }

    /// Publishes an event about a process.
    pub fn publish(&self, kind: EventKind, took: Duration, detail: String) {
        self.context.events.publish(PluginEvent {
            kind,
            plugin: self.name().to_owned(),
            generation: self.number.load(Ordering::Relaxed),
            file: self.file.clone(),
            took,
            detail,
        });
    }

    /// Checks that a process that was started again is of the same plugin. Other commands are
    /// reported as a change.
    ///
    /// # Errors
    /// It is another plugin.
    pub fn check_same(&self, found: &Manifest) -> Result<(), Refusal> {
        let Some(first) = self.manifest.get() else { return Ok(()) };
        if first.name != found.name {
            let problem = "its name differs from that of its first start".into();
            return Err(Refusal::Manifest { problem });
        }
        // It may have changed its list since its first start.
        self.change_commands(found.commands.clone());
        Ok(())
    }

    /// Notes a new list of commands, and reports it, unless the last report is too recent.
    pub fn change_commands(&self, commands: Vec<CommandFacts>) {
        self.new_commands().list = Some(commands);
        self.report_commands();
    }

    /// Takes the list of commands that a process has sent last, if that is new.
    pub fn take_commands(&self) -> Option<Vec<CommandFacts>> {
        self.new_commands().take()
    }

    /// Reports a new list of commands that has not been reported.
    fn report_commands(&self) {
        if self.new_commands().report(Instant::now()) {
            self.context.plugin_control.commands_changed(self.name());
        }
    }

    fn new_commands(&self) -> MutexGuard<'_, NewCommands> {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Configures a process that was started again, and hands it the state of the disk: its commands
    /// are `commands`. Calls `progress` from time to time. Returns the turn of the commands that
    /// write, which are held back until the process serves.
    ///
    /// # Errors
    /// The process refuses one of them, or the state cannot be read.
    pub fn revive(
        &self,
        serving: &Arc<Serving>,
        commands: &[CommandFacts],
        progress: &dyn Fn(),
    ) -> Result<Option<OrderGuard>, String> {
        let running = &serving.running;
        let text = self.configuration.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(text) = text {
            let configured = serving.protocol.configure(&text, running);
            configured.map_err(|failed| serving.explain(failed))?;
        }
        if self.saves.get() != Some(&true) {
            return Ok(None);
        }
        // Calls of the process before this one end first: they append their records.
        let order = self.order.get().ok_or("it ended before it served")?;
        let turn = loop {
            if let Some(turn) = order.lock_until(Instant::now() + TURN, &|| running.has_ended()) {
                break turn;
            }
            if running.has_ended() || running.is_condemned() {
                return Err("it ended while it waited for a command that writes".to_owned());
            }
            progress();
        };
        let durable = order.durable().ok_or("it ended before it served")?;
        durable.make_readable()?;
        let worker = |index: u32| -> Box<dyn Worker> {
            let name = commands.get(index as usize).map(|facts| facts.name.clone());
            let (serving, name) = (Arc::clone(serving), name.unwrap_or_default());
            Box::new(RevivedWorker { serving, index, name })
        };
        let late = Arc::clone(serving);
        let late = move |name: &str| RevivedWorker::late(&late, name);
        let mut replayer = Replayer::with(commands, worker, late);
        let mut restore = |state: Vec<u8>| {
            let restored = serving.protocol.restore(&state, running);
            restored.map_err(|failed| serving.explain(failed))
        };
        let name = self.name();
        let place = (&*self.states, name);
        let Loaded { bytes, replayed, .. } =
            load::load(place, &mut replayer, &mut restore, progress)?;
        match (bytes, durable.has_journal()) {
            (bytes, true) => {
                let bytes = bytes.unwrap_or_default();
                log::info!(
                    "plugin {name}: it goes on with its whole state: a snapshot of {bytes} bytes \
                     and {replayed} records of its journal"
                );
            }
            (Some(bytes), false) => log::warn!(
                "plugin {name}: it goes on with the state that was saved last, {bytes} bytes"
            ),
            (None, false) => log::warn!("plugin {name}: it goes on without state, none was saved"),
        }
        Ok(Some(turn))
    }

    /// Returns the time in which a process that gets its state must make progress.
    pub fn revival_patience(&self) -> Duration {
        let bytes = self.states.size(self.name()).unwrap_or_default();
        self.context.settings.handover_timeout.saturating_add(store::restore_time(bytes))
    }

    /// Looks at a process's use of memory and at its children, and reports what has waited.
    pub fn sample(&self, running: &Running) {
        self.report_commands();
        if let Some(most) = self.settings.limits.memory
            && platform::resident_of(running.pid).is_some_and(|resident| resident > most)
        {
            running.condemn(Cause::Limit(format!("its memory limit of {most} bytes")));
        }
        // Listing all processes takes a while, and is done only if there are many more.
        let total = platform::scheduled();
        let before = self.scheduled.swap(total, Ordering::Relaxed);
        if total > before.saturating_add(MOST_PROCESSES / 2)
            && platform::group_size(running.pid).is_some_and(|size| size > MOST_PROCESSES)
        {
            running.condemn(Cause::Limit(format!("{MOST_PROCESSES} processes")));
        } else if total > before {
            // So that a slow growth adds up.
            self.scheduled.store(before, Ordering::Relaxed);
        }
    }

    /// Returns the time since the host's start.
    pub fn uptime(&self) -> Duration {
        self.context.started.elapsed()
    }

    /// Returns a number from 0 to 1 that differs between plugins and moments.
    pub fn jitter(&self) -> f64 {
        let nanos = Instant::now().saturating_duration_since(self.context.started).subsec_nanos();
        f64::from(nanos % 1_000) / 1_000.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_commands_are_reported_with_pauses() {
        let (mut new, start) = (NewCommands::default(), Instant::now());
        let at = |millis| start + Duration::from_millis(millis);
        assert!(!new.report(at(0)), "there is no list");
        new.list = Some(Vec::new());
        assert!(new.report(at(1)));
        assert!(!new.report(at(900)), "the manager has not taken it");
        assert_eq!(new.take(), Some(Vec::new()));
        assert!(!new.report(at(900)), "there is no other");
        new.list = Some(Vec::new());
        assert!(new.report(at(900)));
        new.take();
        new.list = Some(Vec::new());
        assert!(!new.report(at(1_099)), "it is too soon");
        assert!(new.report(at(1_100)));
    }
}
