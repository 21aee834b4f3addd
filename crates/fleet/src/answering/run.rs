//! Runs one call of another program, on a thread that may block.

use std::{cell::Cell, sync::Arc};

use async_nats::HeaderMap;
use bytes::Bytes;
use parking_lot::Mutex;
use plugin_engine::{
    call::{Answer, Call, call_alone},
    live::place::in_plugin,
    registry::{Command, Registry, Target},
};
use protocol::{Encoder, Finished, Parsed, Parser, Protocol};
use telemetry::metrics::SessionCounters;

use super::{
    context::{ForeignCaller, identity},
    running::Listed,
};
use crate::{envelope::Response, node::Node, outbox::Outgoing};

/// The number of times that a command is looked up, since its plugin is replaced.
const ATTEMPTS: usize = 100;

/// The reply of a call whose thread has panicked.
const PANICKED: &[u8] = b"-ERR the other host failed while it answered the command\r\n";

/// The longest part of an error in a header, in bytes.
const LONGEST_HEADER: usize = 256;

/// The most bytes of a part of a reply. The parts that are on their way must not hold up what this
/// host tells others meanwhile: over 1 Mbit/s, they take 2 s.
const PART: usize = 32 << 10;

/// The most parts of a reply that are on their way to the caller.
const WINDOW: u64 = 8;

/// A call that waits for a thread.
pub struct Job {
    /// The call.
    pub listed: Listed,
    /// Its request: a RESP array of a host, or a line of arguments.
    pub request: Bytes,
    /// The subject of the reply.
    pub reply: String,
    /// True if a host has sent it.
    pub is_host: bool,
    /// How far it has come.
    pub stage: Cell<Stage>,
    /// This host.
    pub node: Arc<Node>,
}

/// How far a job has come.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Its worker has not been called.
    Waits,
    /// Its worker has been called.
    Runs,
    /// Its reply is on its way.
    Replied,
}

impl Drop for Job {
    /// Ends the call in the list of running calls, behind a reply: without one, the caller would take
    /// it for a call that has not run.
    fn drop(&mut self) {
        let payload = match self.stage.get() {
            Stage::Waits => Some(Response::Elsewhere.encode()),
            // Only after a panic of this crate.
            Stage::Runs => Some(Response::Reply(Bytes::from_static(PANICKED)).encode()),
            Stage::Replied => None,
        };
        if let Some(payload) = payload.filter(|_| self.is_host) {
            // Best effort, since this may be the fleet's own thread.
            self.node.outbox.try_send(Outgoing::plain(self.reply.clone(), payload));
        }
        self.node.running.end(&self.listed);
    }
}

/// Runs a call and sends its reply. The call leaves the list of running calls after its reply is on
/// its way, so that an answer to a ping never comes between.
pub fn run(job: &Job) {
    let node = &job.node;
    let command = &job.listed.call.command;
    let protocol = if job.is_host { Protocol::Resp3 } else { Protocol::Lines };
    let mut reply = Encoder::new(protocol);
    reply.bound(node.settings.max_reply);
    reply.begin();
    let began = std::time::Instant::now();
    if !answer(node, job, &mut reply) {
        send_elsewhere(node, job);
        return job.stage.set(Stage::Replied);
    }
    let failed = reply.finish() != Finished::Ok;
    node.stats.count(command, began.elapsed(), failed.then(|| reply.pending()));
    if job.is_host {
        send_parts(node, job, reply.pending());
    } else {
        send_text(node, &job.reply, reply.pending(), failed);
    }
    job.stage.set(Stage::Replied);
}

/// Writes the reply. Returns false if this host does not answer the command now.
fn answer(node: &Node, job: &Job, reply: &mut Encoder) -> bool {
    let mut parser = Parser::new(node.settings.limits);
    let line;
    let input: &[u8] = if job.is_host {
        &job.request
    } else {
        line = [job.listed.call.command.as_bytes(), b" ", &job.request, b"\n"].concat();
        &line
    };
    match parser.parse(input) {
        Parsed::Request { consumed, .. } if consumed == input.len() => {}
        Parsed::Invalid { error, .. } | Parsed::Broken { error, .. } => {
            let mut message = Vec::new();
            error.write_message(&mut message);
            return refuse(reply, &message);
        }
        _ => return refuse(reply, b"the payload is not one line of arguments"),
    }
    let request = parser.request(input);
    for _ in 0..ATTEMPTS {
        let registry = node.host.registry.load_full();
        let Some(command) = find(&registry, request.name(), job) else { return false };
        let count = request.arguments().len();
        if count < command.least || count > command.most {
            let text = format!(
                "wrong number of arguments for '{}' command, usage: {} {}",
                command.name, command.name, command.usage
            );
            return refuse(reply, text.trim_end().as_bytes());
        }
        let Target::Worker(worker) = &command.target else { return false };
        let context = ForeignCaller {
            call: &job.listed.call,
            identity: identity(&job.listed.call),
            registry: &registry,
            node,
            reply: job.is_host.then_some(job.reply.as_str()),
            records: Mutex::default(),
            reported: Mutex::default(),
        };
        let call = Call { input: request.bytes, spans: request.spans, context: &context };
        let mut counters = SessionCounters::new(context_number(job));
        counters.begin();
        job.stage.set(Stage::Runs);
        // No session runs on this thread: a crash is one of the plugin.
        let plugin = command.plugin.as_deref().unwrap_or_default();
        let run = || call_alone(&**worker, &call, reply);
        if in_plugin(plugin, "call of another host", run) != Answer::Written {
            job.stage.set(Stage::Waits);
            continue;
        }
        // As for a client of this host: the reply leaves when the record is safe.
        let records = context.records.lock();
        if let Some(problem) = records.iter().find_map(|(durable, last)| durable.wait(*last).err())
        {
            reply.reset();
            reply.error("MISCONF", problem.as_bytes());
        }
        counters.count(&command.series, reply.failed());
        return true;
    }
    false
}

fn context_number(job: &Job) -> u64 {
    job.listed.call.head.as_ref().map_or(0, |head| head.session)
}

/// Returns the command of a plugin of this host. Its own commands and those of other hosts are none:
/// so a call is forwarded once at most.
fn find<'a>(registry: &'a Registry, name: &[u8], job: &Job) -> Option<&'a Arc<Command>> {
    let command = registry.get(name)?;
    let is_own = command.plugin.is_some() && command.hosts.is_none();
    (is_own && command.name == job.listed.call.command).then_some(command)
}

fn refuse(reply: &mut Encoder, problem: &[u8]) -> bool {
    reply.error("ERR", problem);
    true
}

/// Tells the caller that the call has not run here.
pub fn send_elsewhere(node: &Node, job: &Job) {
    if job.is_host {
        let payload = Response::Elsewhere.encode();
        node.outbox.send(Outgoing::plain(job.reply.clone(), payload));
    } else {
        send_text(node, &job.reply, b"ERR this host does not answer the command now", true);
    }
}

/// Sends a reply to a host, in parts that NATS takes. A few parts are on the way at a time: the NATS
/// server would disconnect a host that takes them too slowly.
fn send_parts(node: &Node, job: &Job, reply: &[u8]) {
    let send = |response: Response| {
        node.outbox.send(Outgoing::plain(job.reply.clone(), response.encode()));
    };
    let size = node.link.limit().min(PART);
    if reply.len() <= size {
        return send(Response::Reply(Bytes::copy_from_slice(reply)));
    }
    let mut parts = (0..).zip(reply.chunks(size)).peekable();
    while let Some((number, part)) = parts.next() {
        if number >= WINDOW && !job.listed.call.wait_until_taken(number - WINDOW + 1) {
            // The caller is gone, or has given up.
            return send(Response::Reply(Bytes::new()));
        }
        send(Response::Part {
            host: node.id.clone(),
            number,
            is_last: parts.peek().is_none(),
            content: Bytes::copy_from_slice(part),
        });
    }
}

/// Sends a reply to a service client: text, and the headers of the service protocol for an error.
fn send_text(node: &Node, subject: &str, reply: &[u8], failed: bool) {
    let text = reply.strip_suffix(b"\n").unwrap_or(reply);
    let limit = node.link.limit();
    let too_large = format!("ERR the reply is larger than {limit} bytes, which NATS takes");
    let (text, failed) =
        if text.len() > limit { (too_large.as_bytes(), true) } else { (text, failed) };
    let headers = failed.then(|| {
        let mut headers = HeaderMap::new();
        let line = String::from_utf8_lossy(text.get(..LONGEST_HEADER).unwrap_or(text))
            .replace(['\r', '\n'], " ");
        headers.insert("Nats-Service-Error", line.as_str());
        headers.insert("Nats-Service-Error-Code", "500");
        headers
    });
    node.outbox.send(Outgoing::Plain {
        subject: subject.to_owned(),
        reply: None,
        headers,
        payload: Bytes::copy_from_slice(text),
    });
}
