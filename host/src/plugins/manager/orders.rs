//! What operators ask of the manager.

use std::{path::Path, time::Instant};

use super::{Manager, file_name, take::Refused};
use crate::{
    desk::{Answer, Order, Told},
    plugins::folder,
};

impl Manager {
    pub(super) fn obey(&mut self, order: Order, plugin: &str) -> Answer {
        let folder = self.shared.config.plugins.clone();
        let Some(slot) = self.slots.get_mut(plugin) else {
            // A file that never became a plugin is known by its own name.
            let path = folder.join(plugin);
            let inside = path.parent() == Some(&*folder) && folder::is_library(&path);
            if order == Order::Reload && inside && !folder::is_gone(&path) {
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
        if folder::is_gone(path) {
            return Err(format!("{} is not there", path.display()));
        }
        match self.try_take(path, true) {
            Ok(()) => {
                let plugin = self.served_from(&file_name(path)).unwrap_or_default();
                let number = self.slots.get(&plugin).map_or(0, |slot| slot.number);
                Ok(Told::Done(format!("plugin '{plugin}' serves generation {number}")))
            }
            Err(refused) => Err(self.tell_refused(path, refused)),
        }
    }

    fn roll_back(&mut self, plugin: &str) -> Answer {
        let started = Instant::now();
        let slot = self.slots.get_mut(plugin);
        let Some((slot, (code, manifest))) =
            slot.and_then(|slot| slot.code_before().map(|before| (slot, before)))
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
                let (path, plugin) = (Path::new(&file), Some(plugin.to_owned()));
                let took = started.elapsed();
                Err(self.tell_refused(path, Refused { plugin, refusal, took }))
            }
        }
    }
}
