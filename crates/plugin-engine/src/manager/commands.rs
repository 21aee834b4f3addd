//! Changes lists of commands: of a plugin whose process has sent a new one, and of other hosts.

use std::{sync::Arc, time::Instant};

use super::{Manager, load::Refused, retired, slot::Serving};
use crate::{
    events::{EventKind, PluginEvent},
    live::manifest::Manifest,
    load_error::Refusal,
    registry::Command,
};

impl Manager {
    /// Serves the commands that other hosts answer, where this host has none of the same name.
    pub(super) fn serve_remote(&mut self, commands: Vec<Arc<Command>>, change: String) {
        let started = Instant::now();
        self.remote = commands;
        self.publish();
        self.context.events.publish(PluginEvent {
            kind: EventKind::FleetChanged,
            plugin: String::new(),
            generation: 0,
            file: String::new(),
            took: started.elapsed(),
            detail: change,
        });
    }

    /// Serves the list of commands that a plugin's process has sent last, unless it is refused.
    pub(super) fn change_commands(&mut self, plugin: &str) {
        let started = Instant::now();
        let Some(generation) = self.slots.get(plugin).and_then(|slot| slot.generation()).cloned()
        else {
            return;
        };
        let Some(commands) = generation.live().new_commands() else { return };
        let manifest = Manifest { commands, ..generation.manifest.clone() };
        if manifest == generation.manifest {
            return;
        }
        let checked =
            manifest.check().and_then(|()| self.check_clashes(&manifest, &generation.file));
        if let Err(refusal) = checked {
            let problem = format!("its new list of commands: {refusal}; the old one stays");
            let refusal = Refusal::Manifest { problem };
            let plugin = Some(plugin.to_owned());
            let path = self.context.settings.plugins.join(&generation.file);
            let took = started.elapsed();
            self.publish_refusal(&path, Refused { plugin, refusal, took });
            return;
        }
        let count = manifest.commands.len();
        if manifest.declares_writes()
            && !generation.manifest.declares_writes()
            && generation.order.durable().is_some_and(|durable| !durable.has_journal())
        {
            log::warn!(
                "plugin {plugin}: a command of its new list has the attribute `writes`, but it has \
                 no journal, since its hello named none; set `durability = \"journal\"`, or name \
                 one there"
            );
        }
        let changed = Arc::new(generation.with_manifest(manifest));
        if let Some(slot) = self.slots.get_mut(plugin) {
            slot.serving = Some(Serving::new(Arc::clone(&changed), &self.context.metrics));
        }
        self.publish();
        let detail = format!("it has {count} commands now");
        let kind = EventKind::CommandsChanged;
        self.context.events.publish(retired::event(&changed, kind, started.elapsed(), detail));
        // Its earlier commands may be free now.
        self.retry_clashed();
    }
}
