//! Manages plugins: one thread loads, replaces and retires them, and publishes the registry.
//!
//! Everything that can fail happens before the registry is swapped; until then the earlier
//! generation keeps serving, with its state.

mod admin;
mod admit;
mod candidate;
mod change;
mod commands;
mod configuration;
pub mod conflicts;
mod drain;
mod install;
mod load;
mod pending;
mod probes;
pub mod retired;
pub mod retries;
pub mod slot;
mod snapshot;
mod state;
mod withdraw;

pub use self::state::LAST_UNLOADS;

use std::{
    collections::BTreeMap,
    io,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, select};
use protocol::nearest::nearest;

use self::{
    candidate::ChangeRequest, change::Pending, probes::Probes, retired::Retired, retries::Retries,
    slot::Slot,
};
use super::{
    files::{folder, shadow_copy::ShadowDir, trust_policy::TrustPolicy},
    state::{configuration::plugin_of, store::States},
};
use crate::{
    context::EngineContext,
    live::loader::file_name,
    plugin_control::{FileChange, Message},
    registry::{Command, LiveRegistry, Registry},
};

/// The longest wait for a message before periodic work is done.
const IDLE: Duration = Duration::from_secs(1);

/// Loads, replaces and retires plugins.
pub struct Manager {
    context: Arc<EngineContext>,
    registry: Arc<LiveRegistry>,
    trust_policy: TrustPolicy,
    states: Arc<States>,
    slots: BTreeMap<String, Slot>,
    files: BTreeMap<PathBuf, FileRecord>,
    probes: Probes,
    /// Changes that wait for running calls, by plugin.
    pending: BTreeMap<String, Pending>,
    retired: Retired,
    retries: Retries,
    /// The commands that other hosts answer.
    remote: Vec<Arc<Command>>,
    /// Registries that sessions may still use. Kept here, so that no session's thread has to free
    /// them.
    replaced: Vec<Arc<Registry>>,
    // Last: its drop removes the folder of all other fields' copies.
    shadows: ShadowDir,
}

/// The record of a file's content.
struct FileRecord {
    hash: blake3::Hash,
    waits: RetryOn,
}

/// The event that gives an unchanged file another chance.
#[derive(Clone, Debug, PartialEq, Eq)]
enum RetryOn {
    /// None: it was accepted, or never will be.
    No,
    /// Another plugin gives up a name that this one claims.
    ForNames,
    /// The configuration of this plugin, which it did not start with, changes.
    ForConfiguration(String),
}

impl Manager {
    /// Makes a manager without plugins.
    ///
    /// # Errors
    /// The directory of private copies cannot be made.
    pub fn new(
        context: Arc<EngineContext>,
        registry: Arc<LiveRegistry>,
        trust_policy: TrustPolicy,
    ) -> io::Result<Self> {
        let shadows = ShadowDir::open(context.state_dir.join("copies"))?;
        let states = Arc::new(States::new(context.state_dir.join("state")));
        Ok(Self {
            probes: Probes::new(Arc::clone(&context), Arc::clone(&states)),
            context,
            registry,
            trust_policy,
            shadows,
            states,
            slots: BTreeMap::new(),
            files: BTreeMap::new(),
            pending: BTreeMap::new(),
            retired: Retired::default(),
            retries: Retries::default(),
            remote: Vec::new(),
            replaced: Vec::new(),
        })
    }

    /// Loads every library in the folder; failures are logged and skipped. Takes as long as the
    /// slowest probe.
    pub fn load_folder(&mut self) {
        self.publish();
        self.load_files();
        // Sorted by name, so that the result is always the same if two files claim one name.
        let mut probed = BTreeMap::new();
        while self.probes.is_busy() {
            let Ok((number, result)) = self.probes.reports().recv() else { break };
            if let Some(candidate) = self.probes.finish(number) {
                probed.insert(candidate.path.clone(), (candidate, result));
            }
        }
        for (candidate, result) in probed.into_values() {
            self.judge(candidate, result);
        }
        self.warn_of_unknown_names();
    }

    /// Warns of settings whose plugin is not there: a misspelt name leaves a plugin without limits.
    fn warn_of_unknown_names(&self) {
        let stem =
            |path: &PathBuf| path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        let files: Vec<_> = self.files.keys().filter_map(stem).collect();
        let known = || self.slots.keys().chain(&files).map(String::as_str);
        for (name, place) in self.context.plugin_settings.names() {
            if known().any(|known| known == name) {
                continue;
            }
            let hint = nearest(&name, known())
                .map(|near| format!("; did you mean '{near}'?"))
                .unwrap_or_default();
            log::warn!("the settings {place} are for no plugin that is there{hint}");
        }
    }

    /// Loads every library in the folder. If the folder cannot be read, it is retried later.
    fn load_files(&mut self) {
        let folder = self.context.settings.plugins.clone();
        let files = match folder::candidates(&folder) {
            Ok(files) => files,
            Err(error) => {
                let again = self.retries.is_known(&folder);
                if error.kind() != io::ErrorKind::NotFound {
                    self.retries.retry_later(&folder, Instant::now());
                }
                if !again {
                    let folder = folder.display();
                    log::warn!(
                        "cannot read the plugins folder {folder}: {error}; no plugin is served \
                         until it can be read"
                    );
                }
                return;
            }
        };
        self.retries.forget(&folder);
        if !files.iter().any(|file| self.kind_of(file).is_ok()) {
            log::warn!("no plugin in {}; only the host's own commands", folder.display());
        }
        for file in files {
            self.load(&file, ChangeRequest::by_change(false));
        }
    }

    /// Handles messages until one asks it to end. Returns true if all plugins have ended.
    pub fn run(mut self, messages: &Receiver<Message>) -> bool {
        let reports = self.probes.reports();
        loop {
            let pauses = [self.retired.pause(), self.pending_pause(), Some(self.retries.pause())];
            let wait = pauses.into_iter().flatten().fold(IDLE, Duration::min);
            select! {
                recv(messages) -> message => match message {
                    Ok(Message::Changed(change)) => self.handle_change(&change),
                    Ok(Message::Request(request, plugin, reply)) => {
                        self.handle(request, &plugin, reply);
                    }
                    Ok(Message::Commands(plugin)) => self.change_commands(&plugin),
                    Ok(Message::Remote(commands, change)) => self.serve_remote(commands, change),
                    Ok(Message::End { unload }) => {
                        self.probes.end();
                        // Dropping their reply channels answers them: the host is ending.
                        self.pending.clear();
                        return self.end(unload);
                    }
                    Err(_) => return true,
                },
                // The manager itself holds a sender, so this channel stays connected.
                recv(reports) -> report => if let Ok(report) = report {
                    self.handle_report(report);
                },
                default(wait) => {}
            }
            self.tick();
        }
    }

    fn handle_change(&mut self, change: &FileChange) {
        let (FileChange::Ready(path) | FileChange::Gone(path)) = change;
        match (plugin_of(path), change) {
            // Reading the file shows if it still exists.
            (Some(plugin), _) => self.reconfigure(plugin, path),
            (None, FileChange::Ready(_)) => self.load(path, ChangeRequest::by_change(false)),
            (None, FileChange::Gone(_)) => self.handle_gone(path),
        }
    }

    fn tick(&mut self) {
        self.shadows.tidy();
        self.replaced.retain(|registry| Arc::strong_count(registry) > 1);
        if self.context.shutdown.is_stopping() {
            // Dropping their reply channels answers them: the host is ending.
            self.pending.clear();
        }
        self.advance_all();
        self.take_due_snapshots(Instant::now());
        for path in self.retries.due(Instant::now()) {
            if path == self.context.settings.plugins {
                self.load_files();
                continue;
            }
            match path.try_exists() {
                Ok(true) => self.handle_change(&FileChange::Ready(path)),
                Ok(false) => self.handle_change(&FileChange::Gone(path)),
                Err(_) => self.retries.retry_later(&path, Instant::now()),
            }
        }
        for over in self.retired.tick(Instant::now(), &self.context.events) {
            if let Some(slot) = self.slots.get_mut(&over.manifest.name) {
                slot.ended_calls += over.calls();
                slot.ended_errors += over.errors();
            }
        }
        let (draining, lingering) = self.retired.totals();
        self.context.metrics.draining.set(draining);
        self.context.metrics.lingering.set(lingering);
    }

    fn served_from(&self, file: &str) -> Option<String> {
        let served = self
            .slots
            .iter()
            .find(|(_, slot)| slot.generation().is_some_and(|generation| generation.file == file));
        served.map(|(name, _)| name.clone())
    }

    fn publish(&mut self) {
        // Of two commands with one name the later one stays: those of this host precede.
        let mut commands = self.remote.clone();
        commands.extend(self.context.builtins.iter().cloned());
        let mut generations = Vec::new();
        for serving in self.slots.values().filter_map(|slot| slot.serving.as_ref()) {
            commands.extend(serving.commands.iter().cloned());
            generations.push(Arc::clone(&serving.generation));
        }
        self.replaced.push(self.registry.swap(Arc::new(Registry::new(commands, generations))));
        self.context.metrics.tidy();
    }
}
