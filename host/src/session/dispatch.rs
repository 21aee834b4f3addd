//! The dispatch of a request to its command. Each request gets exactly one reply.

use std::{sync::Arc, time::Instant};

use auth::identity::{AccessLevel, Identity, Refusal};
use plugin_engine::{
    call::{Answer, Call},
    registry::{Registry, Target},
};
use protocol::{Encoder, Finished, Framing, Parsed, Protocol, RequestView};
use telemetry::metrics::SessionCounters;

use crate::{
    commands::{builtins, caller::Caller, flow::Flow, progress::Progress},
    net::stream::ClientStream,
    runtime::{client_handle::ClientHandle, context::Shared},
};

/// The answer to a blank line of a person.
const EMPTY: &[u8] = b"empty command, try 'help'";

/// The outputs of a request: replies, early messages and counters.
pub(super) struct Outlet<'a> {
    pub(super) replies: &'a mut Encoder,
    /// Sends progress messages before the worker replies.
    pub(super) transport: &'a mut ClientStream,
    pub(super) counters: &'a mut SessionCounters,
}

/// Answers one request with exactly one reply. With `IS_POLLED`, the thread serves other sessions,
/// too.
// Inlined: its one caller passes nearly all its variables.
#[inline(always)]
pub(super) fn answer<const IS_POLLED: bool>(
    shared: &Shared,
    session: &ClientHandle,
    identity: &Identity,
    registry: &Registry,
    request: &RequestView<'_>,
    Outlet { replies, transport, counters }: Outlet<'_>,
) -> (Answer, Flow) {
    let found = registry.get(request.name());
    if !identity.is_unrestricted()
        && let Some(refusal) = identity.refuse(found.map(|command| command.required_access()))
    {
        deny((shared, session), &refusal, replies);
        return (Answer::Written, Flow::Next);
    }
    let Some(command) = found else {
        let flow = answer_unknown((shared, session), identity, registry, request.name(), replies);
        return (Answer::Written, flow);
    };
    counters.begin();
    replies.begin();
    let count = request.spans.len() - 1;
    let mut flow = Flow::Next;
    if count < command.least || count > command.most {
        builtins::wrong_arity(command, request, replies);
    } else {
        let (input, spans) = (request.bytes, request.spans);
        if IS_POLLED && counters.is_long(&command.series) {
            transport.give_up_lease();
        }
        let progress = Progress::new(transport, replies.protocol());
        let caller = Caller { session, identity, registry, shared, progress };
        let call = Call { input, spans, context: &caller };
        match &command.target {
            Target::Worker(worker) => {
                session.note_running(Arc::as_ptr(command) as usize);
                let answer = worker.call(&call, replies);
                session.note_running(0);
                if answer != Answer::Written {
                    return (answer, Flow::Next);
                }
            }
            Target::Builtin(number) => {
                if command.access == AccessLevel::Admin {
                    // A built-in that reports the counters must see the calls before it.
                    counters.flush();
                }
                flow = builtins::run(*number, &call, &caller, replies);
            }
        }
    }
    session.count_command();
    let failed = replies.finish() != Finished::Ok;
    counters.count(&command.series, failed);
    (Answer::Written, flow)
}

/// Answers bytes that are no request. Returns the number of bytes that they take, the session's next
/// step, and true if there is a reply.
#[cold]
#[inline(never)]
pub(super) fn answer_no_request(
    parsed: Parsed,
    (shared, session): (&Shared, &ClientHandle),
    Outlet { replies, transport, .. }: Outlet<'_>,
) -> (usize, Flow, bool) {
    let (framing, consumed, error) = match parsed {
        // Redis ignores blank lines. A person at a terminal gets an error with a hint.
        Parsed::Empty { framing, consumed } => {
            let is_person = framing == Framing::Line && replies.protocol() == Protocol::Lines;
            if !is_person {
                session.note_finished();
                upgrade_protocol(replies, framing);
                return (consumed, Flow::Next, false);
            }
            (framing, Some(consumed), None)
        }
        Parsed::Invalid { framing, consumed, error } => (framing, Some(consumed), Some(error)),
        Parsed::Broken { framing, error } => (framing, None, Some(error)),
        Parsed::Incomplete | Parsed::Request { .. } => return (0, Flow::Next, false),
    };
    upgrade_protocol(replies, framing);
    transport.count_other_reply();
    match error {
        Some(error) => {
            shared.metrics.malformed.count();
            refuse(replies, |message| error.write_message(message));
        }
        None => refuse(replies, |message| message.extend_from_slice(EMPTY)),
    }
    if consumed.is_some() {
        session.note_finished();
    }
    let flow = if consumed.is_some() { Flow::Next } else { Flow::Break };
    (consumed.unwrap_or_default(), flow, true)
}

/// Writes the error for a command that the client may not run.
#[cold]
pub(super) fn deny(
    (shared, session): (&Shared, &ClientHandle),
    refusal: &Refusal,
    replies: &mut Encoder,
) {
    session.count_command();
    shared.metrics.denied.count();
    replies.begin();
    replies.error(refusal.kind, refusal.message.as_bytes());
    replies.finish();
}

/// Writes the error for a name that is no command.
#[cold]
pub(super) fn answer_unknown(
    (shared, session): (&Shared, &ClientHandle),
    identity: &Identity,
    registry: &Registry,
    name: &[u8],
    replies: &mut Encoder,
) -> Flow {
    session.count_command();
    shared.metrics.unknown.count();
    replies.begin();
    let flow = if is_http(name) {
        replies.error("ERR", b"this is no web server, the connection is closed");
        shared.rejected.warn(Instant::now(), || {
            format!("{} sent an HTTP request, perhaps from a web page", session.peer)
        });
        Flow::Break
    } else {
        builtins::unknown_command(registry, identity, name, replies);
        Flow::Next
    };
    replies.finish();
    flow
}

/// Returns whether the name starts HTTP, as in Redis: a web page can have a browser on a trusted
/// machine send a request, whose body must never be run as commands.
fn is_http(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"post") || name.eq_ignore_ascii_case(b"host:")
}

/// A session that has sent a RESP array gets RESP replies from then on.
pub(super) fn upgrade_protocol(replies: &mut Encoder, framing: Framing) {
    if framing == Framing::Resp && replies.protocol() == Protocol::Lines {
        replies.set_protocol(Protocol::Resp2);
    }
}

/// Returns whether Redis programs expect a RESP reply to this line, whatever the session has sent
/// before: `redis-benchmark` and health checks send it as a connection's first bytes.
pub(super) fn is_ping_of_redis(line: &[u8]) -> bool {
    // People seldom type it in capitals with a CR, and only its own reply is in RESP.
    line == b"PING\r\n"
}

/// Writes an error reply to a request that reached no command.
fn refuse(replies: &mut Encoder, write_message: impl FnOnce(&mut Vec<u8>)) {
    let mut message = Vec::new();
    write_message(&mut message);
    replies.begin();
    replies.error("ERR", &message);
    replies.finish();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_and_a_header_are_http() {
        assert!(is_http(b"POST") && is_http(b"Host:"));
        assert!(!is_http(b"posts") && !is_http(b"host"));
    }
}
