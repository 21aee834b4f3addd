//! The host's side of a running executable that speaks JSON lines.

use std::{
    collections::HashMap,
    io::{self, BufReader, PipeReader, Write},
    process::{ChildStdin, Stdio},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use platform::{EndableReader, Group, ReaderEnd, Terminal};
use protocol::Encoder;
use telemetry::log_throttle::Throttle;

use super::{
    Hello as WorkerHello, Json, Line, LineReader, Message, Requests, SessionFields, WorkerAnswer,
    parse, start_id, write_answer,
};
use crate::{
    call::Call,
    live::{host_services::PluginServices, manifest::CommandFacts},
    load_error::Refusal,
    process::{
        executable::Executable,
        output::{self, LoggedOutput},
        protocol::{
            CallWatch, Failed, Hello, Launched, Launcher, Lost, Protocol, SLICE, Step, confine,
        },
        running::Running,
    },
};

/// The longest hello, in bytes.
const LONGEST_HELLO: usize = 4 << 20;

/// The longest state that the host takes from a worker, in bytes.
const LONGEST_STATE: usize = 1 << 30;

/// The most lines that wait to be written to a worker.
const QUEUED: usize = 256;

/// The room in a line beside its reply, in bytes.
const SLACK: usize = 64 << 10;

/// Starts processes of one executable.
pub struct LinesLauncher {
    /// The executable.
    pub executable: Executable,
    /// The longest time until a process has described itself.
    pub timeout: Duration,
    /// Logs the worker's lines.
    pub services: Arc<PluginServices>,
    /// Takes a new list of commands.
    pub changed: Arc<dyn Fn(Vec<CommandFacts>) + Send + Sync>,
}

/// A running executable.
struct LinesProcess {
    /// Lines to write; closed by `None`.
    lines: Sender<Option<Vec<u8>>>,
    shared: Arc<Shared>,
    next: AtomicU64,
    /// A token for each call that may run at the same time.
    tokens: (Sender<()>, Receiver<()>),
    /// The ends of the readers of its lines and of its errors.
    _readers: (ReaderEnd, LoggedOutput),
}

/// What the reader of a worker's lines shares with the callers.
struct Shared {
    waiting: Mutex<HashMap<u64, Caller>>,
    /// The longest line, in bytes.
    longest: Arc<AtomicUsize>,
    /// True once the worker has closed its output.
    is_closed: AtomicBool,
    services: Arc<PluginServices>,
    /// Limits the log lines about lines that are no messages.
    bad_lines: Throttle,
    changed: Arc<dyn Fn(Vec<CommandFacts>) + Send + Sync>,
}

/// A caller that waits for an answer.
struct Caller {
    /// Has room for an answer and for the note that there is progress.
    events: Sender<Event>,
    progress: Arc<Mutex<Option<Progress>>>,
}

/// The last report of progress that its caller has not passed on.
struct Progress {
    done: u64,
    total: u64,
    text: String,
}

/// News for a caller.
enum Event {
    Answer(WorkerAnswer),
    /// There is progress.
    Progress,
    Malformed,
    TooLong,
}

/// Returns its token when it drops.
struct Token<'a>(&'a Sender<()>);

impl Drop for Token<'_> {
    fn drop(&mut self) {
        let _ = self.0.try_send(());
    }
}

/// Removes a caller from those that wait when it drops.
struct Waiting<'a> {
    shared: &'a Shared,
    id: u64,
    events: Receiver<Event>,
    progress: Arc<Mutex<Option<Progress>>>,
}

impl Waiting<'_> {
    fn progress(&self) -> Option<Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.shared.waiting().remove(&self.id);
    }
}

impl Launcher for LinesLauncher {
    fn launch(&self, give_up: &dyn Fn() -> bool) -> Result<Launched, Refusal> {
        let failed = |operation: &'static str| {
            move |error: io::Error| Refusal::probe_failed(operation, &error)
        };
        let mut command = self.executable.command(&[]).map_err(failed("prepare its start"))?;
        let (output, out) = io::pipe().map_err(failed("make a pipe for its output"))?;
        let (errors, err) = io::pipe().map_err(failed("make a pipe for its errors"))?;
        command.stdin(Stdio::piped()).stdout(out).stderr(err);
        let mut group = Group::spawn(&mut command, Terminal::None).map_err(failed("start it"))?;
        // This process's copies of the pipes' other ends.
        drop(command);
        let Some(input) = group.child.stdin.take() else {
            return Err(Refusal::probe_failed("start it", &"it has no standard input"));
        };
        let cgroup = confine(&mut group, &self.executable.limits)?;
        match self.begin(input, output, errors, give_up) {
            Ok((process, hello)) => {
                let hello = Hello {
                    manifest: hello.manifest(),
                    saves: hello.has_state,
                    configures: false,
                    has_queues: false,
                };
                if let Err(refusal) = hello.manifest.check() {
                    group.kill();
                    return Err(refusal);
                }
                Ok(Launched { group, protocol: Box::new(process), hello, cgroup })
            }
            Err(refusal) => {
                let how = match refusal {
                    NoHello::Refused(refusal) => {
                        group.kill();
                        return Err(refusal);
                    }
                    NoHello::Closed(output) => {
                        let how = ended(&mut group);
                        match output.last_line() {
                            line if line.is_empty() => format!("{how}; {HINT}"),
                            line => format!("{how}: {line}"),
                        }
                    }
                };
                group.kill();
                Err(Refusal::Worker { problem: how })
            }
        }
    }
}

/// The reason for which there is no hello.
enum NoHello {
    Refused(Refusal),
    /// It has closed its output, or has ended.
    Closed(LoggedOutput),
}

/// The remedy for an executable that was not written as a plugin.
const HINT: &str = "a plugin must write a hello first, see the book's page on workers";

/// Describes the end of a process that has closed its output before its hello.
fn ended(group: &mut Group) -> String {
    /// The time for which it may outlive its output.
    const OUTLIVES: Duration = Duration::from_secs(1);
    let closed = "it closed its output before its hello".to_owned();
    let Ok(observer) = group.observer() else { return closed };
    let expires_at = Instant::now() + OUTLIVES;
    loop {
        match group.reap(&observer) {
            Ok(Some(status)) => {
                let exit = crate::process::cause::Exit::of(status);
                return format!("it ended before its hello: {exit}");
            }
            _ if Instant::now() >= expires_at => return closed,
            _ => observer.wait(expires_at.saturating_duration_since(Instant::now())),
        }
    }
}

impl LinesLauncher {
    /// Greets a new process and waits for its hello.
    fn begin(
        &self,
        input: ChildStdin,
        output: PipeReader,
        errors: PipeReader,
        give_up: &dyn Fn() -> bool,
    ) -> Result<(LinesProcess, WorkerHello), NoHello> {
        let no_thread =
            |error: io::Error| NoHello::Refused(Refusal::probe_failed("start a thread", &error));
        let (lines, queue) = bounded(QUEUED);
        let (send_hello, hello) = bounded(1);
        let shared = Arc::new(Shared {
            waiting: Mutex::default(),
            longest: Arc::new(AtomicUsize::new(LONGEST_HELLO)),
            is_closed: AtomicBool::new(false),
            services: Arc::clone(&self.services),
            bad_lines: Throttle::default(),
            changed: Arc::clone(&self.changed),
        });
        let errors = output::log_lines(errors, &self.services).map_err(no_thread)?;
        let spawn = |name: &str, run: Box<dyn FnOnce() + Send>| {
            thread::Builder::new().name(name.into()).spawn(run).map_err(no_thread)
        };
        spawn("plugin input", Box::new(move || write_lines(input, &queue)))?;
        let reader = Arc::clone(&shared);
        let (output, end) = EndableReader::new(output).map_err(no_thread)?;
        spawn("plugin lines", Box::new(move || reader.read_lines(output, &send_hello)))?;
        let mut greeting = Vec::new();
        Requests::new(&mut greeting).hello();
        let _ = lines.try_send(Some(greeting));
        let expires_at = Instant::now() + self.timeout;
        let hello: WorkerHello = loop {
            match hello.recv_timeout(SLICE) {
                Ok(Ok(hello)) => break hello,
                Ok(Err(problem)) => {
                    let problem = format!("its first line is no hello: {problem}");
                    return Err(NoHello::Refused(Refusal::Worker { problem }));
                }
                Err(RecvTimeoutError::Disconnected) => return Err(NoHello::Closed(errors)),
                Err(RecvTimeoutError::Timeout) if give_up() => {
                    return Err(NoHello::Refused(Refusal::Stopping));
                }
                Err(RecvTimeoutError::Timeout) if Instant::now() >= expires_at => {
                    let millis = u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX);
                    return Err(NoHello::Refused(Refusal::TimedOut { millis }));
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        };
        let tokens = bounded(hello.concurrency.max(1) as usize);
        (0..hello.concurrency.max(1)).for_each(|_| {
            let _ = tokens.0.try_send(());
        });
        let _readers = (end, errors);
        Ok((LinesProcess { lines, shared, next: AtomicU64::new(1), tokens, _readers }, hello))
    }
}

/// Writes lines to a worker until the queue is closed or the worker does not read any more.
fn write_lines(mut input: ChildStdin, lines: &Receiver<Option<Vec<u8>>>) {
    while let Ok(Some(line)) = lines.recv() {
        if input.write_all(&line).is_err() {
            break;
        }
    }
}

impl Shared {
    /// Reads the worker's lines until it closes its output, or until the end of the reader.
    fn read_lines(&self, output: EndableReader, hello: &Sender<Result<WorkerHello, String>>) {
        let mut hello = Some(hello);
        let output = BufReader::with_capacity(64 << 10, output);
        let mut reader = LineReader::new(output, Arc::clone(&self.longest));
        loop {
            let message = match reader.read() {
                Ok(Some(Line::Whole(line))) => parse(line).map_err(|bad| (bad.id, bad.problem)),
                Ok(Some(Line::TooLong { start })) => {
                    if let Some(waiting) = start_id(start).and_then(|id| self.take(id)) {
                        let _ = waiting.try_send(Event::TooLong);
                        continue;
                    }
                    Err((None, "a line that is too long".to_owned()))
                }
                // A part of a line says nothing.
                Ok(Some(Line::Unfinished(_)) | None) | Err(_) => break,
            };
            match (message, hello) {
                (Ok(Message::Hello(message)), Some(first)) => {
                    let _ = first.try_send(Ok(message));
                    hello = None;
                    // Callers allow longer lines.
                    self.longest.store(SLACK, Ordering::Relaxed);
                }
                (Ok(Message::Log { level, text }), _) => self.services.log_line(level, text),
                (Ok(_), Some(first)) => {
                    let _ = first.try_send(Err("it is another message".to_owned()));
                    break;
                }
                (Err((_, problem)), Some(first)) => {
                    let _ = first.try_send(Err(problem));
                    break;
                }
                (Ok(message), None) => self.handle(message),
                (Err((id, problem)), None) => {
                    self.warn(&problem);
                    if let Some(waiting) = id.and_then(|id| self.take(id)) {
                        let _ = waiting.try_send(Event::Malformed);
                    }
                }
            }
        }
        self.is_closed.store(true, Ordering::SeqCst);
        self.waiting().clear();
    }

    fn handle(&self, message: Message) {
        match message {
            Message::Answer { id, answer } => match self.take(id) {
                Some(waiting) => {
                    let _ = waiting.try_send(Event::Answer(answer));
                }
                None => self.warn(&format!("an answer to {id}, which nobody has asked for")),
            },
            Message::Progress { id, done, total, text } => {
                let waiting = self.waiting();
                let Some(caller) = waiting.get(&id) else { return };
                let mut progress = caller.progress.lock().unwrap_or_else(PoisonError::into_inner);
                // A later report replaces one that has not been passed on.
                if progress.replace(Progress { done, total, text }).is_none() {
                    let _ = caller.events.try_send(Event::Progress);
                }
            }
            Message::Commands(commands) => (self.changed)(commands),
            Message::Hello(_) => self.warn("a second hello"),
            Message::Log { level, text } => self.services.log_line(level, text),
        }
    }

    fn warn(&self, problem: &str) {
        let plugin = &self.services.name;
        self.bad_lines
            .warn(Instant::now(), || format!("plugin {plugin}: it wrote no message: {problem}"));
    }

    fn take(&self, id: u64) -> Option<Sender<Event>> {
        self.waiting().remove(&id).map(|caller| caller.events)
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<u64, Caller>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LinesProcess {
    /// Registers a caller under a new number.
    fn register(&self) -> Result<Waiting<'_>, Lost> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, events) = bounded(2);
        let progress = Arc::default();
        let caller = Caller { events: sender, progress: Arc::clone(&progress) };
        self.shared.waiting().insert(id, caller);
        let waiting = Waiting { shared: &self.shared, id, events, progress };
        // The reader may have cleared the callers just before.
        if self.shared.is_closed.load(Ordering::SeqCst) {
            return Err(Lost::Gone);
        }
        Ok(waiting)
    }

    /// Queues a line for the worker. `step` is asked while the queue is full.
    fn send(
        &self,
        mut line: Vec<u8>,
        mut step: impl FnMut() -> Result<(), Lost>,
    ) -> Result<(), Lost> {
        use crossbeam_channel::SendTimeoutError as Error;
        loop {
            match self.lines.send_timeout(Some(line), SLICE) {
                Ok(()) => return Ok(()),
                Err(Error::Timeout(back)) => {
                    step()?;
                    line = back.unwrap_or_default();
                }
                Err(Error::Disconnected(_)) => return Err(Lost::Gone),
            }
        }
    }

    /// Waits for a call's turn. Returns `None` if it is cancelled meanwhile.
    fn turn(&self, call: &Call<'_>, watch: &mut CallWatch<'_>) -> Result<Option<Token<'_>>, Lost> {
        loop {
            match self.tokens.1.recv_timeout(SLICE) {
                Ok(()) => {
                    watch.start_clock();
                    return Ok(Some(Token(&self.tokens.0)));
                }
                Err(_) => {
                    watch.start_clock();
                    if matches!(watch.step(call.context)?, Step::Cancel) {
                        return Ok(None);
                    }
                    if self.shared.is_closed.load(Ordering::SeqCst) {
                        return Err(Lost::Gone);
                    }
                }
            }
        }
    }

    /// Runs an operation other than a call.
    fn operate(
        &self,
        write: impl FnOnce(&mut Requests<'_>, u64),
        running: &Running,
    ) -> Result<WorkerAnswer, Failed> {
        let alive = || match running.has_ended() || running.is_condemned() {
            true => Err(Lost::Gone),
            false => Ok(()),
        };
        let waiting = self.register()?;
        let mut line = Vec::new();
        write(&mut Requests::new(&mut line), waiting.id);
        self.send(line, alive)?;
        loop {
            match waiting.events.recv_timeout(SLICE) {
                Ok(Event::Answer(WorkerAnswer::Error { message, .. })) => {
                    return Err(Failed::Refused(message));
                }
                Ok(Event::Answer(answer)) => return Ok(answer),
                Ok(Event::Progress) => {}
                Ok(Event::Malformed) => {
                    return Err(Failed::Refused("its answer is malformed".to_owned()));
                }
                Ok(Event::TooLong) => {
                    return Err(Failed::Refused("its answer is too long".to_owned()));
                }
                Err(RecvTimeoutError::Timeout) => alive()?,
                Err(RecvTimeoutError::Disconnected) => return Err(Lost::Gone.into()),
            }
        }
    }
}

impl Protocol for LinesProcess {
    fn call(
        &self,
        command: (u32, &str),
        call: &Call<'_>,
        reply: &mut Encoder,
        watch: &mut CallWatch<'_>,
    ) -> Result<(), Lost> {
        let longest = reply.most().saturating_mul(2).saturating_add(SLACK);
        self.shared.longest.fetch_max(longest, Ordering::Relaxed);
        let Some(_token) = self.turn(call, watch)? else {
            reply.error("ERR", b"cancelled before it was started");
            return Ok(());
        };
        let waiting = self.register()?;
        let mut line = Vec::new();
        let name = call.context.session_name();
        let identity = call.context.identity();
        let session = SessionFields {
            id: call.context.session_id(),
            peer: call.context.peer(),
            name: &name,
            key: identity.key().map(|key| key.name.as_str()),
            role: identity.role().map(|role| role.name()),
        };
        Requests::new(&mut line).call(waiting.id, command.1, call.arguments(), &session);
        let mut is_cancelled = false;
        self.send(line, || {
            is_cancelled |= matches!(watch.step(call.context)?, Step::Cancel);
            Ok(())
        })?;
        loop {
            if std::mem::take(&mut is_cancelled) {
                let mut line = Vec::new();
                Requests::new(&mut line).cancel(waiting.id);
                self.send(line, || watch.step(call.context).map(|_| ()))?;
            }
            match waiting.events.recv_timeout(watch.pause()) {
                Ok(Event::Answer(answer)) => {
                    if let Err(problem) = write_answer(&answer, reply) {
                        self.shared.warn(&problem.to_string());
                        malformed(reply);
                    }
                    return Ok(());
                }
                Ok(Event::Progress) => {
                    if let Some(Progress { done, total, text }) = waiting.progress() {
                        call.context.report_progress(done, total, &text);
                    }
                }
                Ok(Event::Malformed) => {
                    malformed(reply);
                    return Ok(());
                }
                Ok(Event::TooLong) => {
                    reply.refuse_as_too_large();
                    return Ok(());
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(Lost::Gone),
            }
            is_cancelled = matches!(watch.step_if_due(call.context)?, Step::Cancel);
        }
    }

    fn save(&self, running: &Running) -> Result<Option<Vec<u8>>, Failed> {
        // No call runs meanwhile that could answer as much.
        let before = self.shared.longest.fetch_max(LONGEST_STATE, Ordering::Relaxed);
        let saved = self.operate(|requests, id| requests.save(id), running);
        self.shared.longest.store(before, Ordering::Relaxed);
        match saved? {
            WorkerAnswer::Value(state) if state.is_null() => Ok(None),
            WorkerAnswer::Value(state) => Ok(Some(state.as_str().as_bytes().to_vec())),
            WorkerAnswer::Bytes(_) | WorkerAnswer::Error { .. } => {
                Err(Failed::Refused("its state is no JSON value".to_owned()))
            }
        }
    }

    fn restore(&self, state: &[u8], running: &Running) -> Result<(), Failed> {
        let state = Json::parse(state).map_err(|error| {
            Failed::Refused(format!("the state of the version before is no JSON: {error}"))
        })?;
        self.operate(|requests, id| requests.restore(id, &state), running).map(|_| ())
    }

    fn configure(&self, _: &str, _: &Running) -> Result<(), Failed> {
        Ok(())
    }

    fn stop(&self) {
        // The end of its input asks it to end. A worker that does not read is killed later.
        let _ = self.lines.try_send(None);
    }

    fn abandon(&self) {
        self.shared.waiting().clear();
        let _ = self.lines.try_send(None);
    }

    fn is_closed(&self) -> bool {
        self.shared.is_closed.load(Ordering::SeqCst)
    }
}

fn malformed(reply: &mut Encoder) {
    reply.reset();
    reply.error("ERR", b"the worker gave a malformed reply");
}
