//! A client's entry in the list of sessions.

use std::sync::Arc;

use super::{client_handle::ClientHandle, context::Shared};

/// A client's entry in the list of sessions. Dropping it removes the entry, even after a panic.
pub struct Registered {
    /// The host.
    pub shared: Arc<Shared>,
    /// The client.
    pub handle: Arc<ClientHandle>,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.shared.client_memory.note(&self.handle, 0);
        self.shared.sessions.remove(&self.handle);
    }
}
