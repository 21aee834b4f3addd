//! One loaded version of a plugin.

use std::sync::Arc;

use plugin_api::Usage;

use super::{gate::Gate, library::Instance, manifest::Manifest, shadow::Shadow};
use crate::{
    table::{Answer, Call, Command, PluginFacts, Target, Worker},
    wire::Encoder,
};

/// One loaded version of a plugin. It lives as long as a table, a batch that runs on one, or the
/// manager holds it; the manager lets go last, so that it is the manager's thread that unloads.
pub struct Generation {
    /// What it says of itself.
    pub manifest: Manifest,
    /// How many times a version of this plugin has been loaded, this one included.
    pub number: u64,
    /// Its file's name in the plugins folder.
    pub file: String,
    /// What every call passes.
    pub gate: Gate,
    // Fields drop in order: the code is unloaded before its private copy goes.
    instance: Instance,
    shadow: Shadow,
}

impl Generation {
    /// A version that has just been loaded.
    #[must_use]
    pub fn new(
        manifest: Manifest,
        number: u64,
        file: String,
        instance: Instance,
        shadow: Shadow,
    ) -> Self {
        Self { manifest, number, file, gate: Gate::default(), instance, shadow }
    }

    /// Its commands, for the table.
    #[must_use]
    pub fn commands(self: &Arc<Self>) -> Vec<Arc<Command>> {
        let commands = self.manifest.commands.iter().zip(0..).map(|(facts, index)| {
            // The manifest has been checked, so that the usage line can be read.
            let arguments = Usage::parse(&facts.usage).unwrap_or_default();
            let worker = PluginWorker { generation: Arc::clone(self), index };
            let target = Target::Worker(Box::new(worker));
            let plugin = Some(self.manifest.name.as_str());
            let command =
                Command::new(&facts.name, &facts.usage, arguments, &facts.help, plugin, target);
            Arc::new(command)
        });
        commands.collect()
    }

    /// What the table tells of it.
    #[must_use]
    pub fn facts(&self) -> PluginFacts {
        let mut commands: Vec<_> =
            self.manifest.commands.iter().map(|command| command.name.clone()).collect();
        commands.sort();
        PluginFacts {
            name: self.manifest.name.clone(),
            version: self.manifest.version.clone(),
            generation: self.number,
            file: self.file.clone(),
            commands,
        }
    }
}

struct PluginWorker {
    generation: Arc<Generation>,
    index: u32,
}

impl Worker for PluginWorker {
    fn call(&self, call: &Call<'_>, reply: &mut Encoder) -> Answer {
        let generation = &*self.generation;
        let Some(_pass) = generation.gate.enter() else { return Answer::Moved };
        generation.instance.call(self.index, call, reply);
        Answer::Given
    }
}
