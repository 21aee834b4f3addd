//! One client: read, parse, look up, call, write. The only hot path.

use std::{fmt, io, sync::Arc, time::Duration};

use crate::{
    builtins,
    input::Input,
    news::Subscription,
    platform,
    sessions::SessionEntry,
    shared::Shared,
    shutdown,
    table::{Answer, Call, Flow, LiveTable, Table, Target},
    transport::Transport,
    wire::{Encoder, Framing, Parsed, Parser, Protocol, RequestView},
};

/// Replies beyond this are written before more requests are answered, so that a client that sends
/// without reading holds no more memory than this and one reply. Bytes.
const BACKLOG: usize = 256 << 10;

/// A client that sends nothing for this long has paused.
const IDLE: Duration = Duration::from_millis(100);

const EMPTY: &[u8] = b"empty command, try 'help'";

/// One client's session, on its own thread.
pub struct Session {
    shared: Arc<Shared>,
    table: Arc<LiveTable>,
    entry: Arc<SessionEntry>,
    transport: Transport,
    input: Input,
    parser: Parser,
    replies: Encoder,
    /// Present while the client is told what happens to plugins.
    subscription: Option<Subscription>,
}

/// How a session ended.
#[derive(Debug)]
pub enum End {
    /// The client closed its side.
    ClosedByClient,
    /// The client sent `close`.
    Asked,
    /// The host is ending.
    Shutdown,
    /// What the client sent could not be understood.
    BrokenProtocol,
    /// The connection failed, or the client did not read its replies in time.
    Lost(io::Error),
}

impl Session {
    /// A session on a connection that has just come in.
    ///
    /// # Errors
    /// The system's, where the connection is already gone.
    pub fn new(
        shared: Arc<Shared>,
        table: Arc<LiveTable>,
        entry: Arc<SessionEntry>,
    ) -> io::Result<Self> {
        let config = &shared.config;
        let transport = Transport::new(Arc::clone(&entry), config.keepalive, config.write_timeout)?;
        let parser = Parser::new(config.limits());
        let (input, replies) = (Input::default(), Encoder::new(Protocol::Lines));
        Ok(Self { shared, table, entry, transport, input, parser, replies, subscription: None })
    }

    /// Serves the client until one of the two, or the host, has enough.
    pub fn run(mut self) -> End {
        let end = self.serve().unwrap_or_else(End::Lost);
        if matches!(end, End::Shutdown) {
            self.replies.notice(shutdown::NOTICE);
        }
        if !matches!(end, End::Lost(_)) && self.write().is_ok() {
            self.transport.finish();
        }
        end
    }

    fn serve(&mut self) -> io::Result<End> {
        loop {
            let flow = self.answer_batch()?;
            self.write()?;
            match flow {
                Flow::Next => {}
                Flow::Subscribe(subscription) => {
                    self.subscription = subscription;
                    if !self.input.is_empty() {
                        continue;
                    }
                }
                Flow::Close => return Ok(End::Asked),
                Flow::Break => return Ok(End::BrokenProtocol),
            }
            self.shrink_when_idle();
            self.tell_news()?;
            // The host's end shuts the reading side, so this read returns what the client had
            // sent before, and then 0.
            let read = self.input.fill(|room| self.transport.read(room))?;
            let shutdown = &self.shared.shutdown;
            if read == 0 && !shutdown.is_stopping() {
                return Ok(End::ClosedByClient);
            }
            if read == 0 || shutdown.is_overrun() {
                return Ok(End::Shutdown);
            }
        }
    }

    /// Answers every complete request in the input, all on one table. The table is let go before
    /// the next read: a session that waits for its client holds no plugin back.
    fn answer_batch(&mut self) -> io::Result<Flow> {
        if self.input.is_empty() {
            return Ok(Flow::Next);
        }
        let Self { shared, table: live_table, entry, transport, input, parser, replies, .. } = self;
        entry.touch();
        let mut table = live_table.load();
        loop {
            let (consumed, flow) = match parser.parse(input.unread()) {
                Parsed::Incomplete => return Ok(Flow::Next),
                Parsed::Request { framing, consumed } => {
                    settle(replies, framing);
                    let request = parser.request(input.unread());
                    let flow = loop {
                        match answer(shared, entry, &table, &request, replies) {
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
                    refuse(replies, |message| message.extend_from_slice(EMPTY));
                    (consumed, Flow::Next)
                }
                Parsed::Empty { framing, consumed } => {
                    settle(replies, framing);
                    (consumed, Flow::Next)
                }
                Parsed::Invalid { framing, consumed, error } => {
                    settle(replies, framing);
                    refuse(replies, |message| error.write_message(message));
                    (consumed, Flow::Next)
                }
                Parsed::Broken { framing, error } => {
                    settle(replies, framing);
                    refuse(replies, |message| error.write_message(message));
                    return Ok(Flow::Break);
                }
            };
            input.consume(consumed);
            if !matches!(flow, Flow::Next) || input.is_empty() || shared.shutdown.is_overrun() {
                return Ok(flow);
            }
            if replies.len() > BACKLOG {
                transport.write(replies, &shared.shutdown)?;
            }
        }
    }

    /// Tells a subscriber what happens, until there is something to read from it.
    fn tell_news(&mut self) -> io::Result<()> {
        loop {
            let Some(subscription) = &self.subscription else { return Ok(()) };
            for news in subscription.read() {
                let generation = news.generation.to_string();
                self.replies.push(&[
                    b"plugin",
                    news.event.name().as_bytes(),
                    news.plugin.as_bytes(),
                    generation.as_bytes(),
                    news.detail.as_bytes(),
                ]);
            }
            if !self.replies.is_empty() {
                self.transport.write(&mut self.replies, &self.shared.shutdown)?;
            }
            if platform::wait_for_input(&self.entry.stream, subscription.wake()) {
                return Ok(());
            }
        }
    }

    fn write(&mut self) -> io::Result<()> {
        if self.replies.is_empty() {
            return Ok(());
        }
        self.transport.write(&mut self.replies, &self.shared.shutdown)
    }

    /// Gives memory back that a large request or reply has taken, once the client pauses; a busy
    /// session keeps it, so that it allocates nothing.
    fn shrink_when_idle(&mut self) {
        let large = self.input.is_large() || self.replies.is_large();
        if large && self.input.is_empty() && !platform::wait_readable(&self.entry.stream, IDLE) {
            self.input.shrink();
            self.parser.shrink();
            self.replies.shrink();
        }
    }
}

/// A session that has sent a RESP array gets RESP replies from then on.
fn settle(replies: &mut Encoder, framing: Framing) {
    if framing == Framing::Resp && replies.protocol() == Protocol::Lines {
        replies.set_protocol(Protocol::Resp2);
    }
}

fn refuse(replies: &mut Encoder, write_message: impl FnOnce(&mut Vec<u8>)) {
    let mut message = Vec::new();
    write_message(&mut message);
    replies.begin();
    replies.error("ERR", &message);
    replies.finish();
}

impl fmt::Display for End {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClosedByClient => out.write_str("closed by the client"),
            Self::Asked => out.write_str("the client asked for it"),
            Self::Shutdown => out.write_str("the host is ending"),
            Self::BrokenProtocol => out.write_str("broken protocol"),
            Self::Lost(error) => write!(out, "lost: {error}"),
        }
    }
}

/// Answers one request: one reply, whatever happens.
fn answer(
    shared: &Shared,
    session: &SessionEntry,
    table: &Table,
    request: &RequestView<'_>,
    replies: &mut Encoder,
) -> (Answer, Flow) {
    let Some(command) = table.get(request.name()) else {
        session.count_command();
        replies.begin();
        builtins::unknown_command(table, request.name(), replies);
        replies.finish();
        return (Answer::Given, Flow::Next);
    };
    replies.begin();
    let count = request.spans.len() - 1;
    let mut flow = Flow::Next;
    if count < command.least || count > command.most {
        builtins::wrong_arity(command, replies);
    } else {
        let (input, spans) = (request.bytes, request.spans);
        let call = Call { input, spans, session, table, shared };
        match &command.target {
            Target::Worker(worker) => {
                if worker.call(&call, replies) == Answer::Moved {
                    return (Answer::Moved, Flow::Next);
                }
            }
            Target::Builtin(builtin) => flow = builtin(&call, replies),
        }
    }
    session.count_command();
    replies.finish();
    (Answer::Given, flow)
}
