//! The worker of a command that other hosts answer.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use plugin_engine::call::{Answer, Call, Worker};
use protocol::Encoder;

use super::{
    parts::Parts,
    pending::{News, PendingCall},
};
use crate::{
    envelope::{self, CallHead, Direct, Response},
    node::Node,
    outbox::Outgoing,
    transcode,
};

/// The interval at which a waiting caller looks for a cancellation and for the deadline.
const SLICE: Duration = Duration::from_millis(50);

/// The time that a cancelled call is given to end by itself.
const MERCY: Duration = Duration::from_secs(1);

/// The most hosts that are asked for one call: each may just have lost the command, or, if the
/// command is idempotent, may have ended.
const ATTEMPTS: usize = 5;

/// The error of a reply of which a part has not arrived.
const INCOMPLETE: &str = "a part of the other host's reply was lost; the command has run";

/// The worker of a command that other hosts answer.
pub struct RemoteWorker {
    node: Arc<Node>,
    command: String,
    subject: String,
    /// True if the call may be repeated on another host.
    is_idempotent: bool,
}

/// The reason for which a call has no reply.
enum Failure {
    /// It has not run: the host that got it does not answer the command now.
    Elsewhere,
    /// The host that had it is gone. It may have run.
    Down(String),
    /// An error: its kind and its text.
    Error(&'static str, String),
}

impl RemoteWorker {
    /// Makes the worker of a command.
    pub fn new(node: Arc<Node>, command: &str, is_idempotent: bool) -> Self {
        let subject = node.subjects.call(command);
        Self { node, command: command.to_owned(), subject, is_idempotent }
    }

    /// Asks one host.
    fn ask(&self, call: &Call<'_>, deadline: Instant) -> Result<Bytes, Failure> {
        let node = &self.node;
        if !node.link.is_up() {
            return Err(Failure::Error("UNAVAILABLE", node.link.explain()));
        }
        let payload = envelope::call(&self.head(call), call.words());
        if payload.len() > node.link.limit() {
            let limit = node.link.limit();
            let text = format!(
                "a command of {} bytes is too large for another host: the NATS server takes {limit} \
                 (max_payload)",
                payload.len()
            );
            return Err(Failure::Error("ERR", text));
        }
        let listed = node.pending.begin();
        let message = Outgoing::Call {
            subject: self.subject.clone(),
            payload,
            call: Arc::clone(&listed.call),
        };
        if !node.outbox.try_send(message) {
            let text = "the connection to the fleet's NATS server is too slow, try later";
            return Err(Failure::Error("UNAVAILABLE", text.into()));
        }
        self.receive(call, &listed.call, deadline)
    }

    /// Waits for the reply.
    fn receive(
        &self,
        call: &Call<'_>,
        pending: &PendingCall,
        deadline: Instant,
    ) -> Result<Bytes, Failure> {
        let mut parts = Parts::default();
        // The end of the wait for a call that is cancelled, and the error then.
        let mut cancelled: Option<(Instant, &'static str, String)> = None;
        let mut is_told = false;
        loop {
            match pending.wait(SLICE) {
                Some(News::Response(Response::Reply(reply))) if parts.count() == 0 => {
                    return Ok(reply);
                }
                Some(News::Response(Response::Reply(_))) => {
                    let cancelled = cancelled.map(|(_, kind, text)| Failure::Error(kind, text));
                    return Err(cancelled.unwrap_or_else(|| Failure::Down(INCOMPLETE.to_owned())));
                }
                Some(News::Response(Response::Part { number, is_last, content, .. })) => {
                    let most = self.node.settings.max_reply.saturating_mul(2);
                    if parts.size() + content.len() > most {
                        let text = "the reply of the other host is too large (--max-reply)";
                        return Err(Failure::Error("ERR", text.into()));
                    }
                    if !parts.add(number, &content) {
                        self.cancel(pending, true);
                        return Err(Failure::Down(INCOMPLETE.to_owned()));
                    }
                    if is_last {
                        return Ok(parts.join());
                    }
                    self.acknowledge(pending, parts.count());
                }
                Some(News::Response(Response::Progress(done, total, text))) => {
                    call.context.report_progress(done, total, &text);
                }
                Some(News::Response(Response::Elsewhere)) => return Err(Failure::Elsewhere),
                Some(News::NoHost) => {
                    let text = format!("no host of the fleet answers '{}' now", self.command);
                    return Err(Failure::Error("UNAVAILABLE", text));
                }
                Some(News::Down(text)) => return Err(Failure::Down(text)),
                Some(News::Unsent) => {
                    return Err(Failure::Error("UNAVAILABLE", self.node.link.explain()));
                }
                None => {}
            }
            let now = Instant::now();
            if cancelled.is_none() && now >= deadline {
                let limit = self.node.settings.call_timeout.as_secs_f64();
                let text = format!(
                    "no reply to '{}' from another host within {limit} s (--fleet-call-timeout); it \
                     may have run",
                    self.command
                );
                cancelled = Some((now, "TIMEOUT", text));
            }
            if cancelled.is_none() && call.context.wait_for_cancel(Duration::ZERO) {
                let text = "the command was cancelled".to_owned();
                cancelled = Some((now + MERCY, "CANCELLED", text));
            }
            if let Some((end, kind, text)) = &cancelled {
                is_told = is_told || self.cancel(pending, now >= *end);
                if now >= *end {
                    return Err(Failure::Error(kind, text.clone()));
                }
            }
        }
    }

    /// Tells the host that sends a large reply how many parts have arrived.
    fn acknowledge(&self, pending: &PendingCall, taken: u64) {
        let node = &self.node;
        let message = Direct::Taken(node.id.clone(), pending.number, taken).encode();
        let hosts = pending.host().map_or_else(|| node.members.ids(), |host| vec![host]);
        for host in hosts {
            // A message that is lost holds the reply up until the deadline.
            node.outbox.try_send(Outgoing::plain(node.subjects.host(&host), message.clone()));
        }
    }

    /// Cancels the call at the host that has it. Returns false if that is not known yet; then, if
    /// this is the last attempt, all hosts are told.
    fn cancel(&self, pending: &PendingCall, is_last: bool) -> bool {
        let node = &self.node;
        let cancel = Direct::Cancel(node.id.clone(), pending.number).encode();
        let hosts = match pending.host() {
            Some(host) => vec![host],
            None if is_last => node.members.ids(),
            None => return false,
        };
        for host in hosts {
            // Best effort: the other host cancels a call whose caller it does not hear from.
            node.outbox.try_send(Outgoing::plain(node.subjects.host(&host), cancel.clone()));
        }
        true
    }

    /// Returns the facts about the caller.
    fn head(&self, call: &Call<'_>) -> CallHead {
        let context = call.context;
        let key = context.identity().key().map(|key| key.name.clone()).unwrap_or_default();
        CallHead {
            caller: self.node.id.clone(),
            host: self.node.settings.host.clone(),
            session: context.session_id(),
            peer: context.peer(),
            name: context.session_name(),
            key,
            is_admin: context.identity().is_admin(),
        }
    }
}

impl Worker for RemoteWorker {
    fn call(&self, call: &Call<'_>, reply: &mut Encoder) -> Answer {
        let deadline = Instant::now() + self.node.settings.call_timeout;
        let mut failure = Failure::Elsewhere;
        for _ in 0..ATTEMPTS {
            failure = match self.ask(call, deadline) {
                Ok(bytes) => {
                    if transcode::write(&bytes, reply).is_err() {
                        reply.reset();
                        reply.error("ERR", b"the other host gave a malformed reply");
                    }
                    return Answer::Written;
                }
                Err(failure) => failure,
            };
            let is_safe = match &failure {
                Failure::Elsewhere => true,
                Failure::Down(_) => self.is_idempotent,
                Failure::Error(..) => false,
            };
            if !is_safe || Instant::now() >= deadline {
                break;
            }
        }
        match failure {
            Failure::Elsewhere => {
                let text = format!("no host of the fleet answers '{}' now", self.command);
                reply.error("UNAVAILABLE", text.as_bytes());
            }
            Failure::Down(text) => reply.error("HOSTDOWN", text.as_bytes()),
            Failure::Error(kind, text) => reply.error(kind, text.as_bytes()),
        }
        Answer::Written
    }
}
