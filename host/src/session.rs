//! A client's session: read, parse, look up, call, write. This is the host's only hot path.

use std::{io, sync::Arc, time::Instant};

mod buffers;
mod close_reason;
mod dispatch;
mod http;
mod identity;
mod lent;
mod memory;
mod queue;
mod queued_requests;
mod shared_turn;
mod subscriptions;
mod transaction;

pub use self::close_reason::CloseReason;
use auth::identity::Identity;
use platform::Waited;
use plugin_engine::{call::Answer, registry::LiveRegistry};
use protocol::{Framing, Limits, Parsed, Protocol};

use self::{
    buffers::Buffers,
    dispatch::{Outlet, answer, answer_no_request, is_ping_of_redis, upgrade_protocol},
    http::{Detector, Start},
    lent::Unfinished,
    memory::note_memory,
    queue::{Turn, answer_queue},
    queued_requests::QueuedRequests,
    subscriptions::Subscriptions,
};
pub use self::{lent::Lent, shared_turn::Next};
use crate::{
    commands::flow::Flow,
    net::stream::{ClientStream, TLS_STARTS},
    runtime::{
        client_handle::{ClientHandle, Dismissal},
        context::Shared,
    },
};

/// A client's session. A thread of its own runs it from its start to its end, or threads that serve
/// many sessions serve it in turns.
pub struct Session {
    shared: Arc<Shared>,
    registry: Arc<LiveRegistry>,
    handle: Arc<ClientHandle>,
    identity: Identity,
    transport: ClientStream,
    stage: Stage,
    /// The topics whose events the client gets.
    subscriptions: Subscriptions,
    /// The limits of the client's requests.
    limits: Limits,
    /// The protocol of the replies, while no buffers are at hand.
    protocol: Protocol,
    /// A request that is unfinished while the session rests between turns.
    unfinished: Option<Box<Unfinished>>,
}

/// The way in which a session treats its input.
enum Stage {
    /// Nothing has arrived: the first byte tells whether the client uses TLS.
    Starting,
    /// The first line tells whether the client sends HTTP.
    FirstLine(Detector),
    /// Requests are answered.
    Commands,
    /// Requests are queued until the transaction ends.
    Transaction(Box<QueuedRequests>),
}

/// The session's next action after a step of a turn.
enum Step {
    /// It goes on with the input that is there.
    Next,
    /// The turn ends, and with a reason the session.
    Last(Option<CloseReason>),
}

/// The result of reading.
enum Received {
    Input,
    Nothing,
    End(CloseReason),
}

impl Session {
    /// Makes a session on a new connection. With `is_polled` it is served in turns, else by its own
    /// thread. Fails if the connection is already gone. The session is boxed to keep the
    /// thread's stack, the largest part of an idle session, within two pages.
    pub fn new(
        shared: Arc<Shared>,
        registry: Arc<LiveRegistry>,
        handle: Arc<ClientHandle>,
        is_polled: bool,
    ) -> io::Result<Box<Self>> {
        let config = &shared.config;
        let transport = ClientStream::new(Arc::clone(&handle), &config.bounds, is_polled)?;
        let identity = Identity::of(handle.peer, config.access.trust);
        let limits = config.bounds.limits();
        let mut session = Box::new(Self {
            shared,
            registry,
            handle,
            identity,
            transport,
            stage: Stage::Starting,
            subscriptions: Subscriptions::default(),
            limits,
            protocol: Protocol::Lines,
            unfinished: None,
        });
        session.apply_identity()?;
        if is_polled {
            session.transport.begin_rest(false);
        }
        Ok(session)
    }

    /// Serves the client on this thread until the session ends, and returns the reason.
    pub fn run(&mut self) -> CloseReason {
        let mut buffers = Buffers::own(&self.shared.config.bounds, self.handle.id);
        self.take_up(&mut buffers);
        let reason = self.serve(&mut buffers).unwrap_or_else(CloseReason::Lost);
        self.close(reason, &mut buffers)
    }

    fn serve(&mut self, buffers: &mut Buffers) -> io::Result<CloseReason> {
        loop {
            if let Some(reason) = self.turn::<false>(buffers)? {
                return Ok(reason);
            }
            if buffers.is_large() {
                self.shrink_when_idle(buffers);
            }
            if self.subscriptions.subscription().is_some()
                && let Some(reason) = self.push_events(buffers)?
            {
                return Ok(reason);
            }
        }
    }

    /// Prepares buffers for this session.
    fn take_up(&self, buffers: &mut Buffers) {
        buffers.parser.set_limits(self.limits);
        buffers.replies.set_protocol(self.protocol);
    }

    /// Sends the client what is left, and ends the connection.
    fn close(&mut self, reason: CloseReason, buffers: &mut Buffers) -> CloseReason {
        if matches!(reason, CloseReason::Shutdown) {
            buffers.replies.notice(self.shared.shutdown.notice());
        }
        if !matches!(reason, CloseReason::Lost(_)) && self.write(buffers).is_ok() {
            self.transport.finish();
        }
        reason
    }

    /// Reads what is there, or waits for it, and answers the requests in it. Returns the reason if
    /// the session ends. With `IS_POLLED`, the thread serves other sessions, too.
    // Inlined into its loops: it is part of the hot path.
    #[inline(always)]
    fn turn<const IS_POLLED: bool>(
        &mut self,
        buffers: &mut Buffers,
    ) -> io::Result<Option<CloseReason>> {
        match self.receive(buffers)? {
            Received::Input => {}
            Received::Nothing => return Ok(None),
            Received::End(reason) => return Ok(Some(reason)),
        }
        loop {
            if !matches!(self.stage, Stage::Commands)
                && let Step::Last(reason) = self.begin(buffers)?
            {
                return Ok(reason);
            }
            let flow = self.answer_batch::<IS_POLLED>(buffers);
            buffers.counters.flush();
            let flow = flow?;
            let counts = if IS_POLLED { buffers.are_full() } else { buffers.is_large() };
            if counts {
                self.note_memory(buffers);
            }
            if matches!(flow, Flow::Next) {
                self.write(buffers)?;
                return Ok(self.end(buffers));
            }
            if let Step::Last(reason) = self.follow(flow, buffers)? {
                return Ok(reason);
            }
        }
    }

    /// Treats the input of a session that is not answering commands.
    #[cold]
    #[inline(never)]
    fn begin(&mut self, buffers: &mut Buffers) -> io::Result<Step> {
        if matches!(self.stage, Stage::Starting) {
            self.stage = Stage::FirstLine(Detector::default());
            if buffers.read_buffer.unread().first() == Some(&TLS_STARTS) {
                let received = buffers.read_buffer.take();
                let config = Arc::clone(&self.shared.certificate.config);
                let deadline = Instant::now() + self.shared.config.access.login_timeout;
                self.transport.secure(config, &received, deadline)?;
                self.identity = self.initial_identity();
                return Ok(Step::Last(None));
            }
        }
        match &mut self.stage {
            Stage::Starting | Stage::Commands => {}
            Stage::FirstLine(detector) => match detector.detect(buffers.read_buffer.unread()) {
                // Only blank lines are answered before the first line.
                Start::Undecided => {}
                Start::Http => return Ok(Step::Last(Some(self.refuse_http(buffers)))),
                Start::Commands => self.stage = Stage::Commands,
            },
            Stage::Transaction(_) => return self.queue_commands(buffers),
        }
        Ok(Step::Next)
    }

    /// Takes the next step after a request that changes the session.
    #[cold]
    #[inline(never)]
    fn follow(&mut self, flow: Flow, buffers: &mut Buffers) -> io::Result<Step> {
        if matches!(flow, Flow::Queue) {
            // The reply to MULTI travels with those behind it.
            self.stage = Stage::Transaction(Box::default());
            return Ok(Step::Next);
        }
        let is_ended = self.handle.is_dismissed() || self.transport.is_late();
        if matches!(flow, Flow::Next) && !buffers.read_buffer.is_empty() && !is_ended {
            return Ok(Step::Next);
        }
        self.write(buffers)?;
        match flow {
            Flow::Next | Flow::Queue => {}
            Flow::Subscribe(topic, subscription) => {
                self.subscriptions.change(topic, subscription.map(|boxed| *boxed));
            }
            Flow::Become(identity) => self.set_identity(*identity)?,
            Flow::Reset => {
                self.subscriptions = Subscriptions::default();
                self.set_identity(self.initial_identity())?;
            }
            Flow::Close => return Ok(Step::Last(Some(CloseReason::ChangeRequest))),
            Flow::Break => return Ok(Step::Last(Some(CloseReason::BrokenProtocol))),
        }
        buffers.parser.set_limits(self.limits);
        let reason = self.end(buffers);
        if reason.is_none() && !buffers.read_buffer.is_empty() {
            return Ok(Step::Next);
        }
        Ok(Step::Last(reason))
    }

    /// Returns the reason for which the host ends the session now; `None` if it does not.
    #[inline(always)]
    fn end(&mut self, buffers: &mut Buffers) -> Option<CloseReason> {
        if self.handle.is_dismissed() {
            return Some(self.close_dismissed(buffers));
        }
        self.transport.is_late().then(|| self.evict(CloseReason::NoLogin, buffers))
    }

    /// Reads input.
    fn receive(&mut self, buffers: &mut Buffers) -> io::Result<Received> {
        // At shutdown the host closes the reading side, so this read returns the rest of the input
        // and then 0.
        let read = match buffers.read_buffer.fill(|room| self.transport.read(room)) {
            Err(_) if self.transport.is_late() => {
                return Ok(Received::End(self.evict(CloseReason::NoLogin, buffers)));
            }
            Err(error) if error.kind() == io::ErrorKind::TimedOut && self.transport.is_idle() => {
                return Ok(Received::End(self.evict(CloseReason::Idle, buffers)));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let reason = self.end(buffers);
                return Ok(reason.map_or(Received::Nothing, Received::End));
            }
            read => read?,
        };
        if self.handle.is_dismissed() {
            return Ok(Received::End(self.close_dismissed(buffers)));
        }
        let shutdown = &self.shared.shutdown;
        if read == 0 && !shutdown.is_stopping() {
            return Ok(Received::End(CloseReason::ClosedByClient));
        }
        if read == 0 || shutdown.is_overrun() {
            return Ok(Received::End(CloseReason::Shutdown));
        }
        Ok(Received::Input)
    }

    /// Answers every complete request in the input, all on one registry. The registry is released
    /// before the next read, so that a waiting session does not delay the unloading of a plugin.
    // A function of its own, so that its loop has the registers for itself.
    #[inline(never)]
    fn answer_batch<const IS_POLLED: bool>(&mut self, buffers: &mut Buffers) -> io::Result<Flow> {
        let Buffers { read_buffer, parser, replies, counters, .. } = buffers;
        if read_buffer.is_empty() {
            return Ok(Flow::Next);
        }
        let Self { shared, registry: live_registry, handle, transport, .. } = self;
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
                        match answer::<IS_POLLED>(
                            shared, handle, identity, &registry, &request, outlet,
                        ) {
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
    fn push_events(&mut self, buffers: &mut Buffers) -> io::Result<Option<CloseReason>> {
        let Some(subscription) = self.subscriptions.subscription() else { return Ok(None) };
        // No idle timeout for subscribers of plugin events, which may be rare: they are admins.
        let last_input = (!self.subscriptions.plugins()).then(Instant::now);
        loop {
            self.subscriptions.push(&mut buffers.replies);
            if !buffers.replies.is_empty() {
                self.transport.write(&mut buffers.replies, &self.shared.shutdown)?;
            }
            match self.transport.wait_for_input(subscription.wake_receiver(), last_input) {
                Waited::Input => return Ok(None),
                Waited::Woken => {}
                Waited::TimedOut => return Ok(Some(self.evict(CloseReason::Idle, buffers))),
            }
        }
    }

    /// Ends a session that the host has dismissed, and returns the reason.
    fn close_dismissed(&mut self, buffers: &mut Buffers) -> CloseReason {
        let reason = match self.handle.dismissal() {
            Some(Dismissal::Memory) => CloseReason::TooLarge,
            Some(Dismissal::Unfinished) => CloseReason::Unfinished,
            Some(Dismissal::Killed) => CloseReason::Killed,
            Some(Dismissal::Key) | None => CloseReason::Dismissed,
        };
        let Buffers { read_buffer, parser, replies, .. } = buffers;
        if read_buffer.unread().first() == Some(&b'*') {
            upgrade_protocol(replies, Framing::Resp);
        }
        // Memory is freed before the error is written, since the client may read it slowly.
        read_buffer.free();
        parser.restart();
        parser.shrink();
        replies.shrink();
        self.shared.client_memory.note(&self.handle, 0);
        self.evict(reason, buffers)
    }

    /// Writes the error reply for a session that the host ends, if there is one.
    fn evict(&mut self, reason: CloseReason, buffers: &mut Buffers) -> CloseReason {
        if let Some((kind, message)) = reason.error_reply(&self.shared.config) {
            buffers.replies.begin();
            buffers.replies.error(kind, message.as_bytes());
            buffers.replies.finish();
        }
        reason
    }

    fn write(&mut self, Buffers { replies, .. }: &mut Buffers) -> io::Result<()> {
        if replies.is_empty() {
            return Ok(());
        }
        self.transport.write(replies, &self.shared.shutdown)
    }
}
