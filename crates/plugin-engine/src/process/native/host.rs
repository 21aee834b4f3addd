//! The host's side of the protocol with the worker process of a library.

use std::{
    io,
    process::{Command, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    thread,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, Sender, bounded};
use crossbeam_queue::ArrayQueue;
use platform::{Group, Terminal, WorkerLink, shared_memory::SharedMemory};
use protocol::Encoder;
use sandbox::Limits;
use serde::Serialize;

use super::{
    message::{Init, PART, Query, Ready, SLACK, kind, level, take},
    pieces::{PieceReader, next_reply},
    queue,
    wire::{self, Received, Side, Wire},
};
use crate::{
    call::{Call, CallContext, CallQueue},
    live::{
        host_services::{PluginServices, level_of},
        probe,
    },
    load_error::Refusal,
    process::{
        output::{self, LoggedOutput},
        protocol::{
            CallWatch, Failed, Hello, Launched, Launcher, Lost, Protocol, Step, confine, pause,
        },
        running::Running,
    },
};

/// The variable that asks a worker process for a backtrace when it crashes.
pub const BACKTRACE: &str = "DROPIN_BACKTRACE";

/// The most idle connections that a process keeps.
const IDLE: usize = 256;

/// The longest message from a process: it is not trusted.
const MOST: usize = PART + SLACK;

/// The length of a session's replies from which a process must give the other calls of a queue back,
/// in bytes.
const TOGETHER: usize = 1 << 20;

/// The largest state that the host takes from a process, in bytes.
const MOST_STATE: usize = 4 << 30;

/// Sends the messages of a request; it gets the question whether to wait on.
type SendRequests<'a> = dyn FnMut(&mut Wire, &mut dyn FnMut() -> bool) -> io::Result<()> + 'a;

/// Starts worker processes of one library.
pub struct NativeLauncher {
    /// The facts for the process.
    pub init: Init,
    /// The host's start.
    pub started: Instant,
    /// The longest time until the process has described itself.
    pub timeout: Duration,
    /// The longest time of a call.
    pub call_timeout: Option<Duration>,
    /// Logs the plugin's lines.
    pub services: Arc<PluginServices>,
}

/// A worker process of a library.
struct NativeProcess {
    link: WorkerLink,
    /// Connections that no call uses.
    idle: ArrayQueue<Wire>,
    /// The memory of all connections, to wake their callers when the process has ended.
    memories: Mutex<Vec<Weak<SharedMemory>>>,
    /// For the request to stop, which must not wait for a connection.
    stopping: Mutex<Option<Wire>>,
    /// A token for each call that may run at the same time, if a limit bounds their number.
    tokens: Option<(Sender<()>, Receiver<()>)>,
    pause: Duration,
    /// The end of the reader of its output.
    _output: LoggedOutput,
}

impl Launcher for NativeLauncher {
    fn launch(&self, give_up: &dyn Fn() -> bool) -> Result<Launched, Refusal> {
        let failed = |operation: &'static str| {
            move |error: io::Error| Refusal::probe_failed(operation, &error)
        };
        let program = platform::own_program().map_err(failed("find the host's program"))?;
        let (output, input) = io::pipe().map_err(failed("make a pipe for its output"))?;
        let mut command = Command::new(program);
        if log::max_level() >= log::LevelFilter::Debug {
            command.env(BACKTRACE, "1");
        }
        command.arg("worker").stderr(input.try_clone().map_err(failed("make a pipe"))?);
        command.stdout(Stdio::from(input));
        let spawn = |command: &mut Command| Group::spawn(command, Terminal::None);
        let (link, mut group) = WorkerLink::start(command, spawn, |group| &mut group.child)
            .map_err(failed("start its process"))?;
        let cgroup = confine(&mut group, &self.init.limits)?;
        let started = self.begin(&link, output, &mut group, give_up);
        match started {
            Ok((wire, memory, hello, output)) => {
                let pause = pause(self.call_timeout);
                let memories = Mutex::new(memory.into_iter().collect());
                let idle = ArrayQueue::new(IDLE);
                let stopping = Mutex::new(Some(wire));
                let tokens = most_calls(&self.init.limits).map(|most| {
                    let tokens = bounded(most);
                    (0..most).for_each(|_| {
                        let _ = tokens.0.try_send(());
                    });
                    tokens
                });
                let process = NativeProcess {
                    link,
                    idle,
                    memories,
                    stopping,
                    tokens,
                    pause,
                    _output: output,
                };
                Ok(Launched { group, protocol: Box::new(process), hello, cgroup })
            }
            Err(NotBegun::Refused(refusal)) => {
                group.kill();
                Err(refusal)
            }
            Err(NotBegun::Gone) => {
                // It may still be writing its memory to a file.
                let ended = wait(&mut group, self.timeout);
                group.kill();
                Err(match ended {
                    Some(status) => Refusal::Died { how: probe::describe(status, "at its start") },
                    None => Refusal::Died { how: "it closed its connection".into() },
                })
            }
        }
    }
}

/// A call's turn, which ends when this drops.
struct Token<'a>(&'a Sender<()>);

impl Drop for Token<'_> {
    fn drop(&mut self) {
        let _ = self.0.try_send(());
    }
}

/// The first connection to a process, the process's description and its output.
type Begun = (Wire, Option<Weak<SharedMemory>>, Hello, LoggedOutput);

/// The reason for which a process has not described itself.
enum NotBegun {
    Refused(Refusal),
    Gone,
}

impl NativeLauncher {
    /// Has a new process open the library, and waits until it has described itself.
    fn begin(
        &self,
        link: &WorkerLink,
        output: io::PipeReader,
        group: &mut Group,
        give_up: &dyn Fn() -> bool,
    ) -> Result<Begun, NotBegun> {
        let gone = |_: io::Error| NotBegun::Gone;
        let control = link.control().map_err(gone)?;
        let control = Wire::new((control, None), Side::Host, None).map_err(gone)?;
        let output = output::log_lines(output, &self.services).map_err(no_thread)?;
        log_messages(control, &self.services).map_err(no_thread)?;
        let (mut wire, memory) = open(link, pause(self.call_timeout)).map_err(gone)?;
        let mut init = self.init.clone();
        init.uptime_millis = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        init.level = level();
        let init = serde_json::to_vec(&init).map_err(io::Error::from).map_err(gone)?;
        wire.send(kind::INIT, |out| out.extend_from_slice(&init), &mut || true).map_err(gone)?;
        let expires_at = Instant::now() + self.timeout;
        let observer = group.observer().map_err(gone)?;
        loop {
            match wire.receive(MOST).map_err(gone)? {
                Received::Message(kind::READY, opened) => {
                    let ready = Ready::read(opened).map_err(NotBegun::Refused)?;
                    let Ready { manifest, saves, configures } = ready;
                    let hello = Hello { manifest, saves, configures, has_queues: true };
                    return Ok((wire, memory, hello, output));
                }
                Received::Message(..) => {
                    let problem = "its process breaks the protocol".into();
                    return Err(NotBegun::Refused(Refusal::Manifest { problem }));
                }
                // Nobody wakes this thread when the process ends.
                Received::Nothing if !matches!(group.reap(&observer), Ok(None)) => {
                    return Err(NotBegun::Gone);
                }
                Received::Nothing if give_up() => {
                    return Err(NotBegun::Refused(Refusal::Stopping));
                }
                Received::Nothing if Instant::now() >= expires_at => {
                    let millis = u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX);
                    return Err(NotBegun::Refused(Refusal::TimedOut { millis }));
                }
                Received::Nothing => {}
            }
        }
    }
}

/// Returns the most calls at the same time that a process with these limits can take: each needs a
/// descriptor and a thread with its stack.
fn most_calls(limits: &Limits) -> Option<usize> {
    /// The memory for a call, in bytes: a stack of 2 MiB, and as much again.
    const CALL: u64 = 4 << 20;
    let files = limits.open_files.map(|files| files / 2);
    let memory = limits.memory.map(|bytes| bytes / CALL);
    let most = files.into_iter().chain(memory).min()?;
    Some(usize::try_from(most).unwrap_or(IDLE).clamp(1, IDLE))
}

fn no_thread(error: io::Error) -> NotBegun {
    NotBegun::Refused(Refusal::probe_failed("start a thread", &error))
}

/// Waits for a process that has closed its connection.
fn wait(group: &mut Group, time: Duration) -> Option<std::process::ExitStatus> {
    let observer = group.observer().ok()?;
    let expires_at = Instant::now() + time;
    while Instant::now() < expires_at {
        if let Ok(Some(status)) = group.reap(&observer) {
            return Some(status);
        }
        observer.wait(expires_at.saturating_duration_since(Instant::now()));
    }
    None
}

/// Logs the lines that a process sends on its own, until it has ended or its link is dropped.
fn log_messages(mut control: Wire, services: &Arc<PluginServices>) -> io::Result<()> {
    let services = Arc::clone(services);
    thread::Builder::new().name("plugin log".into()).spawn(move || {
        while let Ok(received) = control.receive(MOST) {
            if let Received::Message(kind::LOG, [level, text @ ..]) = received {
                services.log_line(level_of(u32::from(*level)), text);
            }
        }
    })?;
    Ok(())
}

impl NativeProcess {
    /// Returns a connection that no call uses.
    fn connect(&self) -> Result<Wire, Lost> {
        if let Some(wire) = self.idle.pop() {
            return Ok(wire);
        }
        let (wire, memory) = open(&self.link, self.pause).map_err(|error| {
            let is_short = platform::is_out_of_descriptors(&error) || is_refused(&error);
            if is_short {
                return Lost::Unable(format!("cannot connect to its process: {error}"));
            }
            Lost::Gone
        })?;
        let mut memories = self.memories();
        memories.retain(|memory| memory.strong_count() > 0);
        memories.extend(memory);
        Ok(wire)
    }

    /// Returns a connection for a call; waits while the process has many to take.
    fn connect_for(
        &self,
        context: &dyn CallContext,
        watch: &mut CallWatch<'_>,
    ) -> Result<Wire, Lost> {
        /// The longest wait, and the pause between two attempts.
        const LONGEST: Duration = Duration::from_secs(1);
        const PAUSE: Duration = Duration::from_millis(1);
        let expires_at = Instant::now() + LONGEST;
        loop {
            match self.connect() {
                Err(Lost::Unable(_)) if Instant::now() < expires_at => {
                    watch.step_if_due(context)?;
                    thread::sleep(PAUSE);
                }
                connected => return connected,
            }
        }
    }

    fn memories(&self) -> MutexGuard<'_, Vec<Weak<SharedMemory>>> {
        self.memories.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a call may run beside the others.
    fn turn(
        &self,
        context: &dyn CallContext,
        watch: &mut CallWatch<'_>,
    ) -> Result<Option<Token<'_>>, Lost> {
        let Some((back, tokens)) = &self.tokens else { return Ok(None) };
        while tokens.recv_timeout(self.pause).is_err() {
            // A cancelled call gets its turn, too, and then ends early.
            watch.step(context)?;
            watch.start_clock();
        }
        Ok(Some(Token(back)))
    }

    /// Keeps a connection for the next call, unless there are enough.
    fn keep(&self, wire: Wire) {
        // A connection that is dropped ends its thread in the process.
        let _ = self.idle.push(wire);
    }

    /// Runs an operation other than a call. Returns the parts of its result; `None` for none.
    fn operate(
        &self,
        requests: &mut SendRequests<'_>,
        running: &Running,
    ) -> Result<Option<Vec<u8>>, Failed> {
        let mut wire = self.connect()?;
        let mut keeps_waiting = || !running.has_ended() && !running.is_condemned();
        requests(&mut wire, &mut keeps_waiting).map_err(|_| Lost::Gone)?;
        let mut parts = Vec::new();
        let result = loop {
            match wire.receive(MOST).map_err(lost)? {
                Received::Nothing if keeps_waiting() => {}
                Received::Nothing => return Err(Lost::Gone.into()),
                Received::Message(kind::PART, part) if parts.len() + part.len() <= MOST_STATE => {
                    parts.extend_from_slice(part);
                }
                Received::Message(kind::PART, _) => {
                    let problem = format!("its state is larger than {MOST_STATE} bytes");
                    return Err(Failed::Refused(problem));
                }
                Received::Message(kind::DONE, _) => break Ok(Some(parts)),
                Received::Message(kind::NONE, _) => break Ok(None),
                Received::Message(kind::FAILED, problem) => {
                    break Err(Failed::Refused(String::from_utf8_lossy(problem).into_owned()));
                }
                Received::Message(kind, _) => return Err(unexpected(kind).into()),
            }
        };
        self.keep(wire);
        result
    }
}

impl Protocol for NativeProcess {
    fn call(
        &self,
        (command, _): (u32, &str),
        call: &Call<'_>,
        reply: &mut Encoder,
        watch: &mut CallWatch<'_>,
    ) -> Result<(), Lost> {
        let mut queue = CallQueue::default();
        queue::push(command, call, &mut queue);
        self.run(&queue, call.context, reply, &mut |_| {}, watch)
    }

    fn run(
        &self,
        queue: &CallQueue,
        context: &dyn CallContext,
        reply: &mut Encoder,
        finish: &mut dyn FnMut(&mut Encoder),
        watch: &mut CallWatch<'_>,
    ) -> Result<(), Lost> {
        let _token = self.turn(context, watch)?;
        let mut wire = self.connect_for(context, watch)?;
        let fill = |out: &mut Vec<u8>| out.extend_from_slice(&queue.bytes);
        send(&mut wire, kind::CALLS, fill, context, watch)?;
        let mut pieces = PieceReader::default();
        let no_pieces = |()| Lost::Broken("a reply that is none".into());
        let mut left = queue.commands.len();
        let mut is_enough = false;
        while left > 0 {
            match wire.receive(MOST).map_err(lost)? {
                Received::Message(kind::REPLIES, mut replies) => {
                    while !replies.is_empty() {
                        let bytes = next_reply(&mut replies).ok_or_else(|| no_pieces(()))?;
                        left = left.checked_sub(1).ok_or_else(|| no_pieces(()))?;
                        pieces.feed(bytes, reply).map_err(|_| no_pieces(()))?;
                        pieces.finish().map_err(|_| no_pieces(()))?;
                        pieces.start();
                        if is_enough {
                            return Err(Lost::Broken("more replies than fit together".into()));
                        }
                        finish(reply);
                        // The client has taken none of them yet.
                        is_enough = reply.len() >= TOGETHER && left > 0;
                    }
                    watch.start_clock();
                }
                Received::Message(kind::BACK, count) => {
                    let expected = u32::try_from(left).ok().map(u32::to_le_bytes);
                    if expected.as_ref().map(<[u8; 4]>::as_slice) != Some(count) {
                        return Err(unexpected(kind::BACK));
                    }
                    break;
                }
                Received::Message(kind::PART, bytes) => {
                    pieces.feed(bytes, reply).map_err(|_| no_pieces(()))?;
                }
                Received::Message(kind::PROGRESS, mut report) => {
                    let (Some(done), Some(total)) = (take(&mut report), take(&mut report)) else {
                        return Err(unexpected(kind::PROGRESS));
                    };
                    let (done, total) = (u64::from_le_bytes(done), u64::from_le_bytes(total));
                    let text = String::from_utf8_lossy(report);
                    context.report_progress(done, total, &text);
                }
                Received::Message(kind::QUERY, query) => {
                    let query = query.first().and_then(|number| Query::of(*number));
                    let query = query.ok_or_else(|| unexpected(kind::QUERY))?;
                    let facts = facts(query, context);
                    let fill = |out: &mut Vec<u8>| out.extend_from_slice(&facts);
                    send(&mut wire, kind::FACTS, fill, context, watch)?;
                }
                Received::Message(kind, _) => return Err(unexpected(kind)),
                Received::Nothing => {}
            }
            if left > 0
                && let Step::Cancel = watch.step_if_due(context)?
            {
                send(&mut wire, kind::CANCEL, |_| {}, context, watch)?;
            }
        }
        self.keep(wire);
        Ok(())
    }

    fn save(&self, running: &Running) -> Result<Option<Vec<u8>>, Failed> {
        let request = &mut |wire: &mut Wire, keeps_waiting: &mut dyn FnMut() -> bool| {
            wire.send(kind::SAVE, |_| {}, keeps_waiting)
        };
        self.operate(request, running)
    }

    fn restore(&self, state: &[u8], running: &Running) -> Result<(), Failed> {
        let request = &mut |wire: &mut Wire, keeps_waiting: &mut dyn FnMut() -> bool| {
            for part in state.chunks(PART) {
                wire.send(kind::PART, |out| out.extend_from_slice(part), keeps_waiting)?;
            }
            wire.send(kind::RESTORE, |_| {}, keeps_waiting)
        };
        self.operate(request, running).map(|_| ())
    }

    fn configure(&self, text: &str, running: &Running) -> Result<(), Failed> {
        let request = &mut |wire: &mut Wire, keeps_waiting: &mut dyn FnMut() -> bool| {
            let fill = |out: &mut Vec<u8>| out.extend_from_slice(text.as_bytes());
            wire.send(kind::CONFIGURE, fill, keeps_waiting)
        };
        self.operate(request, running).map(|_| ())
    }

    fn stop(&self) {
        let mut stopping = self.stopping.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(wire) = stopping.as_mut() {
            // A process that does not take it is killed later.
            let _ = wire.send(kind::STOP, |_| {}, &mut || false);
        }
    }

    fn abandon(&self) {
        while self.idle.pop().is_some() {}
        *self.stopping.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.memories().iter().filter_map(Weak::upgrade).for_each(|memory| wire::close(&memory));
    }
}

/// Sends a message of a call, whose time may be over meanwhile.
fn send(
    wire: &mut Wire,
    kind: u8,
    fill: impl FnOnce(&mut Vec<u8>),
    context: &dyn CallContext,
    watch: &mut CallWatch<'_>,
) -> Result<(), Lost> {
    let (mut lost, mut is_cancelled) = (None, false);
    let sent = wire.send(kind, fill, &mut || match watch.step(context) {
        Ok(step) => {
            is_cancelled |= matches!(step, Step::Cancel);
            true
        }
        Err(cause) => {
            lost = Some(cause);
            false
        }
    });
    sent.map_err(|_| lost.unwrap_or(Lost::Gone))?;
    if is_cancelled {
        // Behind the message that it belongs to.
        let sent = wire.send(kind::CANCEL, |_| {}, &mut || watch.step(context).is_ok());
        sent.map_err(|_| Lost::Gone)?;
    }
    Ok(())
}

/// Returns true if a process has not taken the connections before this one, or the system lets no
/// more be on their way.
fn is_refused(error: &io::Error) -> bool {
    /// `ETOOMANYREFS` of Linux.
    const TOO_MANY: i32 = 109;
    error.kind() == io::ErrorKind::WouldBlock
        || (cfg!(target_os = "linux") && error.raw_os_error() == Some(TOO_MANY))
}

/// Opens a connection to a process.
fn open(link: &WorkerLink, pause: Duration) -> io::Result<(Wire, Option<Weak<SharedMemory>>)> {
    let (connection, memory) = link.open()?;
    let memory = memory.map(Arc::new);
    let weak = memory.as_ref().map(Arc::downgrade);
    Ok((Wire::new((connection, memory), Side::Host, Some(pause))?, weak))
}

/// Returns the facts that a worker asks for, in JSON.
fn facts(query: Query, context: &dyn CallContext) -> Vec<u8> {
    fn json(facts: &impl Serialize) -> Vec<u8> {
        // Text and numbers alone, which JSON always has a form for.
        serde_json::to_vec(facts).unwrap_or_default()
    }
    let identity = context.identity();
    match query {
        Query::Name => json(&context.session_name()),
        Query::Key => json(&identity.key().map(|key| key.name.as_str()).unwrap_or_default()),
        Query::Role => json(&identity.role().map(|role| role.name()).unwrap_or_default()),
        Query::Commands => json(&context.commands()),
        Query::Sessions => json(&context.sessions()),
        Query::Plugins => json(&context.plugins()),
    }
}

fn lost(error: io::Error) -> Lost {
    match error.kind() {
        io::ErrorKind::InvalidData => Lost::Broken(error.to_string()),
        _ => Lost::Gone,
    }
}

fn unexpected(kind: u8) -> Lost {
    Lost::Broken(format!("an unexpected message of kind {kind}"))
}
