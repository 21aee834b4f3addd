//! One call of a command, as the worker behind it gets it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use auth::identity::Identity;
use plugin_api::abi::Span;
use protocol::Encoder;

use crate::{
    facts::{ListedCommand, PluginFacts, SessionFacts},
    state::durable::Durable,
    write::{Transaction, WriteOrder},
};

/// Answers one command.
pub trait Worker: Send + Sync {
    /// Writes one reply; or writes nothing and returns [`Retired`](Answer::Retired) or
    /// [`Queued`](Answer::Queued).
    fn call(&self, call: &Call<'_>, reply: &mut Encoder) -> Answer;

    /// Returns the same worker for calls that are queued; `None` if it answers each by itself.
    fn as_queued(&self) -> Option<&dyn QueuedWorker> {
        None
    }

    /// Returns the order in which it takes its turn; `None` if its command does not write.
    fn order(&self) -> Option<&Arc<WriteOrder>> {
        None
    }

    /// Waits until a call need not wait for the start of a process.
    ///
    /// # Errors
    /// It does not start soon; the text is for people.
    fn wait_until_ready(&self) -> Result<(), String> {
        Ok(())
    }

    /// Returns true if a call need not wait for the start of a process.
    fn is_ready(&self) -> bool {
        true
    }
}

/// Answers one command, and calls of one session that follow each other together: a process is
/// then woken once for all of them.
pub trait QueuedWorker: Send + Sync {
    /// Returns a number that is the same for workers whose calls can be in one queue.
    fn queue_id(&self) -> usize;

    /// Appends a call to the queue.
    fn push(&self, call: &Call<'_>, queue: &mut CallQueue);

    /// Answers all calls of the queue in order, and calls `finish` when a reply is complete.
    /// Or answers none and returns [`Retired`](Answer::Retired).
    fn run(
        &self,
        queue: &CallQueue,
        context: &dyn CallContext,
        reply: &mut Encoder,
        finish: &mut dyn FnMut(&mut Encoder),
    ) -> Answer;
}

/// Calls a worker. One that takes queues gets a queue of one.
pub fn call_alone(worker: &dyn Worker, call: &Call<'_>, reply: &mut Encoder) -> Answer {
    match (worker.call(call, reply), worker.as_queued()) {
        (Answer::Queued, Some(queued)) => {
            let mut queue = CallQueue::default();
            queued.push(call, &mut queue);
            queued.run(&queue, call.context, reply, &mut |_| {})
        }
        (answer, _) => answer,
    }
}

/// Calls of one session that a process answers together.
#[derive(Debug, Default)]
pub struct CallQueue {
    /// The calls, in the form in which they are sent.
    pub bytes: Vec<u8>,
    /// The index of each call's command.
    pub commands: Vec<u32>,
    /// Of commands that write: the time and the record of each.
    pub records: Vec<(u64, Vec<u8>)>,
}

impl CallQueue {
    /// The most calls that are queued.
    pub const MOST: usize = 128;

    /// The number of bytes from which no further call is queued.
    pub const FULL: usize = 4 << 10;

    /// Returns true if no further call should be queued.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.commands.len() >= Self::MOST || self.bytes.len() >= Self::FULL
    }

    /// Removes the first calls, which have been answered.
    pub fn remove_first(&mut self, calls: usize) {
        let mut rest = self.bytes.as_slice();
        for _ in 0..calls {
            let Some((length, behind)) = rest.split_first_chunk() else { break };
            rest = behind.get(u32::from_le_bytes(*length) as usize..).unwrap_or_default();
        }
        self.bytes.drain(..self.bytes.len() - rest.len());
        self.commands.drain(..calls.min(self.commands.len()));
        self.records.drain(..calls.min(self.records.len()));
    }

    /// Removes all calls.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(64 << 10);
        self.commands.clear();
        self.records.clear();
    }
}

/// The result of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The reply is written.
    Written,
    /// The worker has been replaced or withdrawn: the caller looks the command up again.
    Retired,
    /// Nothing has happened: the call is to be queued, with those behind it.
    Queued,
}

/// One call: a command with its arguments, and the session that sent it.
pub struct Call<'a> {
    /// The bytes that the spans refer to.
    pub input: &'a [u8],
    /// The command's name and its arguments.
    pub spans: &'a [Span],
    /// The session that waits for the reply.
    pub context: &'a dyn CallContext,
}

/// The session behind a call, as far as a worker may know it.
pub trait CallContext: Sync {
    /// Returns the session's number.
    fn session_id(&self) -> u64;
    /// Returns the client's address.
    fn peer(&self) -> SocketAddr;
    /// Returns the name that the client gave its session; empty where it gave none.
    fn session_name(&self) -> String;
    /// Returns the identity that the session acts as.
    fn identity(&self) -> &Identity;
    /// Returns the commands that the session may run, by name.
    fn commands(&self) -> Vec<ListedCommand>;
    /// Returns the served plugins that have commands which the session may run.
    fn plugins(&self) -> Vec<PluginFacts>;
    /// Waits up to `time` for the call to be cancelled, and returns whether it is: by another
    /// session, by a client that is gone, or by the host's end.
    fn wait_for_cancel(&self, time: Duration) -> bool;
    /// Returns the sessions that this one may know of.
    fn sessions(&self) -> Vec<SessionFacts>;
    /// Reports to the client how far the command is; `total` is 0 where it is not known.
    fn report_progress(&self, done: u64, total: u64, text: &str);
    /// Returns the time of the call, in milliseconds since 1970; 0 for the present time.
    fn time_millis(&self) -> u64 {
        0
    }
    /// Notes that a call may hold its reply back, which begins at this offset of the replies. Only
    /// the first one since replies were sent last counts.
    fn hold_from(&self, _start: usize) {}
    /// Holds the replies back until this record is safe.
    fn hold(&self, _durable: &Arc<Durable>, _record: u64) {}
    /// Returns the transaction that the call is a part of.
    fn transaction(&self) -> Option<&Transaction> {
        None
    }
}

impl<'a> Call<'a> {
    /// Returns an argument, counted from 0 without the command's name.
    #[must_use]
    pub fn argument(&self, index: usize) -> Option<&'a [u8]> {
        self.spans.get(index + 1).map(|span| span.part_of(self.input))
    }

    /// Returns all arguments.
    pub fn arguments(&self) -> impl Iterator<Item = &'a [u8]> {
        self.words().skip(1)
    }

    /// Returns the command's name and all arguments.
    pub fn words(&self) -> impl Iterator<Item = &'a [u8]> + Clone {
        let input = self.input;
        self.spans.iter().map(move |span| span.part_of(input))
    }
}
