//! One client: read, parse, look up, call, write. The only hot path.

use std::{io, sync::Arc, time::Instant};

mod answer;
mod end;
mod following;
mod http;
mod memory;

pub use self::end::End;
use self::{
    answer::{Outlet, answer, refuse, settle},
    following::Following,
    memory::note_memory,
};
use crate::{
    access::standing::Standing,
    entry::{Dismissal, SessionEntry},
    input::Input,
    metrics::Meter,
    news::Topic,
    platform::Waited,
    shared::Shared,
    table::{Answer, Flow, LiveTable},
    transport::{TLS_STARTS, Transport},
    wire::{Encoder, Framing, Parsed, Parser, Protocol},
};

/// However little a reply may take, the host's own errors fit. Bytes.
const SMALLEST_BOUND: usize = 1 << 10;

const EMPTY: &[u8] = b"empty command, try 'help'";

/// One client's session, on its own thread.
pub struct Session {
    shared: Arc<Shared>,
    table: Arc<LiveTable>,
    entry: Arc<SessionEntry>,
    standing: Standing,
    transport: Transport,
    input: Input,
    parser: Parser,
    replies: Encoder,
    meter: Meter,
    /// What the client is told of unasked.
    following: Following,
}

impl Session {
    /// A session on a connection that has just come in. It is boxed to keep the thread's stack within two
    /// pages, which is most of what an idle session takes.
    ///
    /// # Errors
    /// The system's, where the connection is already gone.
    pub fn new(
        shared: Arc<Shared>,
        table: Arc<LiveTable>,
        entry: Arc<SessionEntry>,
    ) -> io::Result<Box<Self>> {
        let config = &shared.config;
        let transport = Transport::new(Arc::clone(&entry), &config.bounds)?;
        let standing = Standing::of(entry.peer, config.doors.trust);
        let parser = Parser::new(config.bounds.limits());
        let (input, mut replies) = (Input::default(), Encoder::new(Protocol::Lines));
        replies.bound(config.bounds.max_reply.max(SMALLEST_BOUND));
        let (meter, following) = (Meter::new(entry.id), Following::default());
        let mut session = Box::new(Self {
            shared,
            table,
            entry,
            standing,
            transport,
            input,
            parser,
            replies,
            meter,
            following,
        });
        session.hold_to_standing()?;
        Ok(session)
    }

    /// Serves the client until one of the two, or the host, has enough.
    pub fn run(&mut self) -> End {
        let end = self.serve().unwrap_or_else(End::Lost);
        if matches!(end, End::Shutdown) {
            self.replies.notice(self.shared.shutdown.notice());
        }
        if !matches!(end, End::Lost(_)) && self.write().is_ok() {
            self.transport.finish();
        }
        end
    }

    fn serve(&mut self) -> io::Result<End> {
        if let Some(end) = self.receive()? {
            return Ok(end);
        }
        if self.input.unread().first() == Some(&TLS_STARTS) {
            let received = self.input.take();
            let config = Arc::clone(&self.shared.certificate.config);
            let deadline = Instant::now() + self.shared.config.doors.login_timeout;
            self.transport.secure(config, &received, deadline)?;
            self.standing = self.first_standing();
        }
        if let Some(end) = self.first_turns()? {
            return Ok(end);
        }
        loop {
            if let Some(end) = self.turn()? {
                return Ok(end);
            }
        }
    }

    /// Answers what has come, and waits for more.
    // A part of the loop above, not a call in it.
    #[inline(always)]
    fn turn(&mut self) -> io::Result<Option<End>> {
        let flow = self.answer_batch();
        self.meter.flush();
        let flow = flow?;
        let large = self.input.is_large() || self.replies.is_large();
        if large {
            self.note_memory();
        }
        self.write()?;
        let goes_on = matches!(flow, Flow::Next);
        match flow {
            Flow::Next => {}
            Flow::Subscribe(topic, subscription) => {
                self.following.change(topic, subscription);
            }
            Flow::Become(standing) => self.stand(*standing)?,
            Flow::Reset => {
                self.following = Following::default();
                self.stand(self.first_standing())?;
            }
            Flow::Close => return Ok(Some(End::Asked)),
            Flow::Break => return Ok(Some(End::BrokenProtocol)),
        }
        if self.entry.is_dismissed() {
            return Ok(Some(self.dismissed()));
        }
        if self.transport.is_late() {
            return Ok(Some(self.turn_out(End::NoLogin)));
        }
        if !goes_on && !self.input.is_empty() {
            return Ok(None);
        }
        if large {
            self.shrink_when_idle();
        }
        if let Some(end) = self.tell_news()? {
            return Ok(Some(end));
        }
        self.receive()
    }

    /// Waits for more from the client, or for the session's end.
    fn receive(&mut self) -> io::Result<Option<End>> {
        // The host's end shuts the reading side, so this read returns what the client had sent
        // before, and then 0.
        let read = match self.input.fill(|room| self.transport.read(room)) {
            Err(_) if self.transport.is_late() => return Ok(Some(self.turn_out(End::NoLogin))),
            Err(error) if error.kind() == io::ErrorKind::TimedOut && self.transport.is_idle() => {
                return Ok(Some(self.turn_out(End::Idle)));
            }
            read => read?,
        };
        if self.entry.is_dismissed() {
            return Ok(Some(self.dismissed()));
        }
        let shutdown = &self.shared.shutdown;
        if read == 0 && !shutdown.is_stopping() {
            return Ok(Some(End::ClosedByClient));
        }
        Ok((read == 0 || shutdown.is_overrun()).then_some(End::Shutdown))
    }

    /// Answers every complete request in the input, all on one table. The table is let go before
    /// the next read: a session that waits for its client holds no plugin back.
    fn answer_batch(&mut self) -> io::Result<Flow> {
        if self.input.is_empty() {
            return Ok(Flow::Next);
        }
        let Self {
            shared, table: live_table, entry, transport, input, parser, replies, meter, ..
        } = self;
        let standing = &self.standing;
        let now = Instant::now();
        entry.touch(now);
        meter.begin_batch(now);
        let mut table = live_table.load();
        loop {
            let (consumed, flow) = match parser.parse(input.unread()) {
                Parsed::Incomplete => {
                    entry.note_unfinished();
                    return Ok(Flow::Next);
                }
                Parsed::Request { framing, consumed } => {
                    settle(replies, framing);
                    let request = parser.request(input.unread());
                    let flow = loop {
                        let outlet = Outlet { replies, transport, meter };
                        match answer(shared, entry, standing, &table, &request, outlet) {
                            (Answer::Given, flow) => break flow,
                            (Answer::Moved, _) => table = live_table.load(),
                        }
                    };
                    (consumed, flow)
                }
                // Redis passes over blank lines; a person at a terminal gets a word.
                Parsed::Empty { framing: Framing::Line, consumed }
                    if replies.protocol() == Protocol::Lines =>
                {
                    entry.note_finished();
                    refuse(replies, |message| message.extend_from_slice(EMPTY));
                    (consumed, Flow::Next)
                }
                Parsed::Empty { framing, consumed } => {
                    entry.note_finished();
                    settle(replies, framing);
                    (consumed, Flow::Next)
                }
                Parsed::Invalid { framing, consumed, error } => {
                    entry.note_finished();
                    settle(replies, framing);
                    shared.metrics.malformed.count();
                    refuse(replies, |message| error.write_message(message));
                    (consumed, Flow::Next)
                }
                Parsed::Broken { framing, error } => {
                    settle(replies, framing);
                    shared.metrics.malformed.count();
                    refuse(replies, |message| error.write_message(message));
                    return Ok(Flow::Break);
                }
            };
            input.consume(consumed);
            let late = transport.is_late();
            let stop = late || entry.is_dismissed() || shared.shutdown.is_overrun();
            if !matches!(flow, Flow::Next) || input.is_empty() || stop {
                return Ok(flow);
            }
            // So that a client that sends without reading holds no more memory than this and one
            // reply.
            if replies.len() > shared.config.bounds.max_backlog {
                meter.flush();
                note_memory(shared, entry, input, parser, replies);
                transport.write(replies, &shared.shutdown)?;
            }
        }
    }

    /// Tells a subscriber what happens, until there is something to read from it.
    fn tell_news(&mut self) -> io::Result<Option<End>> {
        let Some(subscription) = self.following.subscription() else { return Ok(None) };
        // Who follows plugins waits for what may never come, and may look after the host.
        let heard = (!self.following.plugins()).then(Instant::now);
        loop {
            self.following.tell(&mut self.replies);
            if !self.replies.is_empty() {
                self.transport.write(&mut self.replies, &self.shared.shutdown)?;
            }
            match self.transport.wait_for_input(subscription.wake(), heard) {
                Waited::Input => return Ok(None),
                Waited::Alarm => {}
                Waited::TimedOut => return Ok(Some(self.turn_out(End::Idle))),
            }
        }
    }

    /// What the client may do before it has shown a key.
    fn first_standing(&self) -> Standing {
        Standing::of(self.entry.peer, self.shared.config.doors.trust)
            .over_tls(self.transport.is_secure())
    }

    /// Somebody else from now on, as far as rights go.
    fn stand(&mut self, standing: Standing) -> io::Result<()> {
        self.standing = standing;
        if !self.standing.is_admin() {
            // What happens to plugins is for those who look after the host.
            self.following.change(Topic::Plugins, None);
        }
        let key = self.standing.key().cloned();
        self.entry.hold(key.clone());
        // The key may have gone just before the entry had it.
        if key.is_some_and(|key| !self.shared.keyring.holds(&key)) {
            self.entry.dismiss();
        }
        self.hold_to_standing()
    }

    fn hold_to_standing(&mut self) -> io::Result<()> {
        let config = &self.shared.config;
        if self.standing.is_stranger() {
            self.parser.set_limits(config.bounds.stranger_limits());
            // A stranger that becomes one again, by `RESET`, gets no more time.
            let end = self.transport.deadline();
            let end = end.unwrap_or_else(|| Instant::now() + config.doors.login_timeout);
            self.transport.wait_until(Some(end))
        } else {
            self.parser.set_limits(config.bounds.limits());
            self.transport.wait_until(None)
        }
    }

    /// The end that the host has decided on.
    fn dismissed(&mut self) -> End {
        let end = match self.entry.dismissal() {
            Some(Dismissal::Memory) => End::TooLarge,
            Some(Dismissal::Unfinished) => End::Unfinished,
            Some(Dismissal::Killed) => End::Killed,
            Some(Dismissal::Key) | None => End::Dismissed,
        };
        if self.input.unread().first() == Some(&b'*') {
            settle(&mut self.replies, Framing::Resp);
        }
        // Before the last words, which a client may be slow to read.
        self.input = Input::default();
        self.parser.shrink();
        self.replies.shrink();
        self.shared.client_memory.note(&self.entry, 0);
        self.turn_out(end)
    }

    /// The last words to a client that the host does not serve any longer.
    fn turn_out(&mut self, end: End) -> End {
        if let Some((kind, message)) = end.last_words(&self.shared.config) {
            self.replies.begin();
            self.replies.error(kind, message.as_bytes());
            self.replies.finish();
        }
        end
    }

    fn write(&mut self) -> io::Result<()> {
        if self.replies.is_empty() {
            return Ok(());
        }
        self.transport.write(&mut self.replies, &self.shared.shutdown)
    }
}
