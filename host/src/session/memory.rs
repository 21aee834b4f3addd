//! The memory that a session's requests and replies take.

use std::time::Duration;

use protocol::{Encoder, Parser};

use super::Session;
use crate::{
    net::read_buffer::ReadBuffer,
    runtime::{client_handle::ClientHandle, context::Shared},
};

/// A client that sends nothing for this long has paused.
const IDLE: Duration = Duration::from_millis(100);

impl Session {
    /// Notes how much memory the session takes, and has those closed that take most where all
    /// sessions take too much.
    #[cold]
    pub(super) fn note_memory(&mut self) {
        note_memory(&self.shared, &self.handle, &self.read_buffer, &self.parser, &self.replies);
    }

    /// Gives memory back that a large request or reply has taken, once the client pauses; a busy
    /// session keeps it, so that it allocates nothing.
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

/// As the method, for a session that is in parts.
#[cold]
pub(super) fn note_memory(
    shared: &Shared,
    handle: &ClientHandle,
    read_buffer: &ReadBuffer,
    parser: &Parser,
    replies: &Encoder,
) {
    let bytes = read_buffer.held() + parser.held() + replies.held();
    if shared.client_memory.note(handle, bytes) {
        shared.metrics.evicted.add(shared.sessions.dismiss_largest(&shared.client_memory));
    }
}
