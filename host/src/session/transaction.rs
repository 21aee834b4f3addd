//! A session between MULTI and EXEC: it queues commands, and runs them together.

use std::{io, sync::Arc, time::Instant};

use auth::identity::{AccessLevel, Identity};
use plugin_engine::{
    call::{Answer, Call, call_alone},
    registry::{Command, LiveRegistry, Registry, Target},
    write::{NotBegun, Transaction},
};
use protocol::{Encoder, Finished, Parsed};

use super::{
    Session, Stage, Step,
    buffers::Buffers,
    dispatch::{Outlet, answer_no_request, answer_unknown, deny, upgrade_protocol},
    memory::note_bytes,
    queued_requests::QueuedRequests,
};
use crate::commands::{
    builtins::{self, InTransaction},
    caller::Caller,
    flow::Flow,
    progress::Progress,
};

/// The number of times that the commands of a transaction are looked up, since a plugin is replaced.
const ATTEMPTS: usize = 100;

/// The error for a command that another host answers, whose plugin takes no turns of this host.
const REMOTE: &[u8] = b"the command is answered by another host, and not allowed inside MULTI";

const FAILED: &[u8] = b"Transaction discarded because of previous errors.";

impl Session {
    /// Queues the client's commands, or runs them at the end of the transaction. Nothing has run if
    /// the session ends before.
    pub(super) fn queue_commands(&mut self, buffers: &mut Buffers) -> io::Result<Step> {
        let Stage::Transaction(mut queued) = std::mem::replace(&mut self.stage, Stage::Commands)
        else {
            return Ok(Step::Next);
        };
        let flow = self.queue_batch(&mut queued, buffers);
        buffers.counters.flush();
        let Some(flow) = flow? else {
            let is_large = buffers.is_large() || queued.is_large();
            self.stage = Stage::Transaction(queued);
            if is_large {
                self.note_memory(buffers);
            }
            self.write(buffers)?;
            return Ok(Step::Last(self.end(buffers)));
        };
        drop(queued);
        if buffers.is_large() {
            self.note_memory(buffers);
        } else {
            self.note_rest();
        }
        if matches!(flow, Flow::Next) { Ok(Step::Next) } else { self.follow(flow, buffers) }
    }

    /// Answers every complete request in the input. Returns the session's next step once the
    /// transaction has ended.
    fn queue_batch(
        &mut self,
        queued: &mut QueuedRequests,
        buffers: &mut Buffers,
    ) -> io::Result<Option<Flow>> {
        if buffers.read_buffer.is_empty() {
            return Ok(None);
        }
        let now = Instant::now();
        self.handle.touch(now);
        buffers.counters.begin_batch(now);
        loop {
            let (consumed, flow) = match buffers.parser.parse(buffers.read_buffer.unread()) {
                Parsed::Incomplete => {
                    self.handle.note_unfinished();
                    return Ok(None);
                }
                Parsed::Request { framing, consumed } => {
                    upgrade_protocol(&mut buffers.replies, framing);
                    (consumed, self.take_request(queued, buffers))
                }
                parsed => {
                    let Self { shared, handle, transport, .. } = self;
                    let Buffers { replies, counters, .. } = buffers;
                    let outlet = Outlet { replies, transport, counters };
                    let (consumed, flow, is_answered) =
                        answer_no_request(parsed, (shared, handle), outlet);
                    if is_answered {
                        // The transaction cannot run any more.
                        queued.fail();
                    }
                    (consumed, (!matches!(flow, Flow::Next)).then_some(flow))
                }
            };
            buffers.read_buffer.consume(consumed);
            let is_ended = self.transport.is_late() || self.handle.is_dismissed();
            let stop = is_ended || self.shared.shutdown.is_overrun();
            if flow.is_some() || buffers.read_buffer.is_empty() || stop {
                return Ok(flow);
            }
            // A client that sends without reading takes at most this limit and one reply.
            if buffers.replies.len() > self.shared.config.bounds.max_backlog {
                buffers.counters.flush();
                note_bytes(&self.shared, &self.handle, buffers.held() + queued.held());
                self.write(buffers)?;
            }
        }
    }

    /// Queues the request at the front of the input, or answers it. Returns the session's next step
    /// if it ends the transaction.
    fn take_request(&mut self, queued: &mut QueuedRequests, buffers: &mut Buffers) -> Option<Flow> {
        let Self { shared, registry, handle, identity, transport, .. } = self;
        let Buffers { read_buffer, parser, replies, counters, .. } = buffers;
        let registry = registry.load();
        let request = parser.request(read_buffer.unread());
        let found = registry.get(request.name());
        if let Some(refusal) = identity.refuse(found.map(|command| command.required_access())) {
            queued.fail();
            deny((shared, handle), &refusal, replies);
            return None;
        }
        let Some(command) = found else {
            queued.fail();
            let place = (&**shared, &**handle);
            let flow = answer_unknown(place, identity, &registry, request.name(), replies);
            return (!matches!(flow, Flow::Next)).then_some(flow);
        };
        let count = request.spans.len() - 1;
        let treated = match &command.target {
            Target::Builtin(number) => builtins::in_transaction(*number, request.get(1)),
            Target::Worker(_) if command.hosts.is_some() => InTransaction::Refused(REMOTE),
            Target::Worker(_) => InTransaction::Queued,
        };
        replies.begin();
        let mut flow = None;
        let mut is_counted = true;
        match treated {
            _ if count < command.least || count > command.most => {
                queued.fail();
                builtins::wrong_arity(command, &request, replies);
            }
            InTransaction::Queued => {
                is_counted = false;
                match queued.push(&request, shared.config.bounds.max_request) {
                    Ok(()) => replies.status("QUEUED"),
                    Err(problem) => replies.error("ERR", problem.as_bytes()),
                }
            }
            InTransaction::Ignored(problem) => replies.error("ERR", problem),
            InTransaction::Refused(problem) => {
                queued.fail();
                replies.error("ERR", problem);
            }
            InTransaction::Discard => {
                replies.ok();
                flow = Some(Flow::Next);
            }
            InTransaction::Runs => {
                if let Target::Builtin(number) = &command.target {
                    let call =
                        |context| Call { input: request.bytes, spans: request.spans, context };
                    let progress = Progress::new(transport, replies.protocol());
                    let (session, registry) = (&**handle, &**registry);
                    let caller = Caller { session, identity, registry, shared, progress };
                    flow = Some(builtins::run(*number, &call(&caller), &caller, replies));
                }
            }
            InTransaction::Exec if queued.is_failed() => {
                replies.error("EXECABORT", FAILED);
                flow = Some(Flow::Next);
            }
            InTransaction::Exec => {
                let command = Arc::clone(command);
                drop(registry);
                self.execute(&command, queued, buffers);
                return Some(Flow::Next);
            }
        }
        handle.count_command();
        let failed = replies.finish() != Finished::Ok;
        if is_counted {
            // One that is queued is counted when it runs.
            counters.count(&command.series, failed);
        }
        flow
    }

    /// Runs a transaction, whose reply has begun.
    fn execute(&mut self, exec: &Arc<Command>, queued: &QueuedRequests, buffers: &mut Buffers) {
        self.handle.note_running(Arc::as_ptr(exec) as usize);
        let mut attempts = 0..ATTEMPTS;
        let is_run = attempts.any(|_| self.try_to_execute(queued, buffers) == Answer::Written);
        self.handle.note_running(0);
        if !is_run {
            let problem = b"the plugins are replaced too often; nothing has run, try again";
            buffers.replies.error("UNAVAILABLE", problem);
        }
        self.handle.count_command();
        let failed = buffers.replies.finish() != Finished::Ok;
        buffers.counters.count(&exec.series, failed);
    }

    /// Runs the requests with the commands that are there now; or runs none, since a plugin has been
    /// replaced.
    fn try_to_execute(&mut self, queued: &QueuedRequests, buffers: &mut Buffers) -> Answer {
        let Self { shared, registry: live, handle, identity, transport, .. } = self;
        let Buffers { replies, counters, .. } = buffers;
        let registry = live.load();
        let commands = match look_up(queued, &registry, identity) {
            Ok(commands) => commands,
            Err(problem) => {
                replies.error("EXECABORT", problem.as_bytes());
                return Answer::Written;
            }
        };
        // Replies that are not sent yet are in front of this one.
        let start = replies.len();
        let progress = Progress::new(transport, replies.protocol());
        let caller = Caller { session: handle, identity, registry: &registry, shared, progress };
        let workers = commands.iter().filter_map(|command| match &command.target {
            Target::Worker(worker) => Some(&**worker),
            Target::Builtin(_) => None,
        });
        let transaction = match Transaction::begin(workers, &caller) {
            Ok(transaction) => transaction,
            Err(NotBegun::Retired) => return Answer::Retired,
            Err(NotBegun::Refused(kind, problem)) => {
                replies.error(kind, problem.as_bytes());
                return Answer::Written;
            }
        };
        replies.list(commands.len());
        let mut element = replies.for_elements();
        let context = transaction.context(&caller);
        for (command, request) in commands.iter().zip(queued.iter()) {
            counters.begin();
            if command.access == AccessLevel::Admin {
                // A built-in that reports the counters must see the calls before it.
                counters.flush();
            }
            replies.begin_element(&mut element);
            let call = Call { input: request.bytes, spans: request.spans, context: &context };
            run(command, &call, (&caller, live), &mut element);
            let failed = replies.finish_element(&mut element) != Finished::Ok;
            counters.count(&command.series, failed);
        }
        if let Err((kind, problem)) = transaction.commit(&caller, start) {
            replies.reset();
            replies.error(kind, problem.as_bytes());
        }
        Answer::Written
    }
}

/// Looks up the commands of all requests, which may have changed since they were queued.
fn look_up<'a>(
    queued: &QueuedRequests,
    registry: &'a Registry,
    identity: &Identity,
) -> Result<Vec<&'a Arc<Command>>, String> {
    let found = |name: &[u8], count: usize| {
        let found = registry.get(name);
        let required = found.map(|command| command.required_access());
        found
            .filter(|command| (command.least..=command.most).contains(&count))
            .filter(|command| command.hosts.is_none())
            .filter(|_| identity.refuse(required).is_none())
    };
    let commands = queued.iter().map(|request| {
        found(request.name(), request.arguments().len()).ok_or_else(|| {
            let name = String::from_utf8_lossy(request.name());
            format!(
                "Transaction discarded because the command '{name}' has changed or is gone since \
                 it was queued."
            )
        })
    });
    commands.collect()
}

/// Runs one command of a transaction, which writes its reply.
fn run(
    command: &Arc<Command>,
    call: &Call<'_>,
    (caller, live): (&Caller<'_>, &LiveRegistry),
    reply: &mut Encoder,
) {
    match &command.target {
        Target::Builtin(number) => {
            if !matches!(builtins::run(*number, call, caller, reply), Flow::Next) {
                // Those that return another one are not queued.
                reply.reset();
                reply.error("ERR", b"the command is not allowed inside MULTI");
            }
        }
        Target::Worker(_) => {
            let mut attempts = 0..ATTEMPTS;
            let mut is_written = run_worker(command, call, caller, reply);
            while !is_written && attempts.next().is_some() {
                // A plugin of which the transaction only reads may be replaced meanwhile.
                let registry = live.load();
                let found = registry.get(command.name.as_bytes());
                let Some(command) = found else { break };
                is_written = run_worker(command, call, caller, reply);
            }
            if !is_written {
                reply.error("ERR", b"the plugin was withdrawn while the transaction ran");
            }
        }
    }
}

/// Calls the worker of a command. Returns true if it has written the reply.
fn run_worker(
    command: &Arc<Command>,
    call: &Call<'_>,
    caller: &Caller<'_>,
    reply: &mut Encoder,
) -> bool {
    let Target::Worker(worker) = &command.target else { return false };
    caller.session.note_running(Arc::as_ptr(command) as usize);
    let answer = call_alone(&**worker, call, reply);
    caller.session.note_running(0);
    answer == Answer::Written
}
