//! The accounting of the memory that a session's requests and replies take.

use std::time::Duration;

use protocol::{Encoder, Parser};

use super::{Session, Stage, buffers::Buffers, lent::Unfinished};
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
    pub(super) fn note_memory(&mut self, buffers: &Buffers) {
        self.note_with_queue(buffers.held());
    }

    /// Does the same for a session that rests over an unfinished request.
    #[cold]
    pub(super) fn note_unfinished(&mut self, unfinished: &Unfinished) {
        self.note_with_queue(unfinished.held());
    }

    fn note_with_queue(&mut self, bytes: usize) {
        let queued = match &self.stage {
            Stage::Transaction(queued) => queued.held(),
            _ => 0,
        };
        note_bytes(&self.shared, &self.handle, bytes + queued);
    }

    /// Frees the memory of a large request or reply once the client pauses. A busy session keeps
    /// it, which saves allocations.
    #[cold]
    pub(super) fn shrink_when_idle(&mut self, buffers: &mut Buffers) {
        if buffers.read_buffer.is_empty() && !self.transport.wait_readable(IDLE) {
            buffers.shrink();
            self.note_rest();
        }
    }

    /// Records the memory of a session whose buffers take no more than an idle session's.
    pub(super) fn note_rest(&mut self) {
        let queued = match &self.stage {
            Stage::Transaction(queued) if queued.is_large() => queued.held(),
            _ => 0,
        };
        if self.handle.memory() != queued {
            note_bytes(&self.shared, &self.handle, queued);
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
