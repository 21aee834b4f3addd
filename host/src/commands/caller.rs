//! The context of a call: the session behind it, and the host.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use auth::identity::Identity;
use plugin_engine::{
    call::CallContext,
    facts::{ListedCommand, PluginFacts, SessionFacts},
    registry::Registry,
    state::durable::Durable,
};

use super::progress::Progress;
use crate::runtime::{client_handle::ClientHandle, context::Shared};

/// The interval at which a waiting worker checks for shutdown and cancellation.
const SLICE: Duration = Duration::from_millis(50);

/// The context of a call: the session behind it, and the host.
pub struct Caller<'a> {
    /// The session.
    pub session: &'a ClientHandle,
    /// The identity that it acts as.
    pub identity: &'a Identity,
    /// The registry that the command was found in.
    pub registry: &'a Registry,
    /// The host.
    pub shared: &'a Shared,
    /// The way in which the client gets progress.
    pub progress: Progress<'a>,
}

impl Caller<'_> {
    /// Returns the sessions that this one may see: all for an admin, else itself.
    pub fn visible_sessions(&self) -> Vec<Arc<ClientHandle>> {
        let mut sessions = self.shared.sessions.list();
        if !self.identity.is_admin() {
            sessions.retain(|session| session.id == self.session.id);
        }
        sessions
    }
}

impl CallContext for Caller<'_> {
    fn session_id(&self) -> u64 {
        self.session.id
    }

    fn peer(&self) -> SocketAddr {
        self.session.peer
    }

    fn session_name(&self) -> String {
        self.session.names().session
    }

    fn identity(&self) -> &Identity {
        self.identity
    }

    fn commands(&self) -> Vec<ListedCommand> {
        self.registry.listed(self.identity)
    }

    fn plugins(&self) -> Vec<PluginFacts> {
        self.registry.plugins(self.identity)
    }

    fn wait_for_cancel(&self, time: Duration) -> bool {
        let (shutdown, session) = (&self.shared.shutdown, self.session);
        let end = Instant::now().checked_add(time);
        loop {
            if shutdown.is_stopping() || session.is_cancelled() {
                return true;
            }
            let left =
                end.map_or(SLICE, |end| end.saturating_duration_since(Instant::now()).min(SLICE));
            if session.wait_until_gone(left) {
                return true;
            }
            if end.is_some_and(|end| Instant::now() >= end) {
                return shutdown.is_stopping() || session.is_cancelled();
            }
        }
    }

    fn sessions(&self) -> Vec<SessionFacts> {
        let facts = |session: &Arc<ClientHandle>| SessionFacts {
            id: session.id,
            peer: session.peer,
            name: session.names().session,
            age: session.age(),
            idle: session.idle(),
            commands: session.commands(),
        };
        self.visible_sessions().iter().map(facts).collect()
    }

    fn report_progress(&self, done: u64, total: u64, text: &str) {
        self.progress.report(done, total, text, &self.shared.shutdown);
    }

    fn hold_from(&self, start: usize) {
        self.progress.hold_from(start);
    }

    fn hold(&self, durable: &Arc<Durable>, record: u64) {
        self.progress.hold(durable, record);
    }
}
