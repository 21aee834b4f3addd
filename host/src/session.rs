//! A client's session: read, parse, look up, call, write. This is the host's only hot path.

use std::{io, sync::Arc, time::Instant};

mod close_reason;
mod dispatch;
mod http;
mod identity;
mod memory;
mod queue;
mod queued_requests;
mod subscriptions;
mod transaction;

pub use self::close_reason::CloseReason;
use auth::identity::Identity;
use platform::Waited;
use plugin_engine::{call::Answer, registry::LiveRegistry};
use protocol::{Encoder, Framing, Parsed, Parser, Protocol};
use telemetry::metrics::SessionCounters;

use self::{
    dispatch::{Outlet, answer, answer_no_request, is_ping_of_redis, upgrade_protocol},
    memory::note_memory,
    queue::{Turn, answer_queue},
    subscriptions::Subscriptions,
};
use crate::{
    commands::flow::Flow,
    net::{
        read_buffer::ReadBuffer,
        stream::{ClientStream, TLS_STARTS},
    },
    runtime::{
        client_handle::{ClientHandle, Dismissal},
        context::Shared,
    },
};

/// The smallest reply limit in force, in bytes: the host's own errors fit into it.
const SMALLEST_BOUND: usize = 1 << 10;

/// A client's session, which runs on its own thread.
pub struct Session {
    shared: Arc<Shared>,
    registry: Arc<LiveRegistry>,
    handle: Arc<ClientHandle>,
    identity: Identity,
    transport: ClientStream,
    read_buffer: ReadBuffer,
    parser: Parser,
    replies: Encoder,
    counters: SessionCounters,
    /// The topics whose events the client gets.
    subscriptions: Subscriptions,
}

impl Session {
    /// Makes a session on a new connection. Fails if the connection is already gone. The session is
    /// boxed to keep the thread's stack, the largest part of an idle session, within two pages.
    pub fn new(
        shared: Arc<Shared>,
        registry: Arc<LiveRegistry>,
        handle: Arc<ClientHandle>,
    ) -> io::Result<Box<Self>> {
        let config = &shared.config;
        let transport = ClientStream::new(Arc::clone(&handle), &config.bounds)?;
        let identity = Identity::of(handle.peer, config.access.trust);
        let parser = Parser::new(config.bounds.limits());
        let (read_buffer, mut replies) = (ReadBuffer::default(), Encoder::new(Protocol::Lines));
        replies.bound(config.bounds.max_reply.max(SMALLEST_BOUND));
        let (counters, subscriptions) = (SessionCounters::new(handle.id), Subscriptions::default());
        let mut session = Box::new(Self {
            shared,
            registry,
            handle,
            identity,
            transport,
            read_buffer,
            parser,
            replies,
            counters,
            subscriptions,
        });
        session.apply_identity()?;
        Ok(session)
    }

    /// Serves the client until the session ends, and returns the reason.
    pub fn run(&mut self) -> CloseReason {
        let reason = self.serve().unwrap_or_else(CloseReason::Lost);
        if matches!(reason, CloseReason::Shutdown) {
            self.replies.notice(self.shared.shutdown.notice());
        }
        if !matches!(reason, CloseReason::Lost(_)) && self.write().is_ok() {
            self.transport.finish();
        }
        reason
    }

    fn serve(&mut self) -> io::Result<CloseReason> {
        if let Some(reason) = self.receive()? {
            return Ok(reason);
        }
        if self.read_buffer.unread().first() == Some(&TLS_STARTS) {
            let received = self.read_buffer.take();
            let config = Arc::clone(&self.shared.certificate.config);
            let deadline = Instant::now() + self.shared.config.access.login_timeout;
            self.transport.secure(config, &received, deadline)?;
            self.identity = self.initial_identity();
        }
        if let Some(reason) = self.first_turns()? {
            return Ok(reason);
        }
        loop {
            if let Some(reason) = self.turn()? {
                return Ok(reason);
            }
        }
    }

    /// Answers the requests that were received, and waits for more input.
    // Inlined into its loops: it is part of the hot path.
    #[inline(always)]
    fn turn(&mut self) -> io::Result<Option<CloseReason>> {
        let flow = self.answer_batch();
        self.counters.flush();
        let flow = flow?;
        let large = self.read_buffer.is_large() || self.replies.is_large();
        if large {
            self.note_memory();
        }
        if !matches!(flow, Flow::Next) {
            return self.follow(flow, large);
        }
        self.write()?;
        if let Some(reason) = self.end() {
            return Ok(Some(reason));
        }
        self.wait(large)
    }

    /// Takes the next step after a request that changes the session.
    #[cold]
    #[inline(never)]
    fn follow(&mut self, flow: Flow, large: bool) -> io::Result<Option<CloseReason>> {
        // The reply to MULTI travels with those behind it.
        let flow = match flow {
            Flow::Queue => match self.queue_commands()? {
                Ok(flow) => flow,
                Err(reason) => return Ok(Some(reason)),
            },
            flow => flow,
        };
        let large = large || self.replies.is_large();
        let is_ended = self.handle.is_dismissed() || self.transport.is_late();
        if matches!(flow, Flow::Next) && !self.read_buffer.is_empty() && !is_ended {
            return Ok(None);
        }
        self.write()?;
        match flow {
            Flow::Next | Flow::Queue => {}
            Flow::Subscribe(topic, subscription) => {
                self.subscriptions.change(topic, subscription);
            }
            Flow::Become(identity) => self.set_identity(*identity)?,
            Flow::Reset => {
                self.subscriptions = Subscriptions::default();
                self.set_identity(self.initial_identity())?;
            }
            Flow::Close => return Ok(Some(CloseReason::ChangeRequest)),
            Flow::Break => return Ok(Some(CloseReason::BrokenProtocol)),
        }
        if let Some(reason) = self.end() {
            return Ok(Some(reason));
        }
        if !self.read_buffer.is_empty() {
            return Ok(None);
        }
        self.wait(large)
    }

    /// Returns the reason for which the host ends the session now; `None` if it does not.
    #[inline(always)]
    fn end(&mut self) -> Option<CloseReason> {
        if self.handle.is_dismissed() {
            return Some(self.close_dismissed());
        }
        self.transport.is_late().then(|| self.evict(CloseReason::NoLogin))
    }

    /// Waits for more input, and pushes events meanwhile.
    #[inline(always)]
    fn wait(&mut self, large: bool) -> io::Result<Option<CloseReason>> {
        if large {
            self.shrink_when_idle();
        }
        if self.subscriptions.subscription().is_some()
            && let Some(reason) = self.push_events()?
        {
            return Ok(Some(reason));
        }
        self.receive()
    }

    /// Waits for more input, and returns the reason if the session ends instead.
    fn receive(&mut self) -> io::Result<Option<CloseReason>> {
        // At shutdown the host closes the reading side, so this read returns the rest of the input
        // and then 0.
        let read = match self.read_buffer.fill(|room| self.transport.read(room)) {
            Err(_) if self.transport.is_late() => {
                return Ok(Some(self.evict(CloseReason::NoLogin)));
            }
            Err(error) if error.kind() == io::ErrorKind::TimedOut && self.transport.is_idle() => {
                return Ok(Some(self.evict(CloseReason::Idle)));
            }
            read => read?,
        };
        if self.handle.is_dismissed() {
            return Ok(Some(self.close_dismissed()));
        }
        let shutdown = &self.shared.shutdown;
        if read == 0 && !shutdown.is_stopping() {
            return Ok(Some(CloseReason::ClosedByClient));
        }
        Ok((read == 0 || shutdown.is_overrun()).then_some(CloseReason::Shutdown))
    }

    /// Answers every complete request in the input, all on one registry. The registry is released
    /// before the next read, so that a waiting session does not delay the unloading of a plugin.
    fn answer_batch(&mut self) -> io::Result<Flow> {
        if self.read_buffer.is_empty() {
            return Ok(Flow::Next);
        }
        let Self {
            shared,
            registry: live_registry,
            handle,
            transport,
            read_buffer,
            parser,
            replies,
            counters,
            ..
        } = self;
        let identity = &self.identity;
        let now = Instant::now();
        handle.touch(now);
        counters.begin_batch(now);
        let mut registry = live_registry.load();
        'requests: loop {
            let (consumed, flow) = match parser.parse(read_buffer.unread()) {
                Parsed::Incomplete => {
                    handle.note_unfinished();
                    return Ok(Flow::Next);
                }
                Parsed::Request { framing, consumed } => {
                    upgrade_protocol(replies, framing);
                    let unread = read_buffer.unread();
                    let is_ping = replies.protocol() == Protocol::Lines
                        && unread.get(..consumed).is_some_and(is_ping_of_redis);
                    if is_ping {
                        replies.set_protocol(Protocol::Resp2);
                    }
                    let request = parser.request(unread);
                    let flow = loop {
                        let outlet = Outlet { replies, transport, counters };
                        match answer(shared, handle, identity, &registry, &request, outlet) {
                            (Answer::Written, flow) => break flow,
                            (Answer::Retired, _) => registry = live_registry.load(),
                            (Answer::Queued, _) => {
                                let outlet = Outlet { replies, transport, counters };
                                let caller = (&**shared, &**handle, identity, &**registry);
                                match answer_queue(caller, parser, read_buffer, outlet)? {
                                    Turn::Next => {}
                                    Turn::Retired => registry = live_registry.load(),
                                    Turn::Last => return Ok(Flow::Next),
                                }
                                continue 'requests;
                            }
                        }
                    };
                    if is_ping {
                        replies.set_protocol(Protocol::Lines);
                    }
                    (consumed, flow)
                }
                parsed => {
                    let outlet = Outlet { replies, transport, counters };
                    let (consumed, flow, _) = answer_no_request(parsed, (shared, handle), outlet);
                    (consumed, flow)
                }
            };
            read_buffer.consume(consumed);
            let late = transport.is_late();
            let stop = late || handle.is_dismissed() || shared.shutdown.is_overrun();
            if !matches!(flow, Flow::Next) || read_buffer.is_empty() || stop {
                return Ok(flow);
            }
            // A client that sends without reading takes at most this limit and one reply.
            if replies.len() > shared.config.bounds.max_backlog {
                counters.flush();
                note_memory(shared, handle, read_buffer, parser, replies);
                transport.write(replies, &shared.shutdown)?;
            }
        }
    }

    /// Pushes events to a subscriber until there is input from it.
    #[cold]
    fn push_events(&mut self) -> io::Result<Option<CloseReason>> {
        let Some(subscription) = self.subscriptions.subscription() else { return Ok(None) };
        // No idle timeout for subscribers of plugin events, which may be rare: they are admins.
        let last_input = (!self.subscriptions.plugins()).then(Instant::now);
        loop {
            self.subscriptions.push(&mut self.replies);
            if !self.replies.is_empty() {
                self.transport.write(&mut self.replies, &self.shared.shutdown)?;
            }
            match self.transport.wait_for_input(subscription.wake_receiver(), last_input) {
                Waited::Input => return Ok(None),
                Waited::Woken => {}
                Waited::TimedOut => return Ok(Some(self.evict(CloseReason::Idle))),
            }
        }
    }

    /// Ends a session that the host has dismissed, and returns the reason.
    fn close_dismissed(&mut self) -> CloseReason {
        let reason = match self.handle.dismissal() {
            Some(Dismissal::Memory) => CloseReason::TooLarge,
            Some(Dismissal::Unfinished) => CloseReason::Unfinished,
            Some(Dismissal::Killed) => CloseReason::Killed,
            Some(Dismissal::Key) | None => CloseReason::Dismissed,
        };
        if self.read_buffer.unread().first() == Some(&b'*') {
            upgrade_protocol(&mut self.replies, Framing::Resp);
        }
        // Memory is freed before the error is written, since the client may read it slowly.
        self.read_buffer = ReadBuffer::default();
        self.parser.shrink();
        self.replies.shrink();
        self.shared.client_memory.note(&self.handle, 0);
        self.evict(reason)
    }

    /// Writes the error reply for a session that the host ends, if there is one.
    fn evict(&mut self, reason: CloseReason) -> CloseReason {
        if let Some((kind, message)) = reason.error_reply(&self.shared.config) {
            self.replies.begin();
            self.replies.error(kind, message.as_bytes());
            self.replies.finish();
        }
        reason
    }

    fn write(&mut self) -> io::Result<()> {
        if self.replies.is_empty() {
            return Ok(());
        }
        self.transport.write(&mut self.replies, &self.shared.shutdown)
    }
}
