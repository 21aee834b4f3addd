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
    live::loader::{self, Probed},
    load_error::Refusal,
    state::store::States,
};

/// The maximum number of parallel probes. Each is a process; a library that hangs occupies one for
/// `--probe-timeout`.
const MOST: usize = 8;

/// The longest wait for probes at the host's end, at which they end at once.
const END: Duration = Duration::from_secs(1);

/// The number and the result of a probe.
pub(super) type Report = (u64, Result<Probed, Refusal>);

/// Running probes, and those that wait for their turn.
pub(super) struct Probes {
    context: Arc<EngineContext>,
    states: Arc<States>,
    next: u64,
    /// In the order of their start.
    probes: Vec<Probe>,
    waiting: VecDeque<u64>,
    /// Threads that have not reported yet, those of cancelled probes included.
    threads: usize,
    sender: Sender<Report>,
    reports: Receiver<Report>,
}

/// A candidate that is being probed, or waits for it.
struct Probe {
    number: u64,
    candidate: Candidate,
    cancelled: Arc<AtomicBool>,
}

/// Reports a probe's end when it drops, so that a panic is reported, too.
struct Reporter {
    number: u64,
    reports: Sender<Report>,
    result: Option<Result<Probed, Refusal>>,
}

impl Probes {
    pub(super) fn new(context: Arc<EngineContext>, states: Arc<States>) -> Self {
        let (sender, reports) = unbounded();
        let (probes, waiting) = (Vec::new(), VecDeque::new());
        Self { context, states, next: 0, probes, waiting, threads: 0, sender, reports }
    }

    /// Probes a candidate, as soon as fewer than [`MOST`] probes run.
    pub(super) fn start(&mut self, candidate: Candidate) {
        self.next += 1;
        self.probes.push(Probe { number: self.next, candidate, cancelled: Arc::default() });
        self.waiting.push_back(self.next);
        self.start_waiting();
    }

    /// Returns the receiver of reports.
    pub(super) fn reports(&self) -> Receiver<Report> {
        self.reports.clone()
    }

    /// Notes a report. Returns its candidate; `None` if that was cancelled.
    pub(super) fn finish(&mut self, number: u64) -> Option<Candidate> {
        self.threads -= 1;
        self.start_waiting();
        let at = self.probes.iter().position(|probe| probe.number == number)?;
        Some(self.probes.remove(at).candidate)
    }

    /// Cancels the probe of the file at this path, and returns its candidate.
    pub(super) fn cancel(&mut self, path: &Path) -> Option<Candidate> {
        let at = self.probes.iter().position(|probe| probe.candidate.is_from(path))?;
        let probe = self.probes.remove(at);
        probe.cancelled.store(true, Ordering::Relaxed);
        self.waiting.retain(|waiting| *waiting != probe.number);
        Some(probe.candidate)
    }

    /// Returns the candidates that are being probed, or wait for it.
    pub(super) fn candidates(&mut self) -> impl Iterator<Item = &mut Candidate> {
        self.probes.iter_mut().map(|probe| &mut probe.candidate)
    }

    /// Returns true if any probe is running or waiting.
    pub(super) fn is_busy(&self) -> bool {
        !self.probes.is_empty()
    }

    /// Returns true if any probe was requested less than `time` ago.
    pub(super) fn has_younger(&self, time: Duration) -> bool {
        self.probes.iter().any(|probe| probe.candidate.started.elapsed() < time)
    }

    /// Waits for the threads, whose probes end because the host is ending.
    pub(super) fn end(&mut self) {
        self.waiting.clear();
        self.probes.clear();
        let deadline = Instant::now() + END;
        while self.threads > 0 && self.reports.recv_deadline(deadline).is_ok() {
            self.threads -= 1;
        }
    }

    fn start_waiting(&mut self) {
        while self.threads < MOST
            && let Some(number) = self.waiting.pop_front()
        {
            let found = self.probes.iter().find(|probe| probe.number == number);
            let Some(Probe { candidate, cancelled, .. }) = found else { continue };
            let (shadow, cancelled) = (Arc::clone(&candidate.shadow), Arc::clone(cancelled));
            let (context, states) = (Arc::clone(&self.context), Arc::clone(&self.states));
            let path = candidate.path.clone();
            let reporter = Reporter { number, reports: self.sender.clone(), result: None };
            self.threads += 1;
            // If there is no thread, the reporter is dropped and reports that.
            let _ = thread::Builder::new().name("probe".into()).spawn(move || {
                let give_up = || cancelled.load(Ordering::Relaxed);
                reporter.report(loader::probe((&context, &states), &shadow, &path, &give_up));
            });
        }
    }
}

impl Reporter {
    fn report(mut self, result: Result<Probed, Refusal>) {
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
