//! A plugin whose workers run in processes of their own.

use std::{
    cell::Cell,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use protocol::Encoder;

use super::{
    core::Core,
    native::queue,
    protocol::{CallWatch, Failed, Hello, Lost},
    revived_worker::RevivedWorker,
    running::Running,
    serving::Serving,
    status::ProcessStatus,
    supervisor::{Supervisor, Unavailable},
};
use crate::{
    call::{Answer, Call, CallContext, CallQueue, QueuedWorker, Worker},
    live::{gate::Gate, generation::Generation, manifest::CommandFacts, plugin::Plugin},
    load_error::Refusal,
};

/// A plugin whose workers run in processes of their own.
pub struct ProcessPlugin {
    gate: Gate,
    core: Arc<Core>,
    supervisors: Vec<Arc<Supervisor>>,
    next: AtomicUsize,
    saves: bool,
    streams: bool,
    configures: bool,
    /// The process that the last stream was begun on.
    stream: Mutex<Weak<Serving>>,
    /// True if a process answers several calls together.
    has_queues: bool,
    /// True once it is ended; its lock makes sure that this happens once.
    ended: Mutex<bool>,
}

impl ProcessPlugin {
    /// Starts the processes of a plugin. Ends early if `give_up` returns true.
    ///
    /// # Errors
    /// The reason for which it must not be served.
    pub fn start(
        core: Arc<Core>,
        give_up: &dyn Fn() -> bool,
    ) -> Result<(Arc<Self>, Hello), Refusal> {
        let (first, hello) = Supervisor::start(Arc::clone(&core), give_up)?;
        let mut plugin = Self {
            gate: Gate::default(),
            supervisors: vec![first],
            next: AtomicUsize::new(0),
            saves: hello.saves,
            streams: hello.streams,
            configures: hello.configures,
            stream: Mutex::default(),
            has_queues: hello.has_queues,
            ended: Mutex::new(false),
            core,
        };
        let core = &plugin.core;
        let _ = (core.manifest.set(hello.manifest.clone()), core.saves.set(hello.saves));
        let processes = plugin.core.settings.processes.max(1);
        if processes > 1 && hello.saves {
            return Err(Refusal::Create {
                error: format!(
                    "it keeps state, which {processes} processes cannot share; set `processes = 1`"
                ),
            });
        }
        for _ in 1..processes {
            let (another, found) = Supervisor::start(Arc::clone(&plugin.core), give_up)?;
            plugin.supervisors.push(another);
            plugin.core.check_same(&found.manifest)?;
        }
        Ok((Arc::new(plugin), hello))
    }

    /// Returns the process that serves now, for a call that has its turn among those which write.
    fn serving_now(&self) -> Result<Arc<Serving>, Unavailable> {
        let mut serving = self.supervisors.iter().filter_map(|supervisor| supervisor.current());
        serving.next().ok_or_else(|| {
            let mut reasons = self.supervisors.iter().filter_map(|one| one.unavailable());
            let starting = || format!("plugin '{}' is starting", self.core.name());
            Unavailable(reasons.next().unwrap_or_else(starting))
        })
    }

    /// Returns a process for a call.
    fn serving(&self) -> Result<Arc<Serving>, Unavailable> {
        let patience = self.core.context.settings.probe_timeout;
        let [only] = self.supervisors.as_slice() else { return self.any_serving(patience) };
        only.serving(patience)
    }

    /// Returns one of several processes: the next one that serves.
    fn any_serving(&self, patience: Duration) -> Result<Arc<Serving>, Unavailable> {
        let count = self.supervisors.len();
        let first = self.next.fetch_add(1, Ordering::Relaxed) % count;
        let turns = || self.supervisors.iter().cycle().skip(first).take(count);
        if let Some(serving) = turns().find_map(|supervisor| supervisor.current()) {
            return Ok(serving);
        }
        // One that starts is better than one that does not.
        let starting = turns().find(|supervisor| supervisor.is_soon());
        starting.unwrap_or(&self.supervisors[first]).serving(patience)
    }

    /// Calls a worker, which writes the reply; waits while the gate is closed.
    fn call(&self, command: (u32, &str), call: &Call<'_>, reply: &mut Encoder) -> Answer {
        let Some(_guard) = self.gate.enter() else { return Answer::Retired };
        let has_turn = has_turn(call.context);
        let serving = match if has_turn { self.serving_now() } else { self.serving() } {
            Ok(serving) => serving,
            Err(Unavailable(problem)) => {
                reply.error("UNAVAILABLE", problem.as_bytes());
                return Answer::Written;
            }
        };
        let running: &Running = &serving.running;
        // Kept until the cause of an end is known: that names the running commands.
        let _noted = running.begin(command);
        // A state is saved beside the call when the host ends.
        let shutdown = (!self.saves).then_some(&*self.core.context.shutdown);
        let mut watch = CallWatch::new(running, self.core.settings.call_timeout, shutdown);
        if let Err(lost) = serving.protocol.call(command, call, reply, &mut watch) {
            let kind = if matches!(lost, Lost::Unable(_)) { "UNAVAILABLE" } else { "CRASHED" };
            let text = serving.settle(lost);
            reply.reset();
            reply.error(kind, format!("plugin '{}': {text}", self.core.name()).as_bytes());
        }
        Answer::Written
    }

    /// Answers the calls of a queue; waits while the gate is closed.
    fn run(
        &self,
        (queue, generation): (&CallQueue, &Generation),
        context: &dyn CallContext,
        reply: &mut Encoder,
        finish: &mut dyn FnMut(&mut Encoder),
    ) -> Answer {
        let Some(_guard) = self.gate.enter() else { return Answer::Retired };
        let done = Cell::new(0_usize);
        let mut finish = |reply: &mut Encoder| {
            done.set(done.get() + 1);
            if reply.failed() {
                generation.count_error();
            }
            finish(reply);
        };
        let has_turn = has_turn(context) || !queue.records.is_empty();
        let serving = if has_turn { self.serving_now() } else { self.serving() };
        let (kind, problem) = match serving {
            Err(Unavailable(problem)) => ("UNAVAILABLE", problem),
            Ok(serving) => {
                match self.run_on(&serving, (queue, generation), context, reply, &mut finish) {
                    Ok(()) => {
                        // The gate has counted the first.
                        generation.count_queued(done.get().saturating_sub(1) as u64);
                        return Answer::Written;
                    }
                    Err(failed) => failed,
                }
            }
        };
        for _ in done.get()..queue.commands.len() {
            reply.reset();
            reply.error(kind, problem.as_bytes());
            finish(reply);
        }
        Answer::Written
    }

    /// Answers the calls of a queue by this process. Returns the kind and the text of the error for
    /// those that have no reply.
    fn run_on(
        &self,
        serving: &Serving,
        (queue, generation): (&CallQueue, &Generation),
        context: &dyn CallContext,
        reply: &mut Encoder,
        finish: &mut dyn FnMut(&mut Encoder),
    ) -> Result<(), (&'static str, String)> {
        let running: &Running = &serving.running;
        let noted = |index: u32| {
            let command = generation.manifest.commands.get(index as usize)?;
            Some(running.begin((index, command.name.as_str())))
        };
        // Those without a reply are noted until the cause of an end is known: which of them runs,
        // only the process knows.
        let (first, others) = queue.commands.split_first().unwrap_or((&0, &[]));
        let _first = noted(*first);
        let mut names: Vec<_> = others.iter().filter(|other| *other != first).collect();
        names.sort_unstable();
        names.dedup();
        let _others: Vec<_> = names.into_iter().map(|index| noted(*index)).collect();
        // A state is saved beside the call when the host ends.
        let shutdown = (!self.saves).then_some(&*self.core.context.shutdown);
        let mut watch = CallWatch::new(running, self.core.settings.call_timeout, shutdown);
        let run = serving.protocol.run(queue, context, reply, finish, &mut watch);
        run.map_err(|lost| {
            let kind = if matches!(lost, Lost::Unable(_)) { "UNAVAILABLE" } else { "CRASHED" };
            (kind, format!("plugin '{}': {}", self.core.name(), serving.settle(lost)))
        })
    }

    /// Runs an operation other than a call on the first process.
    fn operate<T>(
        &self,
        operation: impl FnOnce(&Serving) -> Result<T, Failed>,
    ) -> Result<T, String> {
        // The manager may have the turn of the commands that write.
        let serving = self.serving_now().map_err(|Unavailable(problem)| problem)?;
        operation(&serving).map_err(|failed| serving.explain(failed))
    }
}

impl Plugin for ProcessPlugin {
    fn gate(&self) -> &Gate {
        &self.gate
    }

    fn worker(self: Arc<Self>, generation: Arc<Generation>, index: u32) -> Box<dyn Worker> {
        self.core.number.store(generation.number, Ordering::Relaxed);
        // The first one: all have the same.
        let _ = self.core.order.set(Arc::clone(&generation.order));
        self.supervisors.iter().for_each(|supervisor| supervisor.arm());
        Box::new(ProcessWorker { plugin: self, generation, index })
    }

    fn saves(&self) -> bool {
        self.saves
    }

    fn save(&self) -> Result<Option<Vec<u8>>, String> {
        self.operate(|serving| serving.protocol.save(&serving.running))
    }

    fn restore(&self, state: &[u8]) -> Result<(), String> {
        self.operate(|serving| serving.protocol.restore(state, &serving.running))
    }

    fn streams(&self) -> bool {
        self.streams
    }

    fn stream_begin(&self) -> Result<(), String> {
        let serving = self.serving_now().map_err(|Unavailable(problem)| problem)?;
        let begun = serving.protocol.stream_begin(&serving.running);
        begun.map_err(|failed| serving.explain(failed))?;
        *self.stream.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(&serving);
        Ok(())
    }

    fn stream_next(&self) -> Result<Option<Vec<u8>>, String> {
        // Another process knows nothing of the stream.
        let begun = self.stream.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
        let serving = begun.filter(|serving| !serving.running.is_over());
        let serving = serving.ok_or("its process has ended meanwhile")?;
        let next = serving.protocol.stream_next(&serving.running);
        next.map_err(|failed| serving.explain(failed))
    }

    fn stream_end(&self) {
        if let Some(serving) = self.supervisors.iter().find_map(|one| one.current()) {
            serving.protocol.stream_end(&serving.running);
        }
    }

    fn configures(&self) -> bool {
        self.configures
    }

    fn configure(&self, text: &str) -> Result<(), String> {
        for supervisor in &self.supervisors {
            let patience = self.core.context.settings.probe_timeout;
            let serving = supervisor.serving(patience).map_err(|Unavailable(problem)| problem)?;
            let configured = serving.protocol.configure(text, &serving.running);
            configured.map_err(|failed| serving.explain(failed))?;
        }
        let mut kept = self.core.configuration.lock().unwrap_or_else(PoisonError::into_inner);
        *kept = Some(text.to_owned());
        Ok(())
    }

    fn end(&self) -> bool {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        if *ended {
            return true;
        }
        if !self.gate.is_drained() {
            return false;
        }
        *ended = true;
        // All at once, then each.
        self.supervisors.iter().for_each(|supervisor| supervisor.begin_end());
        self.supervisors.iter().for_each(|supervisor| supervisor.end());
        true
    }

    fn is_process(&self) -> bool {
        true
    }

    fn has_lost_state(&self) -> bool {
        self.supervisors.iter().all(|supervisor| supervisor.current().is_none())
    }

    fn new_commands(&self) -> Option<Vec<CommandFacts>> {
        self.core.take_commands()
    }

    fn changes_commands(&self) -> bool {
        self.serving_now().is_ok_and(|serving| serving.protocol.calls_by_name())
    }

    fn late_worker(&self, name: &str) -> Option<Box<dyn Worker>> {
        RevivedWorker::late(&self.serving_now().ok()?, name)
    }

    fn restart(&self) -> bool {
        self.supervisors.iter().for_each(|supervisor| supervisor.restart());
        true
    }

    fn status(&self) -> Option<ProcessStatus> {
        let serving: Vec<_> =
            self.supervisors.iter().filter_map(|supervisor| supervisor.current()).collect();
        let history: Vec<_> =
            self.supervisors.iter().map(|supervisor| supervisor.history()).collect();
        let last = history.iter().filter_map(|one| one.last_end.clone()).max_by_key(|last| last.1);
        let now = Instant::now();
        let uptime = |one: &Arc<Serving>| now.saturating_duration_since(one.running.started);
        let memory = serving.iter().filter_map(|one| platform::resident_of(one.running.pid));
        Some(ProcessStatus {
            place: "process",
            pids: serving.iter().map(|one| one.running.pid).collect(),
            uptime: serving.iter().map(uptime).max().unwrap_or_default(),
            restarts: history.iter().map(|one| one.restarts).sum(),
            crashes: history.iter().map(|one| one.crashes).sum(),
            last_exit: last.map(|(text, at)| (text, now.saturating_duration_since(at))),
            memory: memory.reduce(u64::saturating_add),
            limits: self.core.settings.limits.clone(),
            call_timeout: self.core.settings.call_timeout,
            is_quarantined: self.supervisors.iter().any(|supervisor| supervisor.is_quarantined()),
            unavailable: self.supervisors.iter().find_map(|supervisor| supervisor.unavailable()),
        })
    }
}

impl Drop for ProcessPlugin {
    fn drop(&mut self) {
        // Not waited for: a version that was never served may be dropped on the manager's thread.
        for supervisor in &self.supervisors {
            supervisor.begin_end();
            if let Some(serving) = supervisor.current() {
                serving.running.condemn(super::cause::Cause::Asked);
            }
        }
    }
}

/// Returns true for a command that writes, which has its time, and for one of a transaction. They
/// must not wait for the start of a process, which waits for their turn.
fn has_turn(context: &dyn CallContext) -> bool {
    context.time_millis() > 0 || context.transaction().is_some()
}

/// Calls a command of a plugin in a process.
struct ProcessWorker {
    plugin: Arc<ProcessPlugin>,
    generation: Arc<Generation>,
    index: u32,
}

impl Worker for ProcessWorker {
    fn call(&self, call: &Call<'_>, reply: &mut Encoder) -> Answer {
        if self.plugin.has_queues {
            return Answer::Queued;
        }
        let name = self.generation.manifest.commands.get(self.index as usize);
        let name = name.map(|command| command.name.as_str()).unwrap_or_default();
        let answer = self.plugin.call((self.index, name), call, reply);
        if reply.failed() {
            self.generation.count_error();
        }
        answer
    }

    fn as_queued(&self) -> Option<&dyn QueuedWorker> {
        self.plugin.has_queues.then_some(self)
    }

    fn wait_until_ready(&self) -> Result<(), String> {
        self.plugin.serving().map(|_| ()).map_err(|Unavailable(problem)| problem)
    }

    fn is_ready(&self) -> bool {
        self.plugin.supervisors.iter().any(|supervisor| supervisor.current().is_some())
    }
}

impl QueuedWorker for ProcessWorker {
    fn queue_id(&self) -> usize {
        Arc::as_ptr(&self.generation) as usize
    }

    fn push(&self, call: &Call<'_>, queue: &mut CallQueue) {
        queue::push(self.index, call, queue);
    }

    fn run(
        &self,
        queue: &CallQueue,
        context: &dyn CallContext,
        reply: &mut Encoder,
        finish: &mut dyn FnMut(&mut Encoder),
    ) -> Answer {
        self.plugin.run((queue, &self.generation), context, reply, finish)
    }
}
