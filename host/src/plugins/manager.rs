//! The manager: the one thread that loads plugins and publishes the table.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Instant};

use super::{
    boundary::PluginServices,
    folder,
    generation::Generation,
    library::{Layout, Library},
    probe,
    refusal::Refusal,
    shadow::{Shadow, ShadowDir},
};
use crate::{builtins, shared::Shared, table::Table};

/// What is loaded, by plugin name.
pub struct Manager {
    shared: Arc<Shared>,
    shadows: ShadowDir,
    plugins: BTreeMap<String, Arc<Generation>>,
}

impl Manager {
    /// A manager of nothing yet.
    ///
    /// # Errors
    /// Where the directory for private copies cannot be made.
    pub fn new(shared: Arc<Shared>) -> std::io::Result<Self> {
        let shadows = ShadowDir::open(shared.state_dir.join("copies"))?;
        Ok(Self { shared, shadows, plugins: BTreeMap::new() })
    }

    /// Loads every library in the folder and publishes the table. What cannot be loaded is logged
    /// and passed over.
    pub fn load_folder(&mut self) {
        let folder = &self.shared.config.plugins;
        let files = match folder::libraries(folder) {
            Ok(files) => files,
            Err(error) => {
                log::warn!(
                    "cannot read the plugins folder {}: {error}; serving without plugins",
                    folder.display()
                );
                Vec::new()
            }
        };
        if files.is_empty() {
            log::warn!("no plugin in {}; only the host's own commands", folder.display());
        }
        for file in files {
            let started = Instant::now();
            match self.load(&file) {
                Ok(generation) => {
                    log::info!(
                        "plugin {} {}, generation {}, loaded from {} in {:.1} ms",
                        generation.manifest.name,
                        generation.manifest.version,
                        generation.number,
                        file.display(),
                        started.elapsed().as_secs_f64() * 1e3
                    );
                    self.plugins.insert(generation.manifest.name.clone(), generation);
                }
                Err(refusal) => log::error!("plugin file {} refused: {refusal}", file.display()),
            }
        }
        self.publish();
    }

    /// Withdraws all commands and unloads all plugins.
    pub fn unload_all(&mut self) {
        self.shared.table.store(Arc::new(Table::new(builtins::commands(), Vec::new())));
        self.plugins.clear();
    }

    fn load(&self, file: &Path) -> Result<Arc<Generation>, Refusal> {
        let shadow = self.shadows.copy(file)?;
        let copy = shadow.path().to_owned();
        self.load_copy(file, shadow).map_err(|refusal| refusal.about(&copy, file))
    }

    fn load_copy(&self, file: &Path, shadow: Shadow) -> Result<Arc<Generation>, Refusal> {
        let manifest = probe::probe(shadow.path(), self.shared.config.probe_timeout)?;
        self.check_clashes(
            &manifest.name,
            manifest.commands.iter().map(|c| c.name.as_str()),
            file,
        )?;
        let library = Library::open(shadow.path(), Layout::Approved)?;
        if library.manifest() != manifest {
            return Err(Refusal::Manifest {
                problem: "it says something else of itself than in its probe".into(),
            });
        }
        let services = PluginServices {
            name: manifest.name.clone(),
            data_dir: self.shared.state_dir.join("data").join(&manifest.name),
            started: self.shared.started,
        };
        let instance = library.create(services)?;
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Arc::new(Generation::new(manifest, 1, name, instance, shadow)))
    }

    /// Two plugins may not claim one name or one command, nor one of the host's.
    fn check_clashes<'a>(
        &self,
        plugin: &str,
        mut commands: impl Iterator<Item = &'a str>,
        file: &Path,
    ) -> Result<(), Refusal> {
        let folder = &self.shared.config.plugins;
        let clash = |problem| Err(Refusal::Clash { problem });
        if let Some(other) = self.plugins.get(plugin) {
            return clash(format!(
                "both {} and {} call themselves plugin '{plugin}'; remove or rename one",
                folder.join(&other.file).display(),
                file.display()
            ));
        }
        let builtins = builtins::commands();
        commands.try_for_each(|command| {
            if builtins.iter().any(|builtin| builtin.name == command) {
                return clash(format!(
                    "{} claims the command '{command}', which is the host's own",
                    file.display()
                ));
            }
            let owner = self
                .plugins
                .values()
                .find(|plugin| plugin.manifest.commands.iter().any(|facts| facts.name == command));
            match owner {
                Some(owner) => clash(format!(
                    "both {} (plugin '{}') and {} (plugin '{plugin}') claim the command \
                     '{command}'; remove one, or rename the command",
                    folder.join(&owner.file).display(),
                    owner.manifest.name,
                    file.display()
                )),
                None => Ok(()),
            }
        })
    }

    fn publish(&self) {
        let mut commands = builtins::commands();
        let mut plugins = Vec::new();
        for generation in self.plugins.values() {
            commands.extend(generation.commands());
            plugins.push(generation.facts());
        }
        self.shared.table.store(Arc::new(Table::new(commands, plugins)));
    }
}
