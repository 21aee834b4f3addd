//! The host's side of a running executable that speaks JSON lines.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use platform::ReaderEnd;
use protocol::Encoder;

use super::{
    Json, Requests, SessionFields, WorkerAnswer,
    reader::{Caller, Event, Progress, SLACK, Shared},
    write_answer,
};
use crate::{
    call::Call,
    process::{
        output::LoggedOutput,
        protocol::{CallWatch, Failed, Lost, Protocol, SLICE, Step},
        running::Running,
        turns::{Turn, Turns},
    },
};

/// The longest state that the host takes from a worker, in bytes.
const LONGEST_STATE: usize = 1 << 30;

/// A running executable.
pub(super) struct LinesProcess {
    /// Lines to write; closed by `None`.
    lines: Sender<Option<Vec<u8>>>,
    shared: Arc<Shared>,
    next: AtomicU64,
    /// The turns of the calls.
    turns: Turns,
    /// The ends of the readers of its lines and of its errors.
    _readers: (ReaderEnd, LoggedOutput),
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

impl LinesProcess {
    /// Makes the host's side of a worker that has told its hello.
    pub(super) fn new(
        lines: Sender<Option<Vec<u8>>>,
        shared: Arc<Shared>,
        concurrency: u32,
        readers: (ReaderEnd, LoggedOutput),
    ) -> Self {
        let turns = Turns::new(concurrency.max(1) as usize);
        Self { lines, shared, next: AtomicU64::new(1), turns, _readers: readers }
    }

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
    fn turn(&self, call: &Call<'_>, watch: &mut CallWatch<'_>) -> Result<Option<Turn<'_>>, Lost> {
        loop {
            let turn = self.turns.wait(SLICE);
            watch.start_clock();
            if turn.is_some() {
                return Ok(turn);
            }
            if matches!(watch.step(call.context)?, Step::Cancel) {
                return Ok(None);
            }
            if self.shared.is_closed.load(Ordering::SeqCst) {
                return Err(Lost::Gone);
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
    fn calls_by_name(&self) -> bool {
        true
    }

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
        let id = (waiting.id, call.context.time_millis());
        Requests::new(&mut line).call(id, command.1, call.arguments(), &session);
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
                    reply.refuse_large_error();
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
