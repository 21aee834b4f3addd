//! Maps command names to workers; a registry is immutable and replaced as a whole.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    fmt,
    sync::Arc,
};

use arc_swap::ArcSwap;
use auth::identity::{AccessLevel, Identity, RequiredAccess};
use plugin_api::{MAX_NAME, Usage};
use protocol::nearest::nearest;
use telemetry::metrics::{Metrics, Series};

use crate::{
    call::Worker,
    facts::{ListedCommand, PluginFacts},
    live::{generation::Generation, manifest::CommandFacts},
    process::status::ProcessStatus,
    state::durable::DurabilityStatus,
};

/// The registry in force: read without a lock, replaced as a whole.
pub type LiveRegistry = ArcSwap<Registry>;

/// An immutable set of all commands and plugins.
#[derive(Default)]
pub struct Registry {
    commands: HashMap<Box<[u8]>, Arc<Command>, foldhash::fast::FixedState>,
    plugins: Vec<PluginFacts>,
    generations: Vec<Arc<Generation>>,
    /// The plugins that declare a command that writes.
    writing: HashSet<String>,
}

/// A command in the registry.
pub struct Command {
    /// Its name, in lower case.
    pub name: String,
    /// Its arguments, as a usage line for people.
    pub usage: String,
    /// Its arguments, parsed.
    pub arguments: Usage,
    /// A sentence for people.
    pub help: String,
    /// True if it changes the plugin's state.
    pub writes: bool,
    /// True if running it twice is as good as running it once.
    pub idempotent: bool,
    /// The plugin that answers it; `None` for a built-in.
    pub plugin: Option<String>,
    /// The minimum number of arguments.
    pub least: usize,
    /// The maximum number of arguments.
    pub most: usize,
    /// The access that it requires.
    pub access: AccessLevel,
    /// The number of other hosts that answer it; `None` if this host does.
    pub hosts: Option<usize>,
    /// The counters of its calls.
    pub series: Arc<Series>,
    /// The code that answers it.
    pub target: Target,
}

/// The code that answers a command.
pub enum Target {
    /// The host itself; the number is the host's own.
    Builtin(usize),
    /// A worker.
    Worker(Box<dyn Worker>),
}

impl fmt::Debug for Command {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Command({})", self.name)
    }
}

impl Command {
    /// Returns a command with these facts, whose usage line has been checked.
    #[must_use]
    pub fn new(
        facts: CommandFacts,
        plugin: Option<&str>,
        metrics: &Metrics,
        target: Target,
    ) -> Self {
        let CommandFacts { name, usage, help, writes, idempotent } = facts;
        let arguments = Usage::parse(&usage).unwrap_or_default();
        Self {
            series: metrics.series(plugin, &name),
            name,
            usage,
            least: arguments.least(),
            most: arguments.most().unwrap_or(usize::MAX),
            arguments,
            help,
            writes,
            idempotent,
            plugin: plugin.map(str::to_owned),
            access: AccessLevel::Listed,
            hosts: None,
            target,
        }
    }

    /// Returns its facts, as its plugin declares them.
    #[must_use]
    pub fn facts(&self) -> CommandFacts {
        CommandFacts {
            name: self.name.clone(),
            usage: self.usage.clone(),
            help: self.help.clone(),
            writes: self.writes,
            idempotent: self.idempotent,
        }
    }

    /// Returns its facts, as a worker may know them.
    fn listed(&self) -> ListedCommand {
        ListedCommand {
            name: self.name.clone(),
            usage: self.usage.clone(),
            help: self.full_help().into_owned(),
            plugin: self.plugin.clone().unwrap_or_default(),
        }
    }

    /// Returns the permission that its sender needs.
    #[must_use]
    pub fn required_access(&self) -> RequiredAccess<'_> {
        RequiredAccess { name: &self.name, plugin: self.plugin.as_deref(), access: self.access }
    }

    /// Returns the command as one that this number of other hosts answers.
    #[must_use]
    pub fn answered_by(mut self, hosts: usize) -> Self {
        self.hosts = Some(hosts);
        self
    }

    /// Returns the help, with the number of hosts if others answer it.
    #[must_use]
    pub fn full_help(&self) -> Cow<'_, str> {
        match self.hosts {
            None => Cow::Borrowed(&self.help),
            Some(1) => format!("{} (1 other host)", self.help).trim_start().to_owned().into(),
            Some(hosts) => {
                format!("{} ({hosts} other hosts)", self.help).trim_start().to_owned().into()
            }
        }
    }

    /// Returns the command with another required access.
    #[must_use]
    pub fn with_access(mut self, access: AccessLevel) -> Self {
        self.access = access;
        self
    }
}

impl Registry {
    /// Makes a registry of these commands and plugins. Of two commands with one name the later one
    /// stays; the manager prevents that.
    #[must_use]
    pub fn new(commands: Vec<Arc<Command>>, mut generations: Vec<Arc<Generation>>) -> Self {
        generations.sort_by(|a, b| a.manifest.name.cmp(&b.manifest.name));
        let plugins = generations.iter().map(|generation| generation.facts()).collect();
        let writing = commands.iter().filter(|command| command.writes);
        let writing = writing.filter_map(|command| command.plugin.clone()).collect();
        let key = |command: &Command| command.name.as_bytes().into();
        let commands = commands.into_iter().map(|command| (key(&command), command)).collect();
        Self { commands, plugins, generations, writing }
    }

    /// Returns the command of this name, in any case.
    #[must_use]
    #[inline]
    pub fn get(&self, name: &[u8]) -> Option<&Arc<Command>> {
        // Copied only if it must be changed: the copy takes longer than the look-up.
        if !name.iter().any(u8::is_ascii_uppercase) {
            return self.commands.get(name);
        }
        let mut lower = [0; MAX_NAME];
        let lower = lower.get_mut(..name.len())?;
        lower.copy_from_slice(name);
        lower.make_ascii_lowercase();
        self.commands.get(&*lower)
    }

    /// Returns the command at this address in memory.
    #[must_use]
    pub fn at(&self, place: usize) -> Option<&Command> {
        let mut commands = self.commands.values();
        commands.find(|command| Arc::as_ptr(command) as usize == place).map(|command| &**command)
    }

    /// Returns the most similar name of a command that `identity` may run; `None` if none is
    /// similar.
    #[must_use]
    pub fn nearest(&self, name: &[u8], identity: &Identity) -> Option<&str> {
        let name = std::str::from_utf8(name).ok().filter(|name| name.len() <= MAX_NAME)?;
        let commands = self.commands.values();
        let allowed = commands.filter(|command| identity.can_run(command.required_access()));
        nearest(&name.to_ascii_lowercase(), allowed.map(|command| command.name.as_str()))
    }

    /// Returns all commands that `identity` may run, sorted by name.
    #[must_use]
    pub fn commands(&self, identity: &Identity) -> Vec<&Arc<Command>> {
        let all = self.commands.values();
        let mut commands: Vec<_> =
            all.filter(|command| identity.can_run(command.required_access())).collect();
        commands.sort_by(|a, b| a.name.cmp(&b.name));
        commands
    }

    /// Describes all commands that `identity` may run, sorted by name, for a worker.
    #[must_use]
    pub fn listed(&self, identity: &Identity) -> Vec<ListedCommand> {
        self.commands(identity).into_iter().map(|command| command.listed()).collect()
    }

    /// Returns true if the plugin declares at least one command that writes, so that its other
    /// commands only read.
    #[must_use]
    pub fn declares_writes(&self, plugin: &str) -> bool {
        self.writing.contains(plugin)
    }

    /// Returns all plugins that are served, sorted by name.
    pub fn all_plugins(&self) -> &[PluginFacts] {
        &self.plugins
    }

    /// Returns the generation that is served from this file of the plugins folder.
    #[must_use]
    pub fn served_from(&self, file: &str) -> Option<&Arc<Generation>> {
        self.generations.iter().find(|generation| generation.file == file)
    }

    /// Describes the present processes of each served plugin that does not run in the host, sorted
    /// by name. Asks the system for the memory of each process.
    pub fn processes(&self) -> impl Iterator<Item = (&str, ProcessStatus)> {
        self.generations.iter().filter_map(|generation| {
            Some((generation.manifest.name.as_str(), generation.live().status()?))
        })
    }

    /// Describes where the state of each served plugin that keeps one is kept, sorted by name.
    pub fn durability(&self) -> impl Iterator<Item = (&str, DurabilityStatus)> {
        self.generations.iter().filter_map(|generation| {
            let durable = generation.order.durable()?;
            Some((generation.manifest.name.as_str(), durable.status()))
        })
    }

    /// Returns the served plugins, sorted by name, with the commands that `identity` may run. A
    /// plugin without any of them is left out.
    #[must_use]
    pub fn plugins(&self, identity: &Identity) -> Vec<PluginFacts> {
        let mut plugins = self.plugins.clone();
        if identity.is_unrestricted() {
            return plugins;
        }
        for plugin in &mut plugins {
            plugin.commands.retain(|name| {
                let command = self.commands.get(name.as_bytes());
                command.is_some_and(|command| identity.can_run(command.required_access()))
            });
        }
        plugins.retain(|plugin| !plugin.commands.is_empty());
        plugins
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use auth::trust::Trust;

    fn registry(names: &[&str]) -> Registry {
        let metrics = Metrics::default();
        let command = |name: &&str| {
            let facts = CommandFacts { name: (*name).to_owned(), ..CommandFacts::default() };
            Arc::new(Command::new(facts, None, &metrics, Target::Builtin(0)))
        };
        Registry::new(names.iter().map(command).collect(), Vec::new())
    }

    #[test]
    fn names_are_found_in_any_case() {
        let registry = registry(&["echo", "text.upper"]);
        for name in ["echo", "ECHO", "eChO", "TEXT.upper"] {
            assert_eq!(
                registry.get(name.as_bytes()).map(|command| command.name.as_str()),
                Some(name.to_ascii_lowercase().as_str())
            );
        }
        let long = [b'e'; MAX_NAME + 1];
        for name in [&b"ech"[..], b"", b"echoo", b"\xff\xfe", &long] {
            assert!(registry.get(name).is_none(), "{name:?}");
        }
    }

    #[test]
    fn only_plugins_with_writing_commands_declare_writes() {
        let metrics = Metrics::default();
        let command = |(name, plugin, writes): (&str, Option<&str>, bool)| {
            let facts = CommandFacts { name: name.into(), writes, ..CommandFacts::default() };
            Arc::new(Command::new(facts, plugin, &metrics, Target::Builtin(0)))
        };
        let all = [
            ("get", Some("store"), false),
            ("set", Some("store"), true),
            ("echo", Some("text"), false),
            ("ks", None, false),
        ];
        let registry = Registry::new(all.map(command).to_vec(), Vec::new());
        assert!(registry.declares_writes("store"));
        for plugin in ["text", "host", ""] {
            assert!(!registry.declares_writes(plugin), "{plugin}");
        }
    }

    #[test]
    fn a_command_is_found_by_its_place() {
        let registry = registry(&["echo", "text.upper"]);
        for name in ["echo", "text.upper"] {
            let place = Arc::as_ptr(registry.get(name.as_bytes()).unwrap()) as usize;
            assert_eq!(registry.at(place).map(|command| command.name.as_str()), Some(name));
        }
        assert!(registry.at(0).is_none());
    }

    #[test]
    fn the_nearest_name_is_near() {
        let registry = registry(&["echo", "upper", "uptime"]);
        let free = Identity::of(([127, 0, 0, 1], 1).into(), Trust::All);
        assert_eq!(registry.nearest(b"ecko", &free), Some("echo"));
        assert_eq!(registry.nearest(b"ECOH", &free), Some("echo"));
        assert_eq!(registry.nearest(b"uptmie", &free), Some("uptime"));
        for name in [&b"xy"[..], b"zzzz", b"", b"\xff\xff\xff\xff"] {
            assert_eq!(registry.nearest(name, &free), None, "{name:?}");
        }
    }
}
