//! The identity of a session's client: its rights, and the limits that they come with.

use std::{io, time::Instant};

use auth::identity::Identity;
use plugin_engine::events::Topic;

use super::Session;

impl Session {
    /// Returns the client's identity before it logs in.
    pub(super) fn initial_identity(&self) -> Identity {
        Identity::of(self.handle.peer, self.shared.config.access.trust)
            .over_tls(self.transport.is_secure())
    }

    /// Gives the session another identity, and applies its rights and limits.
    pub(super) fn set_identity(&mut self, identity: Identity) -> io::Result<()> {
        self.identity = identity;
        if !self.identity.is_admin() {
            // Plugin events are for admins only.
            self.subscriptions.change(Topic::Plugins, None);
        }
        let key = self.identity.key().cloned();
        self.handle.set_key(key.clone());
        // The key may have been revoked just before the handle held it.
        if key.is_some_and(|key| !self.shared.keyring.is_valid(&key)) {
            self.handle.dismiss();
        }
        self.apply_identity()
    }

    pub(super) fn apply_identity(&mut self) -> io::Result<()> {
        let config = &self.shared.config;
        if self.identity.is_stranger() {
            self.limits = config.bounds.stranger_limits();
            // A session that becomes a stranger again, by `RESET`, keeps its first deadline.
            let end = self.transport.deadline();
            let end = end.unwrap_or_else(|| Instant::now() + config.access.login_timeout);
            self.transport.wait_until(Some(end))
        } else {
            self.limits = config.bounds.limits();
            self.transport.wait_until(None)
        }
    }
}
