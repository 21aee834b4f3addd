//! The host's side of the protocol with the worker process of a library.

use std::{
    io,
    process::{Command, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    thread,
    time::{Duration, Instant},
};

use crossbeam_queue::ArrayQueue;
use platform::{Group, Terminal, WorkerLink, shared_memory::SharedMemory};
use protocol::Encoder;
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
        output,
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
    pause: Duration,
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
        let started = self.begin(&link, output, give_up);
        match started {
            Ok((wire, memory, hello)) => {
                let pause = pause(self.call_timeout);
                let memories = Mutex::new(memory.into_iter().collect());
                let idle = ArrayQueue::new(IDLE);
                let process = NativeProcess { link, idle, memories, pause };
                process.keep(wire);
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
        give_up: &dyn Fn() -> bool,
    ) -> Result<(Wire, Option<Weak<SharedMemory>>, Hello), NotBegun> {
        let gone = |_: io::Error| NotBegun::Gone;
        let control = link.control().map_err(gone)?;
        let control = Wire::new((control, None), Side::Host, None).map_err(gone)?;
        output::log_lines(output, &self.services).map_err(no_thread)?;
        log_messages(control, &self.services).map_err(no_thread)?;
        let (mut wire, memory) = open(link, pause(self.call_timeout)).map_err(gone)?;
        let mut init = self.init.clone();
        init.uptime_millis = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        init.level = level();
        let init = serde_json::to_vec(&init).map_err(io::Error::from).map_err(gone)?;
        wire.send(kind::INIT, |out| out.extend_from_slice(&init), &mut || true).map_err(gone)?;
        let expires_at = Instant::now() + self.timeout;
        loop {
            match wire.receive(MOST).map_err(gone)? {
                Received::Message(kind::READY, opened) => {
                    let ready = Ready::read(opened).map_err(NotBegun::Refused)?;
                    let Ready { manifest, saves, configures } = ready;
                    let hello = Hello { manifest, saves, configures, has_queues: true };
                    return Ok((wire, memory, hello));
                }
                Received::Message(..) => {
                    let problem = "its process breaks the protocol".into();
                    return Err(NotBegun::Refused(Refusal::Manifest { problem }));
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

/// Logs the lines that a process sends on its own, until it has ended.
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
            if platform::is_out_of_descriptors(&error) {
                return Lost::Unable(format!("cannot connect to its process: {error}"));
            }
            Lost::Gone
        })?;
        let mut memories = self.memories();
        memories.retain(|memory| memory.strong_count() > 0);
        memories.extend(memory);
        Ok(wire)
    }

    fn memories(&self) -> MutexGuard<'_, Vec<Weak<SharedMemory>>> {
        self.memories.lock().unwrap_or_else(PoisonError::into_inner)
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
        let mut wire = self.connect()?;
        let running = watch.running();
        let mut keeps_waiting = || !running.has_ended() && !running.is_condemned();
        let fill = |out: &mut Vec<u8>| out.extend_from_slice(&queue.bytes);
        wire.send(kind::CALLS, fill, &mut keeps_waiting).map_err(|_| Lost::Gone)?;
        let mut pieces = PieceReader::default();
        let no_pieces = |()| Lost::Broken("a reply that is none".into());
        let mut left = queue.commands.len();
        while left > 0 {
            match wire.receive(MOST).map_err(lost)? {
                Received::Message(kind::REPLIES, mut replies) => {
                    while !replies.is_empty() {
                        let bytes = next_reply(&mut replies).ok_or_else(|| no_pieces(()))?;
                        left = left.checked_sub(1).ok_or_else(|| no_pieces(()))?;
                        pieces.feed(bytes, reply).map_err(|_| no_pieces(()))?;
                        pieces.finish().map_err(|_| no_pieces(()))?;
                        pieces.start();
                        finish(reply);
                    }
                    watch.start_clock();
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
                    wire.send(kind::FACTS, fill, &mut keeps_waiting).map_err(|_| Lost::Gone)?;
                }
                Received::Message(kind, _) => return Err(unexpected(kind)),
                Received::Nothing => match watch.step(context)? {
                    Step::Wait => {}
                    Step::Cancel => {
                        wire.send(kind::CANCEL, |_| {}, &mut keeps_waiting)
                            .map_err(|_| Lost::Gone)?;
                    }
                },
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
        if let Ok(mut wire) = self.connect() {
            // A process that does not take it is killed later.
            let _ = wire.send(kind::STOP, |_| {}, &mut || false);
            // Not dropped before the process has read it.
            std::mem::drop(wire);
        }
    }

    fn abandon(&self) {
        while self.idle.pop().is_some() {}
        self.memories().iter().filter_map(Weak::upgrade).for_each(|memory| wire::close(&memory));
    }
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
