//! A connection that has greeted its host: requests go out, and replies find their requests.

use std::{
    collections::VecDeque,
    fmt,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, RecvTimeoutError, never, unbounded};

use crate::{
    conversation::{
        codec::Message,
        internal_request::InternalRequest,
        transport::{CloseCause, Incoming, Transport},
    },
    error::{Error, LossCause},
    places::{place::Target, security::Security},
    reply::Reply,
};

/// The time for a host to explain why it accepts no more commands.
pub const EXPLANATION_TIMEOUT: Duration = Duration::from_secs(2);

/// A function that shows messages that no command asked for.
pub type PushHandler<'a> = &'a mut dyn FnMut(&[Reply]);

/// Everything that is needed to connect, once or again.
#[derive(Clone)]
pub struct ConnectOptions {
    /// The host names or addresses, and the port.
    pub target: Target,
    /// The protection of the connection.
    pub security: Security,
    /// The time limit for each address, and for the reply to the greeting.
    pub connect_timeout: Duration,
    /// The time limit for each reply.
    pub timeout: Option<Duration>,
    /// The command with which the person has logged in.
    pub login: Option<Vec<Vec<u8>>>,
}

impl fmt::Debug for ConnectOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The other fields have secrets.
        f.debug_struct("ConnectOptions").field("target", &self.target).finish_non_exhaustive()
    }
}

/// The request of a reply that has not arrived yet.
#[derive(Debug, PartialEq, Eq)]
enum PendingReply {
    /// A command of this name.
    Command(String),
    /// A command whose reply came too late to be of use.
    TimedOut,
    /// A request of the client itself.
    Internal(InternalRequest),
}

/// A message of the host together with its request.
#[derive(Debug)]
pub enum Received {
    /// The reply to the person's command.
    Reply(Reply),
    /// The reply to a request of the client itself.
    InternalReply(InternalRequest, Reply),
    /// A push message.
    Push(Vec<Reply>),
    /// An error or another reply without a request.
    Unrequested(Reply),
}

/// An open connection on which both sides speak RESP3.
#[derive(Debug)]
pub struct Connection {
    transport: Transport,
    incoming: Receiver<Incoming>,
    /// The reply to `HELLO`: facts about the host and this session.
    greeting: Reply,
    /// The last notice, which explains the end of the connection.
    notice: Option<String>,
    /// An error without a request; as the last message, it explains the end of the connection.
    farewell: Option<String>,
    pending: VecDeque<PendingReply>,
    /// The error that kept the last command from being sent.
    send_error: Option<std::io::Error>,
    timeout: Option<Duration>,
}

impl Connection {
    /// Connects, selects RESP3 and logs in.
    pub fn open(options: &ConnectOptions, on_push: PushHandler<'_>) -> Result<Self, Error> {
        let (sender, incoming) = unbounded();
        let transport =
            Transport::open(&options.target, &options.security, options.connect_timeout, sender)?;
        let mut connection = Self {
            transport,
            incoming,
            greeting: Reply::Null,
            notice: None,
            farewell: None,
            pending: VecDeque::new(),
            send_error: None,
            timeout: None,
        };
        connection.set_timeout(Some(options.connect_timeout))?;
        connection.greeting = connection.greet(&hello(&options.security), on_push)?;
        if let Some(login) = &options.login {
            connection.greet(login, on_push)?;
        }
        connection.set_timeout(options.timeout)?;
        Ok(connection)
    }

    fn set_timeout(&mut self, timeout: Option<Duration>) -> Result<(), Error> {
        self.timeout = timeout;
        self.transport.set_write_timeout(timeout)
    }

    fn greet(&mut self, words: &[Vec<u8>], on_push: PushHandler<'_>) -> Result<Reply, Error> {
        let name = self.name().to_owned();
        match self.call(words, on_push) {
            Ok(Reply::Error(message)) => {
                let message = String::from_utf8_lossy(&message).into_owned();
                Err(Error::Refused { name, message })
            }
            Err(Error::Timeout { timeout, .. }) => Err(Error::NoGreeting { name, timeout }),
            Err(Error::Lost { source, .. }) => Err(Error::Lost { name, source, unanswered: None }),
            other => other,
        }
    }

    /// Returns the name of the host in messages.
    pub fn name(&self) -> &str {
        self.transport.name()
    }

    /// Returns a field of the reply to `HELLO`.
    pub fn greeting(&self, key: &str) -> Option<&Reply> {
        let Reply::Map(pairs) = &self.greeting else { return None };
        let is_key = |reply: &Reply| matches!(reply, Reply::Text(text) if text == key);
        pairs.iter().find(|(found, _)| is_key(found)).map(|(_, value)| value)
    }

    /// Returns true when the host has sent a notice.
    pub fn has_notice(&self) -> bool {
        self.notice.is_some()
    }

    /// Returns the channel of the reading thread.
    pub fn incoming(&self) -> &Receiver<Incoming> {
        &self.incoming
    }

    /// Sends a command and waits for its reply.
    pub fn call(&mut self, command: &[Vec<u8>], on_push: PushHandler<'_>) -> Result<Reply, Error> {
        let deadline = self.send(command);
        loop {
            let incoming = match deadline {
                Some(deadline) => self.incoming.recv_deadline(deadline),
                None => self.incoming.recv().map_err(RecvTimeoutError::from),
            };
            let incoming = match incoming {
                Ok(incoming) => incoming,
                Err(RecvTimeoutError::Timeout) => return Err(self.expire_command()),
                Err(RecvTimeoutError::Disconnected) => Incoming::Closed(CloseCause::Eof),
            };
            match self.accept(incoming)? {
                Some(Received::Reply(reply)) => return Ok(reply),
                Some(Received::Push(values)) => on_push(&values),
                Some(Received::Unrequested(reply)) => on_push(&[reply]),
                Some(Received::InternalReply(..)) | None => {}
            }
        }
    }

    /// Sends a command and returns the deadline of its reply.
    ///
    /// A failure is reported when the connection ends, since the host may have sent the cause.
    pub fn send(&mut self, command: &[Vec<u8>]) -> Option<Instant> {
        let started = Instant::now();
        self.pending.push_back(PendingReply::Command(command_name(command)));
        self.send_error = self.transport.send(command).err();
        let limit =
            if self.send_error.is_some() { Some(EXPLANATION_TIMEOUT) } else { self.timeout };
        limit.and_then(|limit| started.checked_add(limit))
    }

    /// Sends a request of the client itself; [`Received::InternalReply`] answers it.
    pub fn send_internal(&mut self, request: InternalRequest) {
        self.pending.push_back(PendingReply::Internal(request));
        // A failure means that the connection has ended, which the reading thread reports.
        let _ = self.transport.send(&request.words());
    }

    /// Sends `close` and waits for its reply.
    pub fn send_close(mut self) {
        self.timeout = Some(EXPLANATION_TIMEOUT);
        let _ = self.call(&[b"close".to_vec()], &mut |_| {});
    }

    /// Gives up waiting for the reply to the last command and returns the error.
    pub fn expire_command(&mut self) -> Error {
        let name = self.name().to_owned();
        let last_command = self
            .pending
            .iter_mut()
            .rev()
            .find(|pending| matches!(pending, PendingReply::Command(_)));
        let expired =
            last_command.map(|pending| std::mem::replace(pending, PendingReply::TimedOut));
        let command = match expired {
            Some(PendingReply::Command(command)) => command,
            _ => String::new(),
        };
        match self.send_error.take() {
            // A part of the command may be sent: nothing can follow it.
            Some(error) => {
                Error::Lost { name, source: LossCause::Io(error), unanswered: Some(command) }
            }
            None => Error::Timeout { name, command, timeout: self.timeout.unwrap_or_default() },
        }
    }

    /// Matches a message with its request; `None` for a reply that came too late.
    pub fn accept(&mut self, incoming: Incoming) -> Result<Option<Received>, Error> {
        let farewell = self.farewell.take();
        let reply = match incoming {
            Incoming::Message(Message::Reply(reply)) => reply,
            Incoming::Message(Message::Push(values)) => {
                if let [Reply::Text(kind), Reply::Text(text)] = &values[..]
                    && &kind[..] == b"notice"
                {
                    self.notice = Some(String::from_utf8_lossy(text).into_owned());
                }
                return Ok(Some(Received::Push(values)));
            }
            Incoming::Closed(cause) => return Err(self.ended(cause, farewell)),
        };
        Ok(match self.pending.pop_front() {
            Some(PendingReply::Command(_)) => Some(Received::Reply(reply)),
            Some(PendingReply::TimedOut) => None,
            Some(PendingReply::Internal(request)) => Some(Received::InternalReply(request, reply)),
            None => {
                if let Reply::Error(message) = &reply {
                    let message = message.strip_prefix(b"ERR ").unwrap_or(message);
                    self.farewell = Some(String::from_utf8_lossy(message).into_owned());
                }
                Some(Received::Unrequested(reply))
            }
        })
    }

    /// Closes the connection and drops all that the host still sends.
    pub fn abandon(&mut self) {
        self.transport.close();
        self.incoming = never();
        self.pending.clear();
    }

    fn ended(&mut self, cause: CloseCause, farewell: Option<String>) -> Error {
        self.incoming = never();
        let name = self.name().to_owned();
        let unanswered = self.pending.drain(..).find_map(|pending| match pending {
            PendingReply::Command(command) => Some(command),
            PendingReply::TimedOut | PendingReply::Internal(_) => None,
        });
        match (cause, self.notice.clone(), farewell) {
            (CloseCause::Protocol(error), ..) => Error::Protocol { name, source: error.into() },
            (_, Some(notice), _) => Error::ClosedWithNotice { name, notice, unanswered },
            (_, None, Some(message)) => Error::Evicted { name, message, unanswered },
            (CloseCause::Eof, ..) => Error::Lost { name, source: LossCause::Eof, unanswered },
            (CloseCause::Io(error), ..) => Error::Lost { name, source: error.into(), unanswered },
        }
    }
}

/// Returns the first command, which selects RESP3 and logs in.
fn hello(security: &Security) -> Vec<Vec<u8>> {
    let mut words = vec![b"HELLO".to_vec(), b"3".to_vec()];
    if let Some(key) = &security.key {
        words.extend([b"AUTH".to_vec(), b"default".to_vec(), key.clone()]);
    }
    words
}

/// Returns the name alone, since arguments can be secret or long.
fn command_name(command: &[Vec<u8>]) -> String {
    let name = command.first().map_or(&b""[..], Vec::as_slice);
    String::from_utf8_lossy(&name[..name.len().min(64)]).into_owned()
}
