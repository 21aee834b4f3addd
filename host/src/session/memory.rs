//! The accounting of the memory that a session's requests and replies take.

use std::time::Duration;

use protocol::{Encoder, Parser};

use super::Session;
use crate::{
    net::read_buffer::ReadBuffer,
    runtime::{client_handle::ClientHandle, context::Shared},
};

/// The time without input after which a client counts as paused.
const IDLE: Duration = Duration::from_millis(100);

impl Session {
    /// Records how much memory the session takes. If all sessions together take too much, the
    /// largest ones are closed.
    #[cold]
    pub(super) fn note_memory(&mut self) {
        note_memory(&self.shared, &self.handle, &self.read_buffer, &self.parser, &self.replies);
    }

    /// Frees the memory of a large request or reply once the client pauses. A busy session keeps
    /// it, which saves allocations.
    #[cold]
    pub(super) fn shrink_when_idle(&mut self) {
        if self.read_buffer.is_empty() && !self.transport.wait_readable(IDLE) {
            self.read_buffer.shrink();
            self.parser.shrink();
            self.replies.shrink();
            self.shared.client_memory.note(&self.handle, 0);
        }
    }
}

/// Does the same as the method, for a session whose fields are borrowed separately.
#[cold]
pub(super) fn note_memory(
    shared: &Shared,
    handle: &ClientHandle,
    read_buffer: &ReadBuffer,
    parser: &Parser,
    replies: &Encoder,
) {
    note_bytes(shared, handle, read_buffer.held() + parser.held() + replies.held());
}

/// Records that the session takes this much memory.
#[cold]
pub(super) fn note_bytes(shared: &Shared, handle: &ClientHandle, bytes: usize) {
    if shared.client_memory.note(handle, bytes) {
        shared.metrics.evicted.add(shared.sessions.dismiss_largest(&shared.client_memory));
    }
}
