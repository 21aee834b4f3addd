//! The manager: the one thread that loads, replaces and retires plugins, and publishes the table.
//!
//! Everything that can fail happens before the table is swapped; until then the generation before
//! serves on, with its state.

mod configuration;
mod fresh;
mod orders;
mod state;
mod take;

pub use state::LAST_UNLOADS;

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::{
    admission::Admission,
    configuration::plugin_of,
    folder,
    handover::Quiet,
    retired::{self, Retired},
    retries::Retries,
    shadow::ShadowDir,
    slot::Slot,
    states::States,
};
use crate::{
    builtins,
    desk::{Change, Message},
    news::Event,
    shared::Shared,
    table::{LiveTable, Table},
};

/// How long the manager waits for a message before it looks at what lingers.
const IDLE: Duration = Duration::from_secs(1);

/// Loads, replaces and retires plugins.
pub struct Manager {
    shared: Arc<Shared>,
    table: Arc<LiveTable>,
    admission: Admission,
    states: States,
    slots: BTreeMap<String, Slot>,
    files: BTreeMap<PathBuf, Seen>,
    retired: Retired,
    retries: Retries,
    /// Tables that sessions may still use. Kept, so that none of their threads has to free them.
    replaced: Vec<Arc<Table>>,
    // Last: it removes the folder that the copies of all others lie in.
    shadows: ShadowDir,
}

/// What became of a file's content.
struct Seen {
    hash: blake3::Hash,
    waits: Waits,
}

/// What gives a file another chance that has not changed itself.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Waits {
    /// Nothing: it was taken, or will never be.
    No,
    /// That others go, who have what it claims.
    ForNames,
    /// A change of this plugin's configuration, with which it did not start.
    ForConfiguration(String),
}

impl Manager {
    /// A manager of nothing yet.
    ///
    /// # Errors
    /// Where the directory for private copies cannot be made.
    pub fn new(
        shared: Arc<Shared>,
        table: Arc<LiveTable>,
        admission: Admission,
    ) -> io::Result<Self> {
        let shadows = ShadowDir::open(shared.state_dir.join("copies"))?;
        let states = States::new(shared.state_dir.join("state"));
        let (slots, files, retired, retries, replaced) = Default::default();
        Ok(Self {
            shared,
            table,
            admission,
            shadows,
            states,
            slots,
            files,
            retired,
            retries,
            replaced,
        })
    }

    /// Loads every library in the folder and publishes the table. What cannot be loaded is logged
    /// and passed over.
    pub fn load_folder(&mut self) {
        let folder = self.shared.config.plugins.clone();
        let files = match folder::libraries(&folder) {
            Ok(files) => files,
            Err(error) => {
                let folder = folder.display();
                log::warn!(
                    "cannot read the plugins folder {folder}: {error}; no plugin until it is there"
                );
                return self.publish();
            }
        };
        if files.is_empty() {
            log::warn!("no plugin in {}; only the host's own commands", folder.display());
        }
        self.publish();
        for file in files {
            self.take(&file, false);
        }
    }

    /// Works until it is told to end. Returns whether all plugins have ended.
    pub fn run(mut self, messages: &Receiver<Message>) -> bool {
        loop {
            let wait = self.retired.pause().unwrap_or(IDLE).min(self.retries.pause());
            match messages.recv_timeout(wait) {
                Ok(Message::Changed(change)) => self.settled(&change),
                Ok(Message::Order(order, plugin, reply)) => {
                    // Who asked may have gone in the meantime.
                    let _ = reply.send(self.obey(order, &plugin));
                }
                Ok(Message::End { unload }) => return self.end(unload),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return true,
            }
            self.tick();
        }
    }

    fn settled(&mut self, change: &Change) {
        let (Change::Ready(path) | Change::Gone(path)) = change;
        match (plugin_of(path), change) {
            // Whether it is there is for the reading to find out.
            (Some(plugin), _) => self.reconfigure(plugin, path),
            (None, Change::Ready(_)) => self.take(path, false),
            (None, Change::Gone(_)) => self.gone(path),
        }
    }

    /// Withdraws what was served from a file that is gone; where its state cannot be saved it goes
    /// on serving, the log says so, and it is tried again.
    fn gone(&mut self, path: &Path) {
        if path.exists() {
            return;
        }
        self.files.remove(path);
        self.retries.forget(path);
        let Some(plugin) = self.served_from(&file_name(path)) else { return };
        if let Err(problem) = self.withdraw(&plugin) {
            log::error!("plugin {plugin}: still served, although its file is gone: {problem}");
            if let Some(slot) = self.slots.get_mut(&plugin) {
                slot.last_failure = Some((problem, Instant::now()));
            }
            self.retries.later(path, Instant::now());
        }
    }

    /// Saves a plugin's state and takes its commands out of the table.
    fn withdraw(&mut self, plugin: &str) -> Result<(), String> {
        let started = Instant::now();
        let Some(old) = self.slots.get(plugin).and_then(Slot::generation).cloned() else {
            return Ok(());
        };
        let quiet = self.save(&old)?;
        if let Some(slot) = self.slots.get_mut(plugin) {
            slot.serving = None;
            // By now the file on the disk knows it.
            slot.state_bytes = None;
            slot.withdrawn = Some((Arc::clone(old.shadow()), old.manifest.clone()));
        }
        self.publish();
        quiet.into_iter().for_each(Quiet::move_on);
        let news = retired::news(&old, Event::Withdrawn, started.elapsed(), String::new());
        self.shared.newsroom.tell(news);
        self.retired.add(old);
        self.retry_clashed();
        Ok(())
    }

    fn tick(&mut self) {
        self.shadows.tidy();
        self.replaced.retain(|table| Arc::strong_count(table) > 1);
        for path in self.retries.due(Instant::now()) {
            let there = path.exists();
            self.settled(&if there { Change::Ready(path) } else { Change::Gone(path) });
        }
        for over in self.retired.tick(Instant::now(), &self.shared.newsroom) {
            if let Some(slot) = self.slots.get_mut(&over.manifest.name) {
                slot.counted.0 += over.calls();
                slot.counted.1 += over.errors();
            }
        }
        let (draining, lingering) = self.retired.totals();
        self.shared.metrics.draining.set(draining);
        self.shared.metrics.lingering.set(lingering);
    }

    fn served_from(&self, file: &str) -> Option<String> {
        let served = self
            .slots
            .iter()
            .find(|(_, slot)| slot.generation().is_some_and(|generation| generation.file == file));
        served.map(|(name, _)| name.clone())
    }

    fn publish(&mut self) {
        let mut commands = builtins::commands(&self.shared.metrics);
        let mut plugins = Vec::new();
        for serving in self.slots.values().filter_map(|slot| slot.serving.as_ref()) {
            commands.extend(serving.commands.iter().cloned());
            plugins.push(serving.generation.facts());
        }
        self.replaced.push(self.table.swap(Arc::new(Table::new(commands, plugins))));
        self.shared.metrics.tidy();
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
