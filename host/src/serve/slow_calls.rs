//! Log lines about calls that run for longer than a limit.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use plugin_engine::registry::Registry;
use telemetry::log_throttle::NamedThrottle;

use crate::runtime::client_handle::ClientHandle;

/// The calls that ran at the last check, by session number.
#[derive(Default)]
pub(crate) struct SlowCalls {
    calls: HashMap<u64, Running>,
    /// Limits the lines of each command: many sessions may run it.
    lines: NamedThrottle,
}

/// A running call.
struct Running {
    /// The command's address in memory, which identifies it while it runs.
    command: usize,
    /// The number of commands that the session had answered before.
    answered: u64,
    since: Instant,
    reported: bool,
}

impl SlowCalls {
    /// Logs each call, once, that has run for `limit` or longer since it was first seen. The real
    /// time may be longer, by at most the interval between two checks.
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
                reported: false,
            });
            let ran = now.saturating_duration_since(call.since);
            if ran >= limit && !call.reported {
                call.reported = true;
                // A command that is not in the registry belongs to a version that was replaced.
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
