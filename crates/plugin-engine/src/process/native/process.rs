//! The host's side of the protocol with the worker process of a library.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    thread,
    time::{Duration, Instant},
};

use crossbeam_queue::ArrayQueue;
use platform::{WorkerLink, shared_memory::SharedMemory};
use protocol::Encoder;
use sandbox::Limits;
use serde::Serialize;

use super::{
    message::{Init, PART, Query, SLACK, kind, take},
    pieces::{PieceReader, next_reply},
    queue,
    wire::{self, Received, Side, Wire},
};
use crate::{
    call::{Call, CallContext, CallQueue},
    process::{
        output::LoggedOutput,
        protocol::{CallWatch, Failed, Lost, Protocol, Step},
        running::Running,
        turns::{Turn, Turns},
    },
};

/// The most idle connections that a process keeps.
const IDLE: usize = 256;

/// The longest message from a process: it is not trusted.
pub(super) const MOST: usize = PART + SLACK;

/// The length of a session's replies from which a process must give the other calls of a queue back,
/// in bytes.
const TOGETHER: usize = 1 << 20;

/// The largest state that the host takes from a process, in bytes.
const MOST_STATE: usize = 4 << 30;

/// Sends the messages of a request; it gets the question whether to wait on.
type SendRequests<'a> = dyn FnMut(&mut Wire, &mut dyn FnMut() -> bool) -> io::Result<()> + 'a;

/// A worker process of a library.
pub(super) struct NativeProcess {
    link: WorkerLink,
    /// Connections that no call uses.
    idle: ArrayQueue<Wire>,
    /// The memory of all connections, to wake their callers when the process has ended.
    memories: Mutex<Vec<Weak<SharedMemory>>>,
    /// For the request to stop, which must not wait for a connection.
    stopping: Mutex<Option<Wire>>,
    /// The turns of the calls, if a limit bounds their number.
    turns: Option<Turns>,
    pause: Duration,
    /// The end of the reader of its output.
    _output: LoggedOutput,
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

impl NativeProcess {
    /// Makes the host's side of a process that has described itself.
    pub(super) fn new(
        link: WorkerLink,
        (wire, memory): (Wire, Option<Weak<SharedMemory>>),
        output: LoggedOutput,
        init: &Init,
        pause: Duration,
    ) -> Self {
        Self {
            link,
            idle: ArrayQueue::new(IDLE),
            memories: Mutex::new(memory.into_iter().collect()),
            stopping: Mutex::new(Some(wire)),
            turns: most_calls(&init.limits).map(Turns::new),
            pause,
            _output: output,
        }
    }

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
    ) -> Result<Option<Turn<'_>>, Lost> {
        let Some(turns) = &self.turns else { return Ok(None) };
        loop {
            if let Some(turn) = turns.wait(self.pause) {
                return Ok(Some(turn));
            }
            // A cancelled call gets its turn, too, and then ends early.
            watch.step(context)?;
            watch.start_clock();
        }
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

impl NativeProcess {
    /// Runs an operation whose request is its kind alone.
    fn request(&self, kind: u8, running: &Running) -> Result<Option<Vec<u8>>, Failed> {
        let request = &mut |wire: &mut Wire, keeps_waiting: &mut dyn FnMut() -> bool| {
            wire.send(kind, |_| {}, keeps_waiting)
        };
        self.operate(request, running)
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

    fn has_queues(&self) -> bool {
        true
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
        self.request(kind::SAVE, running)
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

    fn stream_begin(&self, running: &Running) -> Result<(), Failed> {
        self.request(kind::STREAM_BEGIN, running).map(|_| ())
    }

    fn stream_next(&self, running: &Running) -> Result<Option<Vec<u8>>, Failed> {
        self.request(kind::STREAM_NEXT, running)
    }

    fn stream_end(&self, running: &Running) {
        // A process that has ended has no stream.
        let _ = self.request(kind::STREAM_END, running);
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
pub(super) fn open(
    link: &WorkerLink,
    pause: Duration,
) -> io::Result<(Wire, Option<Weak<SharedMemory>>)> {
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
