//! Takes snapshots while the host serves, each on a thread of its own.

use std::{sync::Arc, time::Instant};

use crossbeam_channel::Sender;

use super::{Manager, slot::Slot};
use crate::{
    live::{
        deadline::Deadline, gate::OwnedKeepAlive, generation::Generation, task_thread::TaskThread,
    },
    plugin_control::{ControlResult, Response},
    state::snapshot::{Calls, Place},
};

impl Manager {
    /// Begins the snapshots that are due.
    pub(super) fn take_due_snapshots(&self, now: Instant) {
        if self.context.shutdown.is_stopping() {
            return;
        }
        for generation in self.slots.values().filter_map(Slot::generation) {
            let durable = generation.order.durable();
            if durable.is_some_and(|durable| durable.is_due(generation.calls(), now)) {
                self.begin_snapshot(generation, None);
            }
        }
    }

    /// Takes a snapshot now, and answers the request when it is on the disk.
    pub(super) fn save_now(&self, plugin: &str, reply: Sender<ControlResult>) {
        let generation = self.slots.get(plugin).map(Slot::generation);
        let problem = match generation {
            None => format!("there is no plugin '{plugin}'"),
            Some(None) => format!("plugin '{plugin}' is not served"),
            Some(Some(generation)) if generation.order.durable().is_none() => {
                format!("plugin '{plugin}' keeps no state")
            }
            Some(Some(generation)) => return self.begin_snapshot(generation, Some(reply)),
        };
        // Best effort: the session that asked may have ended.
        let _ = reply.send(Err(problem));
    }

    fn begin_snapshot(&self, generation: &Arc<Generation>, reply: Option<Sender<ControlResult>>) {
        let Some(durable) = generation.order.durable() else { return };
        let answer = |answer: ControlResult| {
            // Best effort, as above.
            reply.as_ref().map(|reply| reply.send(answer));
        };
        let name = durable.name();
        let Some(busy) = durable.begin() else {
            answer(Err(format!("a snapshot of plugin '{name}' is being taken already")));
            return;
        };
        let place = Place {
            generation: Arc::clone(generation),
            durable: Arc::clone(durable),
            states: Arc::clone(&self.states),
            _busy: Arc::new(busy),
        };
        let settings = &self.context.settings;
        let (pause, timeout) = (settings.handover_pause, settings.handover_timeout);
        let shutdown = Arc::clone(&self.context.shutdown);
        let sender = reply.clone();
        let work = move || {
            let give_up = || shutdown.is_saving_over();
            let deadline = Deadline { time: timeout, give_up: &give_up };
            let answer = finish(&place, place.take(Calls::GoOn(pause), &deadline));
            drop(place);
            // Best effort, as above.
            sender.map(|sender| sender.send(answer));
        };
        let keep_alive = OwnedKeepAlive::at(generation);
        if let Err(error) = TaskThread::start("snapshot", keep_alive, work) {
            answer(Err(format!("cannot start a thread for a snapshot: {error}")));
        }
    }
}

/// Logs the result of a snapshot and returns it for the operator who asked.
fn finish(place: &Place, taken: Result<crate::state::durable::Taken, String>) -> ControlResult {
    let (durable, name) = (&place.durable, place.durable.name());
    match taken {
        Ok(taken) => {
            let text = format!(
                "snapshot of {} bytes taken in {:.1} s; commands that write waited for {:.2} ms",
                taken.bytes,
                taken.took.as_secs_f64(),
                taken.paused.as_secs_f64() * 1e3
            );
            log::debug!("plugin {name}: {text}");
            Ok(Response::Done(format!("plugin '{name}': {text}")))
        }
        Err(problem) => {
            if !durable.is_cancelled() && durable.note_failed(&problem) {
                log::error!("plugin {name}: no snapshot: {problem}; it is tried again");
            }
            Err(format!("plugin '{name}': no snapshot: {problem}"))
        }
    }
}
