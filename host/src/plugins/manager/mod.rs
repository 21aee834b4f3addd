//! The manager: the one thread that loads, replaces and retires plugins, and publishes the table.
//!
//! Everything that can fail happens before the table is swapped; until then the generation before
//! serves on, with its state.

mod configuration;
mod fresh;
mod orders;
mod state;

pub use state::LAST_SAVES;

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
    clashes,
    configuration::plugin_of,
    folder,
    generation::Generation,
    handover::Quiet,
    loader,
    manifest::Manifest,
    refusal::Refusal,
    retired::{self, Retired},
    retries::Retries,
    shadow::{Shadow, ShadowDir},
    slot::{Serving, Slot},
    states::States,
};
use crate::{
    builtins,
    desk::{Change, Message},
    news::{Event, News},
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

/// A file that was not taken.
struct Refused {
    /// The plugin that is served from this file, or would be.
    plugin: Option<String>,
    refusal: Refusal,
    took: Duration,
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

    /// Takes a file's content, if it is new or `anew` is set, and tells what came of it.
    fn take(&mut self, path: &Path, anew: bool) {
        match self.try_take(path, anew) {
            Ok(()) => self.retries.forget(path),
            Err(refused) => {
                let passing = refused.refusal.is_passing();
                if matches!(refused.refusal, Refusal::InUse) {
                    if self.retries.held(path, Instant::now()) {
                        self.tell_refused(path, refused);
                    }
                    return;
                }
                // A file that is being written is told of when it stays so.
                if !matches!(refused.refusal, Refusal::Unsettled) || self.retries.is_late(path) {
                    self.tell_refused(path, refused);
                }
                if passing {
                    self.retries.later(path, Instant::now());
                } else {
                    self.retries.forget(path);
                }
            }
        }
    }

    /// Tells of a refusal and gives its reason.
    fn tell_refused(&mut self, path: &Path, refused: Refused) -> String {
        let Refused { plugin, refusal, took } = refused;
        let (file, detail) = (file_name(path), refusal.to_string());
        if let Some(slot) = plugin.as_ref().and_then(|plugin| self.slots.get_mut(plugin)) {
            slot.last_failure = Some((detail.clone(), Instant::now()));
        }
        let (event, generation, plugin) = (Event::Refused, 0, plugin.unwrap_or_default());
        let told = detail.clone();
        self.shared.newsroom.tell(News { event, plugin, generation, file, took, detail });
        told
    }

    /// The sequence: copy, verify, probe, load, hand over, swap.
    fn try_take(&mut self, path: &Path, anew: bool) -> Result<(), Refused> {
        let started = Instant::now();
        let file = file_name(path);
        let served = self.served_from(&file);
        let fail = |plugin: Option<String>| {
            move |refusal| Refused { plugin, refusal, took: started.elapsed() }
        };

        let fresh = self.fresh_copy(path, anew).map_err(fail(served.clone()))?;
        let Some(shadow) = fresh else { return Ok(()) };
        let hash = shadow.hash();
        // Or a success further down would take it for one of those that wait for their chance.
        self.files.remove(path);
        let taken = loader::probe(&self.shared, &shadow)
            .map_err(|refusal| (served.clone(), refusal.about(shadow.path(), path)))
            .and_then(|manifest| {
                let plugin = manifest.name.clone();
                let installed = self.install(&file, shadow, manifest, started);
                installed.map_err(|refusal| match refusal {
                    // It is the newcomer's failure, not that of whoever has the name.
                    Refusal::Clash { .. } => (served, refusal),
                    _ => (served.or(Some(plugin)), refusal),
                })
            });
        let refused = taken.as_ref().err().map(|(_, refusal)| refusal);
        let waits = match refused {
            Some(Refusal::Clash { .. }) => Waits::ForNames,
            Some(Refusal::Configuration { plugin, passing: false, .. }) => {
                Waits::ForConfiguration(plugin.clone())
            }
            _ => Waits::No,
        };
        // What another try may take is not remembered.
        if waits != Waits::No || refused.is_none_or(Refusal::is_lasting) {
            self.files.insert(path.to_owned(), Seen { hash, waits });
        } else {
            self.files.remove(path);
        }
        taken.map_err(|(plugin, refusal)| fail(plugin)(refusal))
    }

    /// From a copy that a probe has approved to a swapped table.
    fn install(
        &mut self,
        file: &str,
        shadow: Shadow,
        manifest: Manifest,
        started: Instant,
    ) -> Result<(), Refusal> {
        let name = manifest.name.clone();
        let folder = &self.shared.config.plugins;
        // What is served from this very file is about to go, and so is this plugin as it is served
        // from a file that is gone: it has been renamed.
        let goes = |other: &Arc<Generation>| {
            other.file == file
                || (other.manifest.name == name && !folder.join(&other.file).exists())
        };
        let served = self.slots.values().filter_map(Slot::generation);
        clashes::check(&manifest, file, folder, served.filter(|other| !goes(other)))?;
        let slot = self.slots.entry(name.clone()).or_default();
        if slot.disabled {
            file.clone_into(&mut slot.file);
            log::info!("plugin {name}: {file} is not loaded, since the plugin is disabled");
            return Ok(());
        }
        if slot.serving.is_none() {
            file.clone_into(&mut slot.file);
        }
        slot.number += 1;
        let (number, old) = (slot.number, slot.generation().cloned());
        let (shadow, file) = (Arc::new(shadow), file.to_owned());
        let new = loader::load(&self.shared, shadow, manifest, number, file.clone())?;
        let new = Arc::new(new);
        let given = match self.configure_first(&new) {
            Ok(given) => given,
            Err(refusal) => {
                // It has been loaded, so it has to be unloaded in order.
                self.retired.add(new);
                return Err(refusal);
            }
        };
        // What was served from this file under another name goes in the same step.
        let renamed = self.served_from(&file).filter(|served| *served != name);
        let renamed = renamed.and_then(|other| self.slots.get(&other)?.generation().cloned());

        let paused = Instant::now();
        let quieted = self.hand_over(old.as_ref(), &new).and_then(|(quiet, size)| {
            let renamed = renamed.as_ref().map(|renamed| self.save(renamed)).transpose()?;
            Ok(([quiet, renamed.flatten()], size))
        });
        let (quieted, size) = match quieted {
            Ok(quieted) => quieted,
            Err(problem) => {
                self.retired.add(new);
                return Err(Refusal::Handover { problem });
            }
        };
        if let Some(renamed) = &renamed {
            self.slots.entry(renamed.manifest.name.clone()).or_default().serving = None;
        }
        let slot = self.slots.entry(name).or_default();
        slot.file = file;
        slot.serving = Some(Serving::new(Arc::clone(&new), &self.shared.metrics));
        slot.state_bytes = size.or(slot.state_bytes);
        let configured_by = given.as_ref().and_then(|given| given.content);
        slot.given = given;
        let hash = new.shadow().hash();
        let withdrawn = slot.withdrawn.take();
        let before =
            old.as_ref().map(|old| (Arc::clone(old.shadow()), old.manifest.clone())).or(withdrawn);
        // The same code again leaves what there is to roll back to.
        if let Some(before) = before.filter(|(code, _)| code.hash() != hash) {
            slot.previous = Some(before);
        }
        self.publish();
        quieted.into_iter().flatten().for_each(Quiet::move_on);

        let mut detail = format!("version {}", new.manifest.version);
        if configured_by.is_some() {
            detail += &format!(", configured by {}.toml", new.manifest.name);
        }
        if let Some(old) = &old {
            let (number, version) = (old.number, &old.manifest.version);
            let paused = paused.elapsed().as_secs_f64() * 1e3;
            detail += &format!(
                ", in place of generation {number} ({version}); paused for {paused:.2} ms"
            );
        }
        let event = if old.is_some() { Event::Swapped } else { Event::Loaded };
        self.shared.newsroom.tell(retired::news(&new, event, started.elapsed(), detail));
        self.retired.extend(old.into_iter().chain(renamed));
        // Commands that it had may be free now.
        self.retry_clashed();
        Ok(())
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

    /// What a file claimed in vain may be free now.
    fn retry_clashed(&mut self) {
        let clashed =
            |(path, seen): (&PathBuf, &Seen)| (seen.waits == Waits::ForNames).then(|| path.clone());
        for path in self.files.iter().filter_map(clashed).collect::<Vec<_>>() {
            self.take(&path, true);
        }
    }

    fn tick(&mut self) {
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
