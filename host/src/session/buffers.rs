//! The buffers that a session works with during a turn.

use protocol::{Encoder, Parser, Protocol};
use telemetry::metrics::SessionCounters;

use crate::{
    config::Bounds,
    net::{lease::Lease, read_buffer::ReadBuffer},
    runtime::clients::SMALLEST,
};

/// The smallest reply limit in force, in bytes: the host's own errors fit into it.
const SMALLEST_BOUND: usize = 1 << 10;

/// The buffers that a session works with during a turn. A thread that serves one client has one set
/// of them for it; one that serves many lends its set to each of them in turn.
pub struct Buffers {
    pub(super) read_buffer: ReadBuffer,
    pub(super) parser: Parser,
    pub(super) replies: Encoder,
    pub(super) counters: SessionCounters,
    /// The thread's lease of the waiting for other sessions, if it has one.
    pub(super) lease: Option<Box<dyn Lease>>,
}

impl Buffers {
    /// Makes the buffers of a thread that serves this session alone.
    pub(super) fn own(bounds: &Bounds, session: u64) -> Box<Self> {
        Self::new(bounds, session, ReadBuffer::default(), None)
    }

    /// Makes the buffers that the thread of this number lends to many sessions.
    pub fn lent(bounds: &Bounds, thread: u64, lease: Box<dyn Lease>) -> Box<Self> {
        Self::new(bounds, thread, ReadBuffer::for_many(), Some(lease))
    }

    fn new(
        bounds: &Bounds,
        number: u64,
        read_buffer: ReadBuffer,
        lease: Option<Box<dyn Lease>>,
    ) -> Box<Self> {
        let mut replies = Encoder::new(Protocol::Lines);
        replies.bound(bounds.max_reply.max(SMALLEST_BOUND));
        let (parser, counters) = (Parser::new(bounds.limits()), SessionCounters::new(number));
        Box::new(Self { read_buffer, parser, replies, counters, lease })
    }

    /// Returns true if they hold more than an idle session keeps.
    #[inline(always)]
    pub(super) fn is_large(&self) -> bool {
        self.read_buffer.is_large() || self.replies.is_large()
    }

    /// Returns true if so much is in them that it counts for the memory of clients. What a thread
    /// lends may be larger than its session needs.
    pub(super) fn are_full(&self) -> bool {
        self.read_buffer.unread().len() + self.replies.len() > SMALLEST
    }

    /// Returns the bytes of memory that they take.
    pub(super) fn held(&self) -> usize {
        self.read_buffer.held() + self.parser.held() + self.replies.held()
    }

    /// Drops everything that is in them, at the end of a session.
    pub(super) fn clear(&mut self) {
        self.read_buffer.free();
        self.parser.restart();
        self.replies.clear();
        self.counters.flush();
    }

    /// Frees the memory that an idle session does not need.
    pub(super) fn shrink(&mut self) {
        self.read_buffer.shrink();
        self.parser.shrink();
        self.replies.shrink();
    }
}
