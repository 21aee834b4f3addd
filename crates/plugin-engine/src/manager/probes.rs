//! Runs probes in parallel, so that a library that hangs delays no other.

use std::{
    collections::VecDeque,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, Sender, unbounded};

use super::candidate::Candidate;
use crate::{
    context::EngineContext,
    live::{loader, manifest::Manifest},
    load_error::Refusal,
};

/// The maximum number of parallel probes. Each is a process; a library that hangs occupies one for
/// `--probe-timeout`.
const MOST: usize = 8;

/// The longest wait for probes at the host's end, at which they end at once.
const END: Duration = Duration::from_secs(1);

/// The number and the result of a probe.
pub(super) type Report = (u64, Result<Manifest, Refusal>);

/// Running probes, and those that wait for their turn.
pub(super) struct Probes {
    context: Arc<EngineContext>,
    next: u64,
    /// In the order of their start.
    candidates: Vec<(u64, Candidate, Arc<AtomicBool>)>,
    waiting: VecDeque<u64>,
    /// Threads that have not reported yet, those of cancelled probes included.
    threads: usize,
    reports: (Sender<Report>, Receiver<Report>),
}

/// Reports a probe's end when it drops, so that a panic is reported, too.
struct Reporter {
    number: u64,
    reports: Sender<Report>,
    result: Option<Result<Manifest, Refusal>>,
}

impl Probes {
    pub(super) fn new(context: Arc<EngineContext>) -> Self {
        let (candidates, waiting) = (Vec::new(), VecDeque::new());
        Self { context, next: 0, candidates, waiting, threads: 0, reports: unbounded() }
    }

    /// Probes a candidate, as soon as fewer than [`MOST`] probes run.
    pub(super) fn start(&mut self, candidate: Candidate) {
        self.next += 1;
        self.candidates.push((self.next, candidate, Arc::default()));
        self.waiting.push_back(self.next);
        self.start_waiting();
    }

    /// Returns the receiver of reports.
    pub(super) fn reports(&self) -> Receiver<Report> {
        self.reports.1.clone()
    }

    /// Notes a report. Returns its candidate; `None` if that was cancelled.
    pub(super) fn finish(&mut self, number: u64) -> Option<Candidate> {
        self.threads -= 1;
        self.start_waiting();
        let at = self.candidates.iter().position(|(one, ..)| *one == number)?;
        Some(self.candidates.remove(at).1)
    }

    /// Cancels the probe of the file at this path, and returns its candidate.
    pub(super) fn cancel(&mut self, path: &Path) -> Option<Candidate> {
        let at = self.candidates.iter().position(|(_, one, _)| one.is_from(path))?;
        let (number, candidate, cancelled) = self.candidates.remove(at);
        cancelled.store(true, Ordering::Relaxed);
        self.waiting.retain(|waiting| *waiting != number);
        Some(candidate)
    }

    /// Returns the candidates that are being probed, or wait for it.
    pub(super) fn candidates(&mut self) -> impl Iterator<Item = &mut Candidate> {
        self.candidates.iter_mut().map(|(_, candidate, _)| candidate)
    }

    /// Returns true if any probe is running or waiting.
    pub(super) fn is_busy(&self) -> bool {
        !self.candidates.is_empty()
    }

    /// Returns true if any probe was requested less than `time` ago.
    pub(super) fn has_younger(&self, time: Duration) -> bool {
        self.candidates.iter().any(|(_, one, _)| one.started.elapsed() < time)
    }

    /// RetryOn for the threads, whose probes end because the host is ending.
    pub(super) fn end(&mut self) {
        self.waiting.clear();
        self.candidates.clear();
        let deadline = Instant::now() + END;
        while self.threads > 0 && self.reports.1.recv_deadline(deadline).is_ok() {
            self.threads -= 1;
        }
    }

    fn start_waiting(&mut self) {
        while self.threads < MOST
            && let Some(number) = self.waiting.pop_front()
        {
            let found = self.candidates.iter().find(|(one, ..)| *one == number);
            let Some((_, candidate, cancelled)) = found else { continue };
            let (shadow, cancelled) = (Arc::clone(&candidate.shadow), Arc::clone(cancelled));
            let context = Arc::clone(&self.context);
            let reporter = Reporter { number, reports: self.reports.0.clone(), result: None };
            self.threads += 1;
            // If there is no thread, the reporter is dropped and reports that.
            let _ = thread::Builder::new().name("probe".into()).spawn(move || {
                let give_up = || cancelled.load(Ordering::Relaxed);
                reporter.report(loader::probe(&context, &shadow, &give_up));
            });
        }
    }
}

impl Reporter {
    fn report(mut self, result: Result<Manifest, Refusal>) {
        self.result = Some(result);
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        let failed = || Err(Refusal::probe_failed("start a thread", &"the system has none left"));
        let result = self.result.take().unwrap_or_else(failed);
        // Best effort: the receiver is gone once the manager has ended.
        let _ = self.reports.send((self.number, result));
    }
}
