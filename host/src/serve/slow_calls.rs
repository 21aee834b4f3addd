//! Tells the log of commands that run for long.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use plugin_engine::registry::Registry;
use telemetry::log_throttle::NamedThrottle;

use crate::runtime::client_handle::ClientHandle;

/// The calls that were under way when they were last looked at, by their sessions.
#[derive(Default)]
pub(crate) struct SlowCalls {
    calls: HashMap<u64, Running>,
    /// A command's lines: clients may have many sessions run it.
    lines: NamedThrottle,
}

/// One call.
struct Running {
    /// Its command's place in memory, which is nobody else's while it runs.
    command: usize,
    /// How many commands its session had answered before.
    answered: u64,
    since: Instant,
    told: bool,
}

impl SlowCalls {
    /// Looks at the sessions and tells of each call, once, that has run for longer than `limit`, as
    /// far as it was seen. How long it really runs may be more by the time since the last look.
    pub(crate) fn check(
        &mut self,
        sessions: &[Arc<ClientHandle>],
        registry: &Registry,
        limit: Duration,
        now: Instant,
    ) {
        let mut before = std::mem::take(&mut self.calls);
        for session in sessions {
            let (command, answered) = (session.running(), session.commands());
            if command == 0 {
                continue;
            }
            let same = |call: &Running| (call.command, call.answered) == (command, answered);
            let mut call = before.remove(&session.id).filter(same).unwrap_or(Running {
                command,
                answered,
                since: now,
                told: false,
            });
            let ran = now.saturating_duration_since(call.since);
            if ran >= limit && !call.told {
                call.told = true;
                // One that is not in the registry is of a version that was replaced meanwhile.
                let name =
                    registry.at(command).map_or("a replaced command", |command| &command.name);
                self.lines.warn(name, now, || {
                    format!(
                        "session {} from {}: '{name}' has been running for {:.1} s",
                        session.id,
                        session.peer,
                        ran.as_secs_f64()
                    )
                });
            }
            self.calls.insert(session.id, call);
        }
    }
}
