//! Reads the lines of a worker and hands them to the callers that wait.

use std::{
    collections::HashMap,
    io::BufReader,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Instant,
};

use crossbeam_channel::Sender;
use platform::EndableReader;
use telemetry::log_throttle::Throttle;

use super::{Hello as WorkerHello, Line, LineReader, Message, WorkerAnswer, parse, start_id};
use crate::live::{host_services::PluginServices, manifest::CommandFacts};

/// The longest hello, in bytes.
const LONGEST_HELLO: usize = 4 << 20;

/// The room in a line beside its reply, in bytes.
pub(super) const SLACK: usize = 64 << 10;

/// The part of a worker's reader that its callers share.
pub(super) struct Shared {
    pub(super) waiting: Mutex<HashMap<u64, Caller>>,
    /// The longest line, in bytes.
    pub(super) longest: Arc<AtomicUsize>,
    /// True once the worker has closed its output.
    pub(super) is_closed: AtomicBool,
    pub(super) services: Arc<PluginServices>,
    /// Limits the log lines about lines that are no messages.
    pub(super) bad_lines: Throttle,
    pub(super) changed: Arc<dyn Fn(Vec<CommandFacts>) + Send + Sync>,
}

/// A caller that waits for an answer.
pub(super) struct Caller {
    /// Has room for an answer and for the note that there is progress.
    pub(super) events: Sender<Event>,
    pub(super) progress: Arc<Mutex<Option<Progress>>>,
}

/// The last report of progress that its caller has not passed on.
pub(super) struct Progress {
    pub(super) done: u64,
    pub(super) total: u64,
    pub(super) text: String,
}

/// News for a caller.
pub(super) enum Event {
    Answer(WorkerAnswer),
    /// There is progress.
    Progress,
    Malformed,
    TooLong,
}

impl Shared {
    /// Makes what a reader shares with the callers of a worker that has not told its hello.
    pub(super) fn new(
        services: &Arc<PluginServices>,
        changed: &Arc<dyn Fn(Vec<CommandFacts>) + Send + Sync>,
    ) -> Self {
        Self {
            waiting: Mutex::default(),
            longest: Arc::new(AtomicUsize::new(LONGEST_HELLO)),
            is_closed: AtomicBool::new(false),
            services: Arc::clone(services),
            bad_lines: Throttle::default(),
            changed: Arc::clone(changed),
        }
    }

    /// Reads the worker's lines until it closes its output, or until the end of the reader.
    pub(super) fn read_lines(
        &self,
        output: EndableReader,
        hello: &Sender<Result<WorkerHello, String>>,
    ) {
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

    pub(super) fn warn(&self, problem: &str) {
        let plugin = &self.services.name;
        self.bad_lines
            .warn(Instant::now(), || format!("plugin {plugin}: it wrote no message: {problem}"));
    }

    fn take(&self, id: u64) -> Option<Sender<Event>> {
        self.waiting().remove(&id).map(|caller| caller.events)
    }

    pub(super) fn waiting(&self) -> MutexGuard<'_, HashMap<u64, Caller>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
