//! A session: the connection to the host, and the events on the client's own side.

use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvError, Sender, select, unbounded};

use crate::{
    conversation::{
        cancel::cancel,
        cancel_request::CancelRequest,
        connection::{ConnectOptions, Connection, PushHandler, Received},
        event::{Input, LocalEvent},
        internal_request::InternalRequest,
        reconnect::reconnect,
        transport::{CloseCause, Incoming},
    },
    error::Error,
    reply::Reply,
};

/// The words that end a session.
const CLOSE_WORDS: [&str; 3] = ["close", "quit", "exit"];

/// An event of either side.
#[derive(Debug)]
pub enum SessionEvent {
    /// The host has sent a message.
    Received(Received),
    /// Something has happened on the client's own side.
    Local(LocalEvent),
}

/// An open session.
#[derive(Debug)]
pub struct Session {
    connection: Connection,
    options: ConnectOptions,
    events: Receiver<LocalEvent>,
    sender: Sender<LocalEvent>,
}

impl Session {
    /// Connects to the host.
    pub fn open(options: ConnectOptions, on_push: PushHandler<'_>) -> Result<Self, Error> {
        let connection = Connection::open(&options, on_push)?;
        let (sender, events) = unbounded();
        Ok(Self { connection, options, events, sender })
    }

    /// Returns the name of the host in messages.
    pub fn name(&self) -> &str {
        self.connection.name()
    }

    /// Returns a field of the reply to the greeting.
    pub fn greeting(&self, key: &str) -> Option<&Reply> {
        self.connection.greeting(key)
    }

    /// Returns true when the host has sent a notice.
    pub fn has_notice(&self) -> bool {
        self.connection.has_notice()
    }

    /// Returns the time limit for connecting.
    pub fn connect_timeout(&self) -> Duration {
        self.options.connect_timeout
    }

    /// Sets the command with which further connections log in.
    pub fn set_login(&mut self, login: Option<Vec<Vec<u8>>>) {
        self.options.login = login;
    }

    /// Returns the sender of local events.
    pub fn sender(&self) -> Sender<LocalEvent> {
        self.sender.clone()
    }

    /// Connects again in the background; [`LocalEvent::Reconnected`] reports the result.
    pub fn reconnect(&self) -> Result<(), Error> {
        reconnect(self.options.clone(), self.sender())
    }

    /// Continues over another connection; input that was asked for stays pending.
    pub fn replace_connection(&mut self, connection: Connection) {
        self.connection = connection;
    }

    /// Asks the host in the background to cancel the command of the session with this number.
    pub fn cancel(&self, session: i64) -> Result<CancelRequest, Error> {
        cancel(self.options.clone(), session, self.sender())
    }

    /// Sends a command and returns the deadline of its reply.
    pub fn send(&mut self, command: &[Vec<u8>]) -> Option<Instant> {
        self.connection.send(command)
    }

    /// Sends a request of the client itself.
    pub fn send_internal(&mut self, request: InternalRequest) {
        self.connection.send_internal(request);
    }

    /// Gives up waiting for the reply to the last command and returns the error.
    pub fn expire_command(&mut self) -> Error {
        self.connection.expire_command()
    }

    /// Closes the connection and drops all that the host still sends.
    pub fn abandon(&mut self) {
        self.connection.abandon();
    }

    /// Ends the session in an orderly way.
    pub fn close(self) {
        self.connection.send_close();
    }

    /// Waits for the next event; `None` at the deadline.
    pub fn next_event(&mut self, deadline: Option<Instant>) -> Result<Option<SessionEvent>, Error> {
        loop {
            // Messages of the host come first: they can explain the other events.
            let incoming = match self.connection.incoming().try_recv() {
                Ok(incoming) => incoming,
                Err(_) => match self.wait(deadline) {
                    Some(Arrival::Host(incoming)) => incoming,
                    Some(Arrival::Local(event)) => return Ok(Some(SessionEvent::Local(event))),
                    None => return Ok(None),
                },
            };
            if let Some(received) = self.connection.accept(incoming)? {
                return Ok(Some(SessionEvent::Received(received)));
            }
        }
    }

    /// Returns the next local event that has already happened.
    pub fn try_local_event(&mut self) -> Option<LocalEvent> {
        self.events.try_recv().ok()
    }

    fn wait(&self, deadline: Option<Instant>) -> Option<Arrival> {
        let limit = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        // The session has a sender of events itself, so that their channel stays open.
        match limit {
            Some(limit) => select! {
                recv(self.connection.incoming()) -> incoming => Some(Arrival::of_host(incoming)),
                recv(self.events) -> event => event.ok().map(Arrival::Local),
                default(limit) => None,
            },
            None => select! {
                recv(self.connection.incoming()) -> incoming => Some(Arrival::of_host(incoming)),
                recv(self.events) -> event => event.ok().map(Arrival::Local),
            },
        }
    }
}

/// Waiting for one thing at a time, for scripts.
impl Session {
    /// Sends a command and waits for its reply.
    pub fn call(&mut self, command: &[Vec<u8>], on_push: PushHandler<'_>) -> Result<Reply, Error> {
        let deadline = self.send(command);
        loop {
            let Some(event) = self.next_event(deadline)? else { return Err(self.expire_command()) };
            if let Some(SessionEvent::Received(Received::Reply(reply))) =
                filter_event(event, on_push)?
            {
                return Ok(reply);
            }
        }
    }

    /// Waits for the input that was asked for.
    pub fn wait_for_input(&mut self, on_push: PushHandler<'_>) -> Result<Input, Error> {
        loop {
            let Some(event) = self.next_event(None)? else { continue };
            if let Some(SessionEvent::Local(LocalEvent::Input(input))) =
                filter_event(event, on_push)?
            {
                return Ok(input);
            }
        }
    }

    /// Waits for the input that was asked for, and ignores the connection.
    pub fn input_within(&self, limit: Duration) -> Option<Input> {
        let deadline = Instant::now() + limit;
        loop {
            if let LocalEvent::Input(input) = self.events.recv_deadline(deadline).ok()? {
                return Some(input);
            }
        }
    }

    /// Waits for a notice or the end of the connection.
    pub fn wait_for_notice(
        &mut self,
        limit: Duration,
        on_push: PushHandler<'_>,
    ) -> Result<(), Error> {
        let deadline = Instant::now() + limit;
        while !self.has_notice() {
            match self.next_event(Some(deadline)) {
                Ok(Some(event)) => drop(filter_event(event, on_push)?),
                Ok(None) | Err(_) => return Ok(()),
            }
        }
        Ok(())
    }

    /// Waits for this time and shows messages of the host meanwhile.
    pub fn pause(&mut self, length: Duration, on_push: PushHandler<'_>) -> Result<(), Error> {
        let deadline = Instant::now().checked_add(length);
        while let Some(event) = self.next_event(deadline)? {
            filter_event(event, on_push)?;
        }
        Ok(())
    }
}

/// Returns true for a command that only ends the session.
pub fn is_close_command(command: &[Vec<u8>]) -> bool {
    let [name] = command else { return false };
    CLOSE_WORDS.iter().any(|word| name.eq_ignore_ascii_case(word.as_bytes()))
}

/// Shows a push and fails on an interrupt; returns any other event.
fn filter_event(
    event: SessionEvent,
    on_push: PushHandler<'_>,
) -> Result<Option<SessionEvent>, Error> {
    match event {
        SessionEvent::Local(LocalEvent::Interrupt | LocalEvent::Terminate) => {
            return Err(Error::Interrupted);
        }
        SessionEvent::Received(Received::Push(values)) => on_push(&values),
        SessionEvent::Received(Received::Unrequested(reply)) => on_push(&[reply]),
        event => return Ok(Some(event)),
    }
    Ok(None)
}

/// A delivery of one of the two channels.
enum Arrival {
    Host(Incoming),
    Local(LocalEvent),
}

impl Arrival {
    /// Returns the message; a reading thread that has ended counts as a closed connection.
    fn of_host(incoming: Result<Incoming, RecvError>) -> Self {
        Self::Host(incoming.unwrap_or(Incoming::Closed(CloseCause::Eof)))
    }
}
