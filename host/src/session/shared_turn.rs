//! A turn of a session on a thread that serves many.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use platform::WakeReceiver;

use super::{CloseReason, Session, buffers::Buffers, lent::Lent};

/// The session's next action after a turn.
pub enum Next {
    /// It rests until there is input, an event for it, or its deadline.
    Rest,
    /// It has ended.
    End(CloseReason),
}

impl Session {
    /// Answers the requests that are there, and pushes the events that are there. The session uses
    /// the thread's buffers, and keeps none over its rest unless a request in them is unfinished.
    pub fn take_turn(&mut self, lent: &mut Lent) -> Next {
        if let Some(unfinished) = self.unfinished.take() {
            lent.take_up(unfinished);
        }
        let lease = lent.buffers.lease.take();
        self.transport.set_lease(lease);
        let next = self.turn_with(&mut lent.buffers);
        lent.buffers.lease = self.transport.set_lease(None);
        if matches!(next, Next::Rest) && !lent.buffers.read_buffer.is_empty() {
            let unfinished = lent.leave();
            self.note_unfinished(&unfinished);
            self.unfinished = Some(unfinished);
        } else if self.handle.memory() > 0 {
            self.note_rest();
        }
        lent.tidy();
        next
    }

    fn turn_with(&mut self, buffers: &mut Buffers) -> Next {
        self.take_up(buffers);
        let reason = loop {
            match self.turn::<true>(buffers).and_then(|end| match end {
                None if self.subscriptions.subscription().is_some() => {
                    self.subscriptions.push(&mut buffers.replies);
                    self.write(buffers).map(|()| None)
                }
                end => Ok(end),
            }) {
                // What TLS has read from the socket already is not reported again. No more is read: a
                // client that sends without end must not keep the turn.
                Ok(None) if self.transport.has_input() => self.transport.take_rest(true),
                // Its command may run for long, and then the session has this memory.
                Ok(None) if buffers.read_buffer.is_cut_short() => self.note_memory(buffers),
                Ok(None) => break None,
                Ok(Some(reason)) => break Some(reason),
                Err(error) => break Some(CloseReason::Lost(error)),
            }
        };
        self.transport.take_rest(false);
        self.protocol = buffers.replies.protocol();
        match reason {
            None => {
                self.transport.begin_rest(self.subscriptions.plugins());
                Next::Rest
            }
            Some(reason) => {
                let reason = self.close(reason, buffers);
                buffers.clear();
                Next::End(reason)
            }
        }
    }

    /// Returns the time at which the session needs a turn though nothing arrives; `None` for never.
    pub fn deadline(&self) -> Option<Instant> {
        self.transport.rest_deadline()
    }

    /// Has each turn wait for this time for input. Fails if the connection is gone.
    pub fn set_patience(&mut self, time: Duration) -> io::Result<()> {
        self.transport.set_patience(time)
    }

    /// Returns true if the last turn had input.
    pub fn had_input(&self) -> bool {
        self.transport.has_read()
    }

    /// Waits up to `time` for input.
    pub fn wait_readable(&mut self, time: Duration) {
        self.transport.wait_readable(time);
    }

    /// Returns what is woken when there are events for the session; `None` if it gets none.
    pub fn wake_receiver(&self) -> Option<&Arc<WakeReceiver>> {
        Some(self.subscriptions.subscription()?.wake_receiver())
    }
}
