//! Runs the commands of a snapshot or a journal by the plugin's own workers.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use auth::{identity::Identity, trust::Trust};
use plugin_api::{Usage, abi::Span, commands::CommandReader};
use protocol::{Encoder, Protocol};

use crate::{
    call::{Answer, Call, CallContext, CallQueue, Worker},
    facts::{ListedCommand, PluginFacts, SessionFacts},
    live::{generation::Generation, manifest::CommandFacts},
};

/// Runs the commands of a snapshot or a journal by the plugin's own workers.
pub struct Replayer {
    by_name: HashMap<Box<[u8]>, usize>,
    /// Makes the worker of a command that joined the list of the plugin later.
    late: Box<LateWorker>,
    commands: Vec<Replayed>,
    reply: Encoder,
    spans: Vec<Span>,
    context: ReplayContext,
    queue: CallQueue,
    /// The command whose worker takes the queue, and the number of each queued call's record.
    queued: Option<usize>,
    numbers: Vec<u64>,
}

type LateWorker = dyn Fn(&str) -> Option<Box<dyn Worker>> + Send;

struct Replayed {
    worker: Box<dyn Worker>,
    least: usize,
    most: usize,
}

/// The reason for which a command could not be run again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct ReplayError {
    /// The number of its record.
    pub number: u64,
    text: String,
}

impl Replayer {
    /// Makes a replayer for a generation that is not served yet.
    #[must_use]
    pub fn new(generation: &Arc<Generation>) -> Self {
        let worker = |index| Arc::clone(generation.live()).worker(Arc::clone(generation), index);
        let live = Arc::clone(generation.live());
        let late = move |name: &str| live.late_worker(name);
        Self::with(&generation.manifest.commands, worker, late)
    }

    /// Makes a replayer for commands with these workers, by their index, and with those that `late`
    /// makes for other names.
    pub fn with(
        commands: &[CommandFacts],
        worker: impl Fn(u32) -> Box<dyn Worker>,
        late: impl Fn(&str) -> Option<Box<dyn Worker>> + Send + 'static,
    ) -> Self {
        let (mut by_name, mut all) = (HashMap::new(), Vec::new());
        for (facts, index) in commands.iter().zip(0..) {
            let usage = Usage::parse(&facts.usage).unwrap_or_default();
            by_name.insert(facts.name.as_bytes().into(), all.len());
            let most = usage.most().unwrap_or(usize::MAX);
            all.push(Replayed { worker: worker(index), least: usage.least(), most });
        }
        Self {
            by_name,
            late: Box::new(late),
            commands: all,
            reply: Encoder::new(Protocol::Resp2),
            spans: Vec::new(),
            context: ReplayContext {
                identity: Identity::of(ReplayContext::PEER, Trust::All),
                time: 0,
            },
            queue: CallQueue::default(),
            queued: None,
            numbers: Vec::new(),
        }
    }

    /// Runs the commands of a record, in order. Some may wait for [`finish`](Self::finish).
    ///
    /// # Errors
    /// The record is no list of commands, the plugin has no such command, or the command fails: it,
    /// or an earlier one that waited.
    pub fn run(&mut self, number: u64, time: u64, commands: &[u8]) -> Result<(), ReplayError> {
        let (mut reader, mut spans) =
            (CommandReader::new(commands), std::mem::take(&mut self.spans));
        let failed = |text: String| ReplayError { number, text };
        loop {
            let next = reader.next(&mut spans).map_err(|error| failed(error.to_string()))?;
            if next.is_none() {
                break;
            }
            self.call((number, time), commands, &spans)?;
        }
        self.spans = spans;
        Ok(())
    }

    /// Runs the commands that have waited.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn finish(&mut self) -> Result<(), ReplayError> {
        while let Some(command) = self.queued {
            let Self { commands, reply, queue, numbers, context, .. } = self;
            let (mut done, mut failed) = (0, None);
            let lost =
                |number: &u64, text: &str| ReplayError { number: *number, text: text.into() };
            let mut finish = |reply: &mut Encoder| {
                if reply.failed() && failed.is_none() {
                    failed = numbers.get(done).map(|number| lost(number, &take_error(reply)));
                } else {
                    take_error(reply);
                }
                done += 1;
                reply.begin();
            };
            reply.begin();
            let answer = commands
                .get(command)
                .and_then(|command| command.worker.as_queued())
                .map(|worker| worker.run(queue, context, reply, &mut finish));
            take_error(reply);
            if let Some(failed) = failed {
                return Err(failed);
            }
            if answer != Some(Answer::Written) || done == 0 {
                let number = numbers.first().copied().unwrap_or_default();
                return Err(lost(&number, "the plugin was withdrawn"));
            }
            queue.remove_first(done);
            numbers.drain(..done.min(numbers.len()));
            if queue.commands.is_empty() {
                queue.clear();
                self.queued = None;
            }
        }
        Ok(())
    }

    fn call(
        &mut self,
        (number, time): (u64, u64),
        input: &[u8],
        spans: &[Span],
    ) -> Result<(), ReplayError> {
        let failed = |text: String| ReplayError { number, text };
        let name = spans.first().map_or(&[][..], |span| span.part_of(input));
        let found = self.find(name);
        let shown = || String::from_utf8_lossy(name.get(..64).unwrap_or(name)).into_owned();
        let found = found.ok_or_else(|| failed(format!("there is no command '{}'", shown())))?;
        let Replayed { worker, least, most } = &self.commands[found];
        if !(*least..=*most).contains(&(spans.len() - 1)) {
            return Err(failed(format!("'{}' has another number of arguments", shown())));
        }
        self.context.time = time;
        if let Some(queued) = worker.as_queued() {
            let call = Call { input, spans, context: &self.context };
            queued.push(&call, &mut self.queue);
            self.numbers.push(number);
            self.queued.get_or_insert(found);
            return if self.queue.is_full() { self.finish() } else { Ok(()) };
        }
        self.reply.begin();
        let call = Call { input, spans, context: &self.context };
        let answer = worker.call(&call, &mut self.reply);
        let has_failed = self.reply.failed();
        let text = take_error(&mut self.reply);
        match answer {
            Answer::Written if !has_failed => Ok(()),
            Answer::Written => Err(failed(format!("'{}': {text}", shown()))),
            _ => Err(failed("the plugin was withdrawn".into())),
        }
    }

    fn find(&mut self, name: &[u8]) -> Option<usize> {
        if let Some(found) = self.by_name.get(name) {
            return Some(*found);
        }
        let lower = name.to_ascii_lowercase();
        if let Some(found) = self.by_name.get(lower.as_slice()) {
            return Some(*found);
        }
        let worker = (self.late)(std::str::from_utf8(&lower).ok()?)?;
        self.by_name.insert(lower.into(), self.commands.len());
        self.commands.push(Replayed { worker, least: 0, most: usize::MAX });
        Some(self.commands.len() - 1)
    }
}

/// Ends a reply and removes it. Returns its text if it is an error.
fn take_error(reply: &mut Encoder) -> String {
    let has_failed = reply.failed();
    reply.finish();
    let text = match has_failed {
        true => String::from_utf8_lossy(reply.pending()).trim_start_matches('-').trim().to_owned(),
        false => String::new(),
    };
    reply.advance(reply.pending().len());
    text
}

/// The context of a call that is replayed: it has no session.
struct ReplayContext {
    identity: Identity,
    time: u64,
}

impl ReplayContext {
    const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
}

impl CallContext for ReplayContext {
    fn session_id(&self) -> u64 {
        0
    }

    fn peer(&self) -> SocketAddr {
        Self::PEER
    }

    fn session_name(&self) -> String {
        String::new()
    }

    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn commands(&self) -> Vec<ListedCommand> {
        Vec::new()
    }

    fn plugins(&self) -> Vec<PluginFacts> {
        Vec::new()
    }

    /// Never cancelled, and never waits: the time has passed.
    fn wait_for_cancel(&self, _: Duration) -> bool {
        false
    }

    fn sessions(&self) -> Vec<SessionFacts> {
        Vec::new()
    }

    fn report_progress(&self, _: u64, _: u64, _: &str) {}

    fn time_millis(&self) -> u64 {
        self.time
    }
}
