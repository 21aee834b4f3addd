//! Observes a call that a session runs, from another thread.

use std::{fmt, sync::Arc};

use plugin_engine::{context::Callers, registry::Command};

use crate::runtime::{client_handle::ClientHandle, context::Shared};

/// A call of a session. It costs the session nothing: sessions note for every call the data that
/// identify it.
pub struct RunningCall {
    session: Arc<ClientHandle>,
    /// The command's address in memory, as the session notes it.
    command: usize,
    /// The number of commands that the session had answered before.
    answered: u64,
    name: String,
}

impl RunningCall {
    /// Finds the running calls of these commands. A call that starts or ends at this moment may be
    /// missed.
    #[must_use]
    pub fn find(sessions: &[Arc<ClientHandle>], commands: &[Arc<Command>]) -> Vec<Self> {
        let call = |session: &Arc<ClientHandle>| {
            let answered = session.commands();
            let place = session.running();
            if place == 0 {
                return None;
            }
            let command = commands.iter().find(|one| Arc::as_ptr(one) as usize == place)?;
            let (session, name) = (Arc::clone(session), command.name.clone());
            Some(Self { session, command: place, answered, name })
        };
        sessions.iter().filter_map(call).collect()
    }
}

impl plugin_engine::context::RunningCall for RunningCall {
    fn is_running(&self) -> bool {
        self.session.commands() == self.answered && self.session.running() == self.command
    }
}

impl Callers for Shared {
    fn running_calls(
        &self,
        commands: &[Arc<Command>],
    ) -> Vec<Box<dyn plugin_engine::context::RunningCall>> {
        let calls = RunningCall::find(&self.sessions.list(), commands);
        let mut all = self.membership.running_calls(commands);
        all.extend(calls.into_iter().map(|call| Box::new(call) as _));
        all
    }
}

impl fmt::Display for RunningCall {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { session, name, .. } = self;
        write!(out, "'{name}' of session {} from {}", session.id, session.peer)
    }
}
