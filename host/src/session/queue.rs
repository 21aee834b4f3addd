//! Answers requests that follow each other together, if one process answers them all.

use std::{io, sync::Arc};

use auth::identity::Identity;
use plugin_engine::{
    call::{Answer, Call, CallQueue, QueuedWorker},
    registry::{Command, Registry, Target},
};
use protocol::{Encoder, Finished, Framing, Parsed, Parser, Protocol};

use super::{dispatch::Outlet, memory::note_memory};
use crate::{
    commands::{caller::Caller, progress::Progress},
    net::read_buffer::ReadBuffer,
    runtime::{client_handle::ClientHandle, context::Shared},
};

/// The next step of a session that has answered a queue.
pub(super) enum Turn {
    /// There is more input.
    Next,
    /// The plugin has been replaced, and nothing is answered: the command is looked up again.
    Retired,
    /// There is none, or the session is to end.
    Last,
}

/// Answers the request at the front of the input, and those behind it that the same process answers,
/// with one reply each.
#[cold]
#[inline(never)]
pub(super) fn answer_queue(
    caller: (&Shared, &ClientHandle, &Identity, &Registry),
    parser: &mut Parser,
    read_buffer: &mut ReadBuffer,
    Outlet { replies, transport, counters }: Outlet<'_>,
) -> io::Result<Turn> {
    let outlet = Outlet { replies, transport, counters };
    let Some(consumed) = answer(caller, parser, read_buffer.unread(), outlet) else {
        return Ok(Turn::Retired);
    };
    read_buffer.consume(consumed);
    let (shared, session, ..) = caller;
    let stop = transport.is_late() || session.is_dismissed() || shared.shutdown.is_overrun();
    if read_buffer.is_empty() || stop {
        return Ok(Turn::Last);
    }
    if replies.len() > shared.config.bounds.max_backlog {
        counters.flush();
        note_memory(shared, session, read_buffer, parser, replies);
        transport.write(replies, &shared.shutdown)?;
    }
    Ok(Turn::Next)
}

/// Answers the requests at the front of `unread`. Returns the number of bytes that they take; `None`
/// if the plugin has been replaced, and nothing is answered.
fn answer(
    (shared, session, identity, registry): (&Shared, &ClientHandle, &Identity, &Registry),
    parser: &mut Parser,
    unread: &[u8],
    Outlet { replies, transport, counters }: Outlet<'_>,
) -> Option<usize> {
    let progress = Progress::new(transport, replies.protocol());
    let caller = Caller { session, identity, registry, shared, progress };
    let mut queue = CallQueue::default();
    let mut commands: Vec<&Arc<Command>> = Vec::new();
    let mut first: Option<&dyn QueuedWorker> = None;
    let (mut consumed, mut lengths) = (0, Vec::new());
    while !queue.is_full()
        && let Some(rest) = unread.get(consumed..)
        && let Parsed::Request { framing, consumed: length } = parser.parse(rest)
    {
        if !commands.is_empty() && changes_protocol(replies, framing) {
            break;
        }
        let request = parser.request(rest);
        let Some((command, worker)) = queued(registry, identity, &request) else { break };
        if first.is_some_and(|first| first.queue_id() != worker.queue_id()) {
            break;
        }
        let call = Call { input: request.bytes, spans: request.spans, context: &caller };
        worker.push(&call, &mut queue);
        commands.push(command);
        first.get_or_insert(worker);
        lengths.push(length);
        consumed += length;
    }
    let mut finished = 0;
    let mut left = commands.iter();
    let running = commands.first().map_or(0, |command| Arc::as_ptr(command) as usize);
    session.note_running(running);
    replies.begin();
    let mut finish = |replies: &mut Encoder| {
        let failed = replies.finish() != Finished::Ok;
        session.count_command();
        finished += 1;
        if let Some(command) = left.next() {
            counters.count(&command.series, failed);
        }
        if left.len() > 0 {
            counters.begin();
            replies.begin();
        }
    };
    let answer = first.map(|worker| worker.run(&queue, &caller, replies, &mut finish));
    session.note_running(0);
    if finished < lengths.len() {
        // It has read requests that are not answered yet.
        parser.restart();
    }
    let answered = lengths.iter().take(finished).sum();
    (answer == Some(Answer::Written) && finished > 0).then_some(answered)
}

/// Returns a request's command and its worker, if the request is to be queued.
fn queued<'a>(
    registry: &'a Registry,
    identity: &Identity,
    request: &protocol::RequestView<'_>,
) -> Option<(&'a Arc<Command>, &'a dyn QueuedWorker)> {
    let command = registry.get(request.name())?;
    let Target::Worker(worker) = &command.target else { return None };
    let worker = worker.as_queued()?;
    let count = request.spans.len() - 1;
    let is_allowed =
        identity.is_unrestricted() || identity.refuse(Some(command.required_access())).is_none();
    let fits = (command.least..=command.most).contains(&count);
    (is_allowed && fits).then_some((command, worker))
}

/// Returns true if a request of this framing changes the protocol of the replies.
fn changes_protocol(replies: &Encoder, framing: Framing) -> bool {
    framing == Framing::Resp && replies.protocol() == Protocol::Lines
}
