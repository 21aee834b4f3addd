//! Observes a call that a session runs, from another thread.

use std::{fmt, sync::Arc};

use super::registry::Command;
use crate::runtime::client_handle::ClientHandle;

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

    /// Returns true if the session still runs this very call.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.session.commands() == self.answered && self.session.running() == self.command
    }
}

impl fmt::Display for RunningCall {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { session, name, .. } = self;
        write!(out, "'{name}' of session {} from {}", session.id, session.peer)
    }
}

#[cfg(test)]
use crate::commands::registry::{Flow, Target};

#[cfg(test)]
impl RunningCall {
    /// Makes a running call of `ping`, and the session that runs it.
    pub fn begun(session: u64) -> (Self, Arc<ClientHandle>) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let handle = Arc::new(ClientHandle::new(session, stream.local_addr().unwrap(), stream));
        let series = crate::telemetry::metrics::Metrics::default().series(None, "ping");
        let target = Target::Builtin(|_, _| Flow::Next);
        let ping = Command::new("ping", "", Default::default(), "", None, series, target);
        let commands = [Arc::new(ping)];
        handle.note_running(Arc::as_ptr(&commands[0]) as usize);
        let call = Self::find(&[Arc::clone(&handle)], &commands).pop().unwrap();
        (call, handle)
    }
}
