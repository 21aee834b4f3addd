//! The context of a writing command: that of its session, the time that its record has, and its
//! transaction.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use auth::identity::Identity;

use super::Transaction;
use crate::{
    call::CallContext,
    facts::{ListedCommand, PluginFacts, SessionFacts},
    state::durable::Durable,
};

/// The context of a writing command.
pub struct WriteContext<'a> {
    pub(super) session: &'a dyn CallContext,
    /// In milliseconds since 1970; 0 for a command of a transaction that does not write.
    pub(super) time: u64,
    pub(super) transaction: Option<&'a Transaction>,
}

impl CallContext for WriteContext<'_> {
    fn time_millis(&self) -> u64 {
        self.time
    }

    fn session_id(&self) -> u64 {
        self.session.session_id()
    }

    fn peer(&self) -> SocketAddr {
        self.session.peer()
    }

    fn session_name(&self) -> String {
        self.session.session_name()
    }

    fn identity(&self) -> &Identity {
        self.session.identity()
    }

    fn commands(&self) -> Vec<ListedCommand> {
        self.session.commands()
    }

    fn plugins(&self) -> Vec<PluginFacts> {
        self.session.plugins()
    }

    fn wait_for_cancel(&self, time: Duration) -> bool {
        self.session.wait_for_cancel(time)
    }

    fn sessions(&self) -> Vec<SessionFacts> {
        self.session.sessions()
    }

    fn report_progress(&self, done: u64, total: u64, text: &str) {
        self.session.report_progress(done, total, text);
    }

    fn hold_from(&self, start: usize) {
        self.session.hold_from(start);
    }

    fn hold(&self, durable: &Arc<Durable>, record: u64) {
        self.session.hold(durable, record);
    }

    fn transaction(&self) -> Option<&Transaction> {
        self.transaction
    }
}
