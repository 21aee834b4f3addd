//! The manager: the one thread that loads, replaces and retires plugins, and publishes the table.
//!
//! Everything that can fail happens before the table is swapped; until then the generation before
//! serves on, with its state.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::{
    folder,
    generation::Generation,
    handover::{self, Quiet},
    loader,
    manifest::Manifest,
    order::{Answer, Message, Order, Told},
    refusal::Refusal,
    retired::{self, Retired},
    settle::Change,
    shadow::{Shadow, ShadowDir},
    slot::{Serving, Slot},
    states::States,
};
use crate::{
    builtins,
    news::{Event, News},
    shared::Shared,
    table::Table,
};

/// How long the manager waits for a message before it looks at what lingers.
const IDLE: Duration = Duration::from_secs(1);

/// Loads, replaces and retires plugins.
pub struct Manager {
    shared: Arc<Shared>,
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

impl Manager {
    /// A manager of nothing yet.
    ///
    /// # Errors
    /// Where the directory for private copies cannot be made.
    pub fn new(shared: Arc<Shared>) -> io::Result<Self> {
        let shadows = ShadowDir::open(shared.state_dir.join("copies"))?;
        let states = States::new(shared.state_dir.join("state"));
        let (slots, files, retired) = Default::default();
        Ok(Self { shared, shadows, states, slots, files, retired })
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
        if let Err((plugin, refusal, took)) = self.try_take(path, anew) {
            let file = file_name(path);
            if let Some(slot) = plugin.as_ref().and_then(|plugin| self.slots.get_mut(plugin)) {
                slot.last_failure = Some((refusal.to_string(), Instant::now()));
            }
            let (event, generation) = (Event::Refused, 0);
            let (plugin, detail) = (plugin.unwrap_or_default(), refusal.to_string());
            self.shared.newsroom.tell(News { event, plugin, generation, file, took, detail });
        }
    }

    /// The sequence: copy, probe, load, hand over, swap. An error names the plugin that is served
    /// from this file, or would be.
    fn try_take(
        &mut self,
        path: &Path,
        anew: bool,
    ) -> Result<(), (Option<String>, Refusal, Duration)> {
        let started = Instant::now();
        let file = file_name(path);
        let served = self.served_from(&file);
        let fail = |plugin: Option<String>| move |refusal| (plugin, refusal, started.elapsed());

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
        self.check_clashes(&manifest, file)?;
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

    fn obey(&mut self, order: Order, plugin: &str) -> Answer {
        let folder = self.shared.config.plugins.clone();
        let Some(slot) = self.slots.get_mut(plugin) else {
            // A file that never became a plugin is known by its own name.
            let path = folder.join(plugin);
            if order == Order::Reload && folder::is_library(&path) && path.exists() {
                return self.retake(&path);
            }
            return Err(format!("there is no plugin '{plugin}'"));
        };
        let path = folder.join(&slot.file);
        match order {
            Order::Info => Ok(Told::Info(Box::new(slot.info(plugin, &self.retired, &self.states)))),
            Order::Reload if slot.disabled => {
                Err(format!("plugin '{plugin}' is disabled; enable it"))
            }
            Order::Reload => self.retake(&path),
            Order::Rollback => self.roll_back(plugin),
            Order::Disable => {
                slot.disabled = true;
                let withdrawn = self.withdraw(plugin);
                if let (Err(_), Some(slot)) = (&withdrawn, self.slots.get_mut(plugin)) {
                    slot.disabled = false;
                }
                withdrawn.map(|()| Told::Done(format!("plugin '{plugin}' is disabled")))
            }
            Order::Enable => {
                slot.disabled = false;
                if slot.serving.is_some() {
                    return Ok(Told::Done(format!("plugin '{plugin}' is serving already")));
                }
                self.retake(&path)
            }
        }
    }

    /// Takes a file anew and answers with what came of it.
    fn retake(&mut self, path: &Path) -> Answer {
        if !path.exists() {
            return Err(format!("{} is not there", path.display()));
        }
        match self.try_take(path, true) {
            Ok(()) => {
                let plugin = self.served_from(&file_name(path)).unwrap_or_default();
                let number = self.slots.get(&plugin).map_or(0, |slot| slot.number);
                Ok(Told::Done(format!("plugin '{plugin}' serves generation {number}")))
            }
            Err((plugin, refusal, took)) => {
                let (detail, file) = (refusal.to_string(), file_name(path));
                if let Some(slot) = plugin.as_ref().and_then(|name| self.slots.get_mut(name)) {
                    slot.last_failure = Some((detail.clone(), Instant::now()));
                }
                let plugin = plugin.unwrap_or_default();
                let (event, generation) = (Event::Refused, 0);
                self.shared.newsroom.tell(News {
                    event,
                    plugin,
                    generation,
                    file,
                    took,
                    detail: detail.clone(),
                });
                Err(detail)
            }
        }
    }

    fn roll_back(&mut self, plugin: &str) -> Answer {
        let started = Instant::now();
        let slot = self.slots.get_mut(plugin);
        let Some((slot, (code, manifest))) =
            slot.and_then(|slot| slot.previous.clone().map(|previous| (slot, previous)))
        else {
            return Err(format!("plugin '{plugin}' has no generation before this one"));
        };
        if slot.disabled {
            return Err(format!("plugin '{plugin}' is disabled; enable it"));
        }
        let file = slot.file.clone();
        let rolled = self
            .shadows
            .copy_again(&code)
            .and_then(|shadow| self.install(&file, shadow, manifest, started));
        match rolled {
            Ok(()) => {
                let number = self.slots.get(plugin).map_or(0, |slot| slot.number);
                Ok(Told::Done(format!(
                    "plugin '{plugin}' serves generation {number}, the code before"
                )))
            }
            Err(refusal) => {
                if let Some(slot) = self.slots.get_mut(plugin) {
                    slot.last_failure = Some((refusal.to_string(), Instant::now()));
                }
                Err(refusal.to_string())
            }
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

    /// Two plugins may not claim one name or one command, nor one of the host's. What is served
    /// from this very file is about to go.
    fn check_clashes(&self, manifest: &Manifest, file: &str) -> Result<(), Refusal> {
        let folder = &self.shared.config.plugins;
        let clash = |problem| Err(Refusal::Clash { problem });
        let (new_file, plugin) = (folder.join(file), &manifest.name);
        let others = || {
            let served = self.slots.values().filter_map(Slot::generation);
            served.filter(|generation| generation.file != file)
        };
        if let Some(other) = others().find(|other| other.manifest.name == *plugin) {
            return clash(format!(
                "both {} and {} call themselves plugin '{plugin}'; remove or rename one",
                folder.join(&other.file).display(),
                new_file.display()
            ));
        }
        for command in manifest.commands.iter().map(|command| &command.name) {
            if builtins::is_builtin(command) {
                return clash(format!(
                    "{} claims the command '{command}', which is the host's own",
                    new_file.display()
                ));
            }
            let claims = |other: &&Arc<Generation>| {
                other.manifest.commands.iter().any(|facts| facts.name == *command)
            };
            if let Some(other) = others().find(claims) {
                return clash(format!(
                    "both {} (plugin '{}') and {} (plugin '{plugin}') claim the command \
                     '{command}'; remove one, or rename the command",
                    folder.join(&other.file).display(),
                    other.manifest.name,
                    new_file.display()
                ));
            }
        }
        Ok(())
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
        self.shared.table.store(Arc::new(Table::new(commands, plugins)));
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
