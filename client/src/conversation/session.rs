//! A conversation with the host: one command, one reply, and whatever comes in between.

mod turns;

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, RecvError, Sender, never, select, unbounded};

use crate::{
    conversation::{
        codec::Message,
        connection::{Closed, Connection, Incoming},
        event::{Event, Heard, InternalRequest},
        route::Route,
    },
    error::Error,
    places::{access::Access, config::Target},
    reply::Reply,
};

/// How long a server that takes no commands any more may need to say why.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Shows what the server says unasked.
pub type Show<'a> = &'a mut dyn FnMut(&[Reply]);

/// What a reply that is still to come answers.
#[derive(Debug, PartialEq, Eq)]
enum PendingReply {
    /// A command, by its name.
    Command(String),
    /// A command that was given up: nobody waits for it.
    Late,
    /// A question of the client's own.
    Internal(InternalRequest),
}

/// An open conversation.
#[derive(Debug)]
pub struct Session {
    connection: Connection,
    server: Receiver<Incoming>,
    events: Receiver<Event>,
    sender: Sender<Event>,
    timeout: Option<Duration>,
    route: Route,
    /// What the server said of itself and of this session.
    greeting: Reply,
    /// The last notice: after one, the end of the connection is no surprise.
    notice: Option<String>,
    pending: VecDeque<PendingReply>,
    /// Why the last command could not be sent whole.
    unsent: Option<String>,
}

impl Session {
    /// Connects and agrees on RESP3.
    pub fn open(
        target: &Target,
        access: &Access,
        connect_timeout: Duration,
        timeout: Option<Duration>,
        show: Show<'_>,
    ) -> Result<Self, Error> {
        let (access, target) = (access.clone(), target.clone());
        Self::over(Route { target, access, connect_timeout, timeout, login: None }, show)
    }

    /// Connects by a way that was taken before.
    pub fn over(route: Route, show: Show<'_>) -> Result<Self, Error> {
        let (sender, events) = unbounded();
        let (incoming, server) = unbounded();
        let connection =
            Connection::open(&route.target, &route.access, route.connect_timeout, incoming)?;
        let timeout = Some(route.connect_timeout);
        let mut session = Self {
            connection,
            server,
            events,
            sender,
            timeout,
            route,
            greeting: Reply::Null,
            notice: None,
            pending: VecDeque::new(),
            unsent: None,
        };
        session.connection.set_write_timeout(timeout)?;
        session.greeting = session.greet(&session.route.access.greeting(), show)?;
        if let Some(login) = session.route.login.clone() {
            session.greet(&login, show)?;
        }
        session.timeout = session.route.timeout;
        session.connection.set_write_timeout(session.timeout)?;
        Ok(session)
    }

    fn greet(&mut self, words: &[Vec<u8>], show: Show<'_>) -> Result<Reply, Error> {
        let name = self.name().to_owned();
        match self.ask(words, show) {
            Ok(Reply::Error(message)) => {
                let message = String::from_utf8_lossy(&message).into_owned();
                Err(Error::Refused { name, message })
            }
            Err(Error::Timeout { timeout, .. }) => Err(Error::Silent { name, timeout }),
            Err(Error::Lost { cause, .. }) => Err(Error::Lost { name, cause, unanswered: None }),
            other => other,
        }
    }

    /// What to call the host.
    pub fn name(&self) -> &str {
        self.connection.name()
    }

    /// The way to the host, for another connection.
    pub fn route(&self) -> &Route {
        &self.route
    }

    /// Has further connections log in with these words, or not.
    pub fn set_login(&mut self, login: Option<Vec<Vec<u8>>>) {
        self.route.login = login;
    }

    /// What the server said of itself and of this session when it was greeted.
    pub fn greeting(&self, key: &str) -> Option<&Reply> {
        let Reply::Map(pairs) = &self.greeting else { return None };
        let is = |reply: &Reply| matches!(reply, Reply::Text(text) if text == key);
        pairs.iter().find(|(found, _)| is(found)).map(|(_, value)| value)
    }

    /// Where others put their events.
    pub fn sender(&self) -> Sender<Event> {
        self.sender.clone()
    }

    /// Whether the server said anything unasked.
    pub fn has_notice(&self) -> bool {
        self.notice.is_some()
    }

    /// Sends a command; its reply is heard until the time that this gives. What fails here is told
    /// by [`hear`](Self::hear), since the server may have said why.
    pub fn send(&mut self, command: &[Vec<u8>]) -> Option<Instant> {
        let started = Instant::now();
        self.pending.push_back(PendingReply::Command(command_name(command)));
        let sent = self.connection.send(command);
        self.unsent = sent.err().map(|error| error.to_string());
        let limit = if self.unsent.is_some() { Some(LAST_WORDS) } else { self.timeout };
        limit.and_then(|limit| started.checked_add(limit))
    }

    /// Asks something of the client's own; the answer is a [`Heard::InternalReply`].
    pub fn send_internal(&mut self, request: InternalRequest) {
        self.pending.push_back(PendingReply::Internal(request));
        // Where it cannot be sent, the connection is over, which is told in its turn.
        let _ = self.connection.send(&request.words());
    }

    /// The reply has not come in time: nobody waits for it any longer.
    pub fn give_up(&mut self) -> Error {
        let name = self.name().to_owned();
        let waiting = self
            .pending
            .iter_mut()
            .rev()
            .find(|pending| matches!(pending, PendingReply::Command(_)));
        let command = match waiting.map(|pending| std::mem::replace(pending, PendingReply::Late)) {
            Some(PendingReply::Command(command)) => command,
            _ => String::new(),
        };
        match self.unsent.take() {
            // A command may be half sent: nothing can follow it.
            Some(cause) => Error::Lost { name, cause, unanswered: Some(command) },
            None => Error::Timeout { name, command, timeout: self.timeout.unwrap_or_default() },
        }
    }

    /// Waits for whatever comes next; `None` when the time is over.
    pub fn hear(&mut self, deadline: Option<Instant>) -> Result<Option<Heard>, Error> {
        loop {
            // What the server has said came first: it may be the reason of the rest.
            let incoming = match self.server.try_recv() {
                Ok(incoming) => incoming,
                Err(_) => match self.next(deadline) {
                    Some(Next::Server(incoming)) => incoming,
                    Some(Next::Event(event)) => return Ok(Some(event.into())),
                    None => return Ok(None),
                },
            };
            match incoming {
                Incoming::Message(Message::Push(values)) => {
                    if let [Reply::Text(kind), Reply::Text(text)] = &values[..]
                        && &kind[..] == b"notice"
                    {
                        self.notice = Some(String::from_utf8_lossy(text).into_owned());
                    }
                    return Ok(Some(Heard::Push(values)));
                }
                Incoming::Message(Message::Reply(reply)) => match self.pending.pop_front() {
                    Some(PendingReply::Late) => {}
                    Some(PendingReply::Command(_)) => return Ok(Some(Heard::Reply(reply))),
                    Some(PendingReply::Internal(request)) => {
                        return Ok(Some(Heard::InternalReply(request, reply)));
                    }
                    // Before it hangs up, a server may say why in an error that answers nothing.
                    None => return Ok(Some(Heard::Stray(reply))),
                },
                Incoming::Closed(closed) => return Err(self.ended(closed)),
            }
        }
    }

    /// What has already happened on the client's side.
    pub fn hear_event(&mut self) -> Option<Heard> {
        self.events.try_recv().ok().map(Heard::from)
    }

    /// Goes on over the connection of another session; what this one waits for stays.
    pub fn adopt(&mut self, other: Self) {
        let Self { connection, server, greeting, notice, pending, .. } = other;
        self.connection = connection;
        self.server = server;
        self.greeting = greeting;
        self.notice = notice;
        self.pending = pending;
        self.unsent = None;
    }

    /// Gives the connection up; nothing more comes from the server.
    pub fn abandon(&mut self) {
        self.connection.hang_up();
        self.server = never();
        self.pending.clear();
    }

    fn next(&self, deadline: Option<Instant>) -> Option<Next> {
        let limit = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        // This end holds a sender of events too, and a server that has ended is never asked again.
        match limit {
            Some(limit) => select! {
                recv(self.server) -> incoming => Some(server(incoming)),
                recv(self.events) -> event => event.ok().map(Next::Event),
                default(limit) => None,
            },
            None => select! {
                recv(self.server) -> incoming => Some(server(incoming)),
                recv(self.events) -> event => event.ok().map(Next::Event),
            },
        }
    }

    fn ended(&mut self, closed: Closed) -> Error {
        self.server = never();
        let name = self.name().to_owned();
        let unanswered = self.pending.drain(..).find_map(|pending| match pending {
            PendingReply::Command(command) => Some(command),
            PendingReply::Late | PendingReply::Internal(_) => None,
        });
        match (closed, &self.notice) {
            (Closed::Nonsense(message), _) => Error::Protocol { name, message },
            (_, Some(notice)) => Error::Ended { name, notice: notice.clone(), unanswered },
            (Closed::End, None) => {
                let cause = "the server closed it without a notice".to_owned();
                Error::Lost { name, cause, unanswered }
            }
            (Closed::Broken(error), None) => {
                Error::Lost { name, cause: error.to_string(), unanswered }
            }
        }
    }
}

enum Next {
    Server(Incoming),
    Event(Event),
}

/// A reader that is gone without a word has read its last.
fn server(incoming: Result<Incoming, RecvError>) -> Next {
    Next::Server(incoming.unwrap_or(Incoming::Closed(Closed::End)))
}

/// The name alone: arguments may be secrets, or long.
fn command_name(command: &[Vec<u8>]) -> String {
    let name = command.first().map_or(&b""[..], Vec::as_slice);
    String::from_utf8_lossy(&name[..name.len().min(64)]).into_owned()
}
