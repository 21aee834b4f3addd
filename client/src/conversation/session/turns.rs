//! A conversation in turns: who asks waits, and nothing else is done meanwhile.

use std::time::{Duration, Instant};

use super::{LAST_WORDS, Session, Show};
use crate::{
    conversation::event::{Event, Heard, Input},
    error::Error,
    output::progress::Bar,
    reply::Reply,
};

impl Session {
    /// Sends a command and waits for its reply.
    pub fn ask(&mut self, command: &[Vec<u8>], show: Show<'_>) -> Result<Reply, Error> {
        let deadline = self.send(command);
        let mut bar = Bar::new();
        loop {
            match self.hear(deadline)? {
                Some(Heard::Reply(reply)) => return Ok(reply),
                Some(Heard::Push(values)) => bar.take_or(&values, &mut *show),
                Some(Heard::Stray(reply)) => show(&[reply]),
                Some(Heard::Interrupt | Heard::Terminate) => return Err(Error::Interrupted),
                Some(_) => {}
                None => return Err(self.give_up()),
            }
        }
    }

    /// Waits for input while nothing is asked of the server.
    pub fn input(&mut self, show: Show<'_>) -> Result<Input, Error> {
        loop {
            match self.hear(None)? {
                Some(Heard::Input(input)) => return Ok(input),
                Some(Heard::Interrupt | Heard::Terminate) => return Err(Error::Interrupted),
                Some(Heard::Push(values)) => show(&values),
                Some(Heard::Stray(reply)) => show(&[reply]),
                _ => {}
            }
        }
    }

    /// Input that is already on its way, whatever the connection does.
    pub fn input_within(&self, limit: Duration) -> Option<Input> {
        let deadline = Instant::now() + limit;
        loop {
            if let Event::Input(input) = self.events.recv_deadline(deadline).ok()? {
                return Some(input);
            }
        }
    }

    /// Waits for a notice or the end of the connection.
    pub fn await_notice(&mut self, limit: Duration, show: Show<'_>) -> Result<(), Error> {
        let deadline = Instant::now() + limit;
        while self.notice.is_none() {
            match self.hear(Some(deadline)) {
                Err(_) | Ok(None) => return Ok(()),
                Ok(Some(Heard::Push(values))) => show(&values),
                Ok(Some(Heard::Stray(reply))) => show(&[reply]),
                Ok(Some(Heard::Interrupt | Heard::Terminate)) => return Err(Error::Interrupted),
                Ok(Some(_)) => {}
            }
        }
        Ok(())
    }

    /// Waits that long, and hears the server meanwhile.
    pub fn pause(&mut self, length: Duration, show: Show<'_>) -> Result<(), Error> {
        let deadline = Instant::now().checked_add(length);
        while let Some(heard) = self.hear(deadline)? {
            match heard {
                Heard::Interrupt | Heard::Terminate => return Err(Error::Interrupted),
                Heard::Push(values) => show(&values),
                Heard::Stray(reply) => show(&[reply]),
                _ => {}
            }
        }
        Ok(())
    }

    /// Tells the host that this is the end. Nothing that it answers matters any more.
    pub fn close(mut self) {
        self.timeout = Some(LAST_WORDS);
        let _ = self.ask(&[b"close".to_vec()], &mut |_| {});
    }
}
