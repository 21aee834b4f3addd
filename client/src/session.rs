//! A conversation with the host: one command, one reply, and whatever comes in between.

use crate::access::Access;
use crate::codec::Message;
use crate::config::Target;
use crate::connection::{Closed, Connection, Incoming};
use crate::error::Error;
use crate::reply::Reply;
use crossbeam_channel::{Receiver, Sender, unbounded};
use std::time::{Duration, Instant};

/// How long a server that takes no commands any more may need to say why.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// All that can happen, in the order in which it did.
#[derive(Debug)]
pub enum Event {
    /// From the server.
    Server(Incoming),
    /// From the person, or the file, that gives commands; only comes when asked for.
    Input(Input),
    /// The client shall end.
    Interrupt,
}

/// What asking for a line gives.
#[derive(Debug)]
pub enum Input {
    /// A line, without its end.
    Line(Vec<u8>),
    /// Ctrl-C: forget that line.
    Forget,
    /// There are no more lines.
    End,
    /// Lines cannot be read.
    Failed(std::io::Error),
}

/// Shows what the server says unasked.
pub type Show<'a> = &'a mut dyn FnMut(&[Reply]);

/// An open conversation.
#[derive(Debug)]
pub struct Session {
    connection: Connection,
    events: Receiver<Event>,
    sender: Sender<Event>,
    timeout: Option<Duration>,
    /// The last notice: after one, the end of the connection is no surprise.
    notice: Option<String>,
    /// Replies to commands that were given up.
    late: usize,
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
        let (sender, events) = unbounded();
        let connection =
            Connection::open(target, access, connect_timeout, sender.clone(), Event::Server)?;
        let timeout_of_greeting = Some(connect_timeout);
        let mut session = Self {
            connection,
            events,
            sender,
            timeout: timeout_of_greeting,
            notice: None,
            late: 0,
        };
        session.connection.set_write_timeout(timeout_of_greeting)?;
        let name = session.name().to_owned();
        match session.ask(&access.greeting(), show) {
            Ok(Reply::Error(message)) => {
                let message = String::from_utf8_lossy(&message).into_owned();
                return Err(Error::Refused { name, message });
            }
            Ok(_) => {}
            Err(Error::Timeout { timeout, .. }) => return Err(Error::Silent { name, timeout }),
            Err(Error::Lost { cause, .. }) => {
                return Err(Error::Lost { name, cause, unanswered: None });
            }
            Err(other) => return Err(other),
        }
        session.timeout = timeout;
        session.connection.set_write_timeout(timeout)?;
        Ok(session)
    }

    /// What to call the host.
    pub fn name(&self) -> &str {
        self.connection.name()
    }

    /// Where others put their events.
    pub fn sender(&self) -> Sender<Event> {
        self.sender.clone()
    }

    /// Whether the server said anything unasked.
    pub fn has_notice(&self) -> bool {
        self.notice.is_some()
    }

    /// Sends a command and waits for its reply.
    pub fn ask(&mut self, command: &[Vec<u8>], show: Show<'_>) -> Result<Reply, Error> {
        let started = Instant::now();
        let sent = self.connection.send(command);
        let limit = if sent.is_err() { Some(LAST_WORDS) } else { self.timeout };
        let deadline = limit.and_then(|limit| started.checked_add(limit));
        loop {
            match self.next(deadline) {
                Some(Event::Server(Incoming::Message(Message::Reply(reply)))) => {
                    if self.late == 0 {
                        return Ok(reply);
                    }
                    self.late -= 1;
                }
                Some(Event::Server(Incoming::Message(Message::Push(values)))) => {
                    self.push(&values, show);
                }
                Some(Event::Server(Incoming::Closed(closed))) => {
                    return Err(self.ended(closed, Some(command_name(command))));
                }
                Some(Event::Interrupt) => return Err(Error::Interrupted),
                Some(Event::Input(_)) => {}
                None => break,
            }
        }
        let (name, command) = (self.name().to_owned(), command_name(command));
        Err(match (sent, limit) {
            // A command may be half sent: nothing can follow it.
            (Err(error), _) => {
                Error::Lost { name, cause: error.to_string(), unanswered: Some(command) }
            }
            (Ok(()), limit) => {
                self.late += 1;
                Error::Timeout { name, command, timeout: limit.unwrap_or_default() }
            }
        })
    }

    /// Waits for input while nothing is asked of the server.
    pub fn input(&mut self, show: Show<'_>) -> Result<Input, Error> {
        loop {
            match self.next(None) {
                Some(Event::Input(input)) => return Ok(input),
                Some(Event::Interrupt) => return Err(Error::Interrupted),
                Some(Event::Server(incoming)) => self.unasked(incoming, show)?,
                None => {}
            }
        }
    }

    /// Waits that long, and hears the server meanwhile.
    pub fn pause(&mut self, length: Duration, show: Show<'_>) -> Result<(), Error> {
        let deadline = Instant::now().checked_add(length);
        while let Some(event) = self.next(deadline) {
            match event {
                Event::Server(incoming) => self.unasked(incoming, show)?,
                Event::Interrupt => return Err(Error::Interrupted),
                Event::Input(_) => {}
            }
        }
        Ok(())
    }

    /// Input that is already on its way, whatever the connection does.
    pub fn input_within(&self, limit: Duration) -> Option<Input> {
        let deadline = Instant::now() + limit;
        loop {
            match self.next(Some(deadline))? {
                Event::Input(input) => return Some(input),
                Event::Server(_) | Event::Interrupt => {}
            }
        }
    }

    /// Waits for a notice or the end of the connection.
    pub fn await_notice(&mut self, limit: Duration, show: Show<'_>) -> Result<(), Error> {
        let deadline = Instant::now() + limit;
        while self.notice.is_none() {
            match self.next(Some(deadline)) {
                Some(Event::Server(Incoming::Closed(_))) | None => return Ok(()),
                Some(Event::Server(incoming)) => self.unasked(incoming, show)?,
                Some(Event::Interrupt) => return Err(Error::Interrupted),
                Some(Event::Input(_)) => {}
            }
        }
        Ok(())
    }

    /// Tells the host that this is the end. Nothing that it answers matters any more.
    pub fn close(mut self) {
        self.timeout = Some(LAST_WORDS);
        let _ = self.ask(&[b"close".to_vec()], &mut |_| {});
    }

    fn next(&self, deadline: Option<Instant>) -> Option<Event> {
        match deadline {
            Some(deadline) => self.events.recv_deadline(deadline).ok(),
            // This end holds a sender too: waiting cannot fail.
            None => self.events.recv().ok(),
        }
    }

    fn unasked(&mut self, incoming: Incoming, show: Show<'_>) -> Result<(), Error> {
        match incoming {
            Incoming::Message(Message::Push(values)) => self.push(&values, show),
            Incoming::Message(Message::Reply(_)) if self.late > 0 => self.late -= 1,
            // Before it hangs up, a server may say why in an error that answers nothing.
            Incoming::Message(Message::Reply(reply)) => show(&[reply]),
            Incoming::Closed(closed) => return Err(self.ended(closed, None)),
        }
        Ok(())
    }

    fn push(&mut self, values: &[Reply], show: Show<'_>) {
        if let [Reply::Text(kind), Reply::Text(text)] = values
            && &kind[..] == b"notice"
        {
            self.notice = Some(String::from_utf8_lossy(text).into_owned());
        }
        show(values);
    }

    fn ended(&self, closed: Closed, unanswered: Option<String>) -> Error {
        let name = self.name().to_owned();
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

/// The name alone: arguments may be secrets, or long.
fn command_name(command: &[Vec<u8>]) -> String {
    let name = command.first().map_or(&b""[..], Vec::as_slice);
    String::from_utf8_lossy(&name[..name.len().min(64)]).into_owned()
}
