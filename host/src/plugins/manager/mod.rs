//! The manager: the one thread that loads, replaces and retires plugins, and publishes the table.
//!
//! Everything that can fail happens before the table is swapped; until then the generation before
//! serves on, with its state.

mod orders;

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::{
    clashes, folder,
    generation::Generation,
    handover::{self, Quiet},
    loader,
    manifest::Manifest,
    refusal::Refusal,
    retired::{self, Retired},
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
    shadows: ShadowDir,
    states: States,
    slots: BTreeMap<String, Slot>,
    files: BTreeMap<PathBuf, Seen>,
    retired: Retired,
}

/// What became of a file's content.
struct Seen {
    hash: blake3::Hash,
    /// It was refused since others have what it claims; when they go, it gets another chance.
    clashed: bool,
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
    pub fn new(shared: Arc<Shared>, table: Arc<LiveTable>) -> io::Result<Self> {
        let shadows = ShadowDir::open(shared.state_dir.join("copies"))?;
        let states = States::new(shared.state_dir.join("state"));
        let (slots, files, retired) = Default::default();
        Ok(Self { shared, table, shadows, states, slots, files, retired })
    }

    /// Loads every library in the folder and publishes the table. What cannot be loaded is logged
    /// and passed over.
    pub fn load_folder(&mut self) {
        let folder = self.shared.config.plugins.clone();
        let files = folder::libraries(&folder).unwrap_or_else(|error| {
            let folder = folder.display();
            log::warn!("cannot read the plugins folder {folder}: {error}");
            Vec::new()
        });
        if files.is_empty() {
            log::warn!("no plugin in {}; only the host's own commands", folder.display());
        }
        self.publish();
        for file in files {
            self.take(&file, false);
        }
    }

    /// Works until it is told to end.
    pub fn run(mut self, messages: &Receiver<Message>) {
        loop {
            let wait = if self.retired.is_busy() { retired::TICK } else { IDLE };
            match messages.recv_timeout(wait) {
                Ok(Message::Changed(Change::Ready(path))) => self.take(&path, false),
                Ok(Message::Changed(Change::Gone(path))) => self.gone(&path),
                Ok(Message::Order(order, plugin, reply)) => {
                    // Who asked may have gone in the meantime.
                    let _ = reply.send(self.obey(order, &plugin));
                }
                Ok(Message::End { unload }) => return self.end(unload),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.tick();
        }
    }

    /// Takes a file's content, if it is new or `anew` is set, and tells what came of it.
    fn take(&mut self, path: &Path, anew: bool) {
        if let Err(refused) = self.try_take(path, anew) {
            self.tell_refused(path, refused);
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

    /// The sequence: copy, probe, load, hand over, swap.
    fn try_take(&mut self, path: &Path, anew: bool) -> Result<(), Refused> {
        let started = Instant::now();
        let file = file_name(path);
        let served = self.served_from(&file);
        let fail = |plugin: Option<String>| {
            move |refusal| Refused { plugin, refusal, took: started.elapsed() }
        };

        let shadow = match self.shadows.copy(path) {
            Ok(shadow) => shadow,
            // It went again, and a message about that is on its way.
            Err(_) if !path.exists() && path.symlink_metadata().is_err() => return Ok(()),
            Err(refusal) => {
                self.files.remove(path);
                return Err(fail(served)(refusal));
            }
        };
        let hash = shadow.hash();
        if !anew && self.files.get(path).is_some_and(|seen| seen.hash == hash) {
            log::debug!("{file} was touched but is the same");
            return Ok(());
        }
        self.files.insert(path.to_owned(), Seen { hash, clashed: false });
        let manifest = loader::probe(&self.shared, &shadow)
            .map_err(|refusal| refusal.about(shadow.path(), path))
            .map_err(fail(served.clone()))?;
        let plugin = manifest.name.clone();
        let taken = self.install(&file, shadow, manifest, started);
        if let (Err(Refusal::Clash { .. }), Some(seen)) = (&taken, self.files.get_mut(path)) {
            seen.clashed = true;
        }
        taken.map_err(fail(served.or(Some(plugin))))
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
        // What is served from this very file is about to go.
        let served = self.slots.values().filter_map(Slot::generation);
        let others = served.filter(|generation| generation.file != file);
        clashes::check(&manifest, file, &self.shared.config.plugins, others)?;
        let slot = self.slots.entry(name.clone()).or_default();
        file.clone_into(&mut slot.file);
        if slot.disabled {
            log::info!("plugin {name}: {file} is not loaded, since the plugin is disabled");
            return Ok(());
        }
        let number = slot.number + 1;
        let old = slot.serving.clone();
        let new = Arc::new(loader::load(
            &self.shared,
            Arc::new(shadow),
            manifest,
            number,
            file.to_owned(),
        )?);
        // From here on there is a loaded library that has to be unloaded in order.
        slot.number = number;
        let paused = Instant::now();
        let quiet = match self.hand_over(old.as_ref().map(|old| &old.generation), &new) {
            Ok(quiet) => quiet,
            Err(problem) => {
                self.retired.add(new);
                return Err(Refusal::Handover { problem });
            }
        };
        // What was served from this file under another name goes in the same step.
        let renamed = self.served_from(file).filter(|served| *served != name);
        if let Some(slot) = self.slots.get_mut(&name) {
            slot.serving = Some(Serving::new(Arc::clone(&new)));
            if let Some(old) = &old {
                let code = Arc::clone(old.generation.shadow());
                slot.previous = Some((code, old.generation.manifest.clone()));
            }
        }
        self.publish();
        if let Some(quiet) = quiet {
            quiet.move_on();
        }
        let detail = match &old {
            None => format!("version {}", new.manifest.version),
            Some(old) => format!(
                "version {}, in place of generation {} ({}); paused for {:.2} ms",
                new.manifest.version,
                old.generation.number,
                old.generation.manifest.version,
                paused.elapsed().as_secs_f64() * 1e3
            ),
        };
        let event = if old.is_some() { Event::Swapped } else { Event::Loaded };
        self.shared.newsroom.tell(retired::news(&new, event, started.elapsed(), detail));
        self.retired.extend(old.map(|old| old.generation));
        if let Some(renamed) = renamed {
            self.withdraw_or_keep(&renamed);
        }
        Ok(())
    }

    /// State, from the generation before, or else from the disk. Returns the quieted generation,
    /// which must be moved on once the table is swapped.
    fn hand_over(
        &self,
        old: Option<&Arc<Generation>>,
        new: &Arc<Generation>,
    ) -> Result<Option<Quiet>, String> {
        let (name, time) = (&new.manifest.name, self.shared.config.handover_timeout);
        let quiet = match old.filter(|old| old.live().saves()) {
            Some(old) => Some(Quiet::keep(old, time)?),
            None => None,
        };
        let state = match &quiet {
            Some(quiet) => quiet.save()?,
            None if new.live().saves() => self
                .states
                .load(name)
                .map_err(|error| format!("its saved state cannot be read: {error}"))?,
            None => None,
        };
        let Some(state) = state else { return Ok(quiet) };
        if new.live().saves() {
            handover::restore(new, state.into(), time)?;
        } else {
            log::warn!("plugin {name}: the new version keeps no state; the old state is on disk");
            self.keep_state(name, &state)?;
        }
        Ok(quiet)
    }

    fn gone(&mut self, path: &Path) {
        if path.exists() {
            return;
        }
        self.files.remove(path);
        if let Some(plugin) = self.served_from(&file_name(path)) {
            self.withdraw_or_keep(&plugin);
        }
    }

    /// Withdraws a plugin; where its state cannot be saved it goes on serving, and the log says so.
    fn withdraw_or_keep(&mut self, plugin: &str) {
        if let Err(problem) = self.withdraw(plugin) {
            log::error!("plugin {plugin}: still served: {problem}");
            if let Some(slot) = self.slots.get_mut(plugin) {
                slot.last_failure = Some((problem, Instant::now()));
            }
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
            slot.previous = Some((Arc::clone(old.shadow()), old.manifest.clone()));
        }
        self.publish();
        if let Some(quiet) = quiet {
            quiet.move_on();
        }
        let news = retired::news(&old, Event::Withdrawn, started.elapsed(), String::new());
        self.shared.newsroom.tell(news);
        self.retired.add(old);
        self.retry_clashed();
        Ok(())
    }

    /// Quiets a generation that keeps state and writes its state to the disk.
    fn save(&self, generation: &Arc<Generation>) -> Result<Option<Quiet>, String> {
        if !generation.live().saves() {
            return Ok(None);
        }
        let quiet = Quiet::keep(generation, self.shared.config.handover_timeout)?;
        if let Some(state) = quiet.save()? {
            self.keep_state(&generation.manifest.name, &state)?;
        }
        Ok(Some(quiet))
    }

    fn keep_state(&self, plugin: &str, state: &[u8]) -> Result<(), String> {
        let kept = self.states.keep(plugin, state);
        kept.map_err(|error| format!("its state cannot be written to the disk: {error}"))
    }

    /// What a file claimed in vain may be free now.
    fn retry_clashed(&mut self) {
        let clashed = |(path, seen): (&PathBuf, &Seen)| seen.clashed.then(|| path.clone());
        for path in self.files.iter().filter_map(clashed).collect::<Vec<_>>() {
            self.take(&path, true);
        }
    }

    fn tick(&mut self) {
        for over in self.retired.tick(Instant::now(), &self.shared.newsroom) {
            if let Some(slot) = self.slots.get_mut(&over.manifest.name) {
                slot.counted.0 += over.calls();
                slot.counted.1 += over.errors();
            }
        }
    }

    /// Saves every state; then withdraws and unloads everything, as far as it ends in time.
    fn end(mut self, unload: bool) {
        let serving: Vec<_> =
            self.slots.values().filter_map(|slot| slot.generation().cloned()).collect();
        for generation in &serving {
            match self.save(generation) {
                Ok(Some(quiet)) => quiet.move_on(),
                Ok(None) => {}
                Err(problem) => {
                    log::error!("plugin {}: state not saved: {problem}", generation.manifest.name);
                }
            }
        }
        if !unload {
            return;
        }
        self.slots.values_mut().for_each(|slot| slot.serving = None);
        self.publish();
        self.retired.extend(serving);
        let deadline = Instant::now() + self.shared.config.handover_timeout;
        while self.retired.is_busy() && Instant::now() < deadline {
            self.tick();
            std::thread::sleep(retired::TICK);
        }
    }

    fn served_from(&self, file: &str) -> Option<String> {
        let served = self
            .slots
            .iter()
            .find(|(_, slot)| slot.generation().is_some_and(|generation| generation.file == file));
        served.map(|(name, _)| name.clone())
    }

    fn publish(&self) {
        let mut commands = builtins::commands();
        let mut plugins = Vec::new();
        for serving in self.slots.values().filter_map(|slot| slot.serving.as_ref()) {
            commands.extend(serving.commands.iter().cloned());
            plugins.push(serving.generation.facts());
        }
        self.table.store(Arc::new(Table::new(commands, plugins)));
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
