//! Supervises one process of a plugin: starts it, notices its end, and starts it again.
//!
//! The supervising thread starts the process itself and lives until the process has ended: Linux
//! kills a process whose death signal is set when the thread that started it ends.

use std::{
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use crossbeam_channel::{Receiver, Sender, bounded};

use super::{
    cause::{Cause, seconds},
    core::Core,
    protocol::Hello,
    restarts::{PROBATION, Restarts},
    running::Running,
    serving::Serving,
};
use crate::load_error::Refusal;

mod supervise;

/// The interval at which a process's use of memory and its children are looked at.
pub const SAMPLE: Duration = Duration::from_millis(250);

/// The longest pause before a start that callers wait for instead of an error.
const SHORT: Duration = Duration::from_millis(150);

/// The time that a process has for its orderly end, and then for each harder request.
const END: Duration = Duration::from_secs(2);

/// The pause before a start that the system was too short of something for.
const SHORTAGE: Duration = Duration::from_secs(1);

/// The same times when the host ends.
const LAST_END: Duration = Duration::from_millis(500);

/// One process of a plugin, and its successors.
pub struct Supervisor {
    core: Arc<Core>,
    state: Mutex<State>,
    changed: Condvar,
    current: ArcSwapOption<Serving>,
}

struct State {
    phase: Phase,
    restarts: Restarts,
    history: History,
    /// True if an operator wants a start now.
    is_asked: bool,
    /// True if the start that an operator wants has begun.
    was_asked: bool,
    /// True if that ends a quarantine.
    is_healed: bool,
    /// The time by which a process that was started again must serve.
    revived_by: Option<Instant>,
    /// True once commands lead to it: from then on it is started again.
    is_armed: bool,
    is_ending: bool,
    ending_since: Option<Instant>,
}

/// The ends and the starts of one process of a plugin and of its successors.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// The number of starts after an unexpected end, and of those that an operator asked for.
    pub restarts: u64,
    /// The number of unexpected ends.
    pub crashes: u64,
    /// The last unexpected end.
    pub last_end: Option<(String, Instant)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Starting,
    Serving,
    /// It has ended, and is started again at this time.
    Waiting(Instant),
    /// It has ended too often, and the next trial is at this time.
    Quarantined(Instant),
    Ended,
}

impl State {
    fn is_soon(&self, now: Instant) -> bool {
        match self.phase {
            // If none serves, it is about to end, and its successor about to start.
            Phase::Serving => true,
            Phase::Starting => !self.restarts.is_quarantined(),
            Phase::Waiting(until) => self.is_armed && until.saturating_duration_since(now) <= SHORT,
            Phase::Quarantined(_) | Phase::Ended => false,
        }
    }
}

/// The reason for which no process serves, and the time for which the caller may wait.
pub struct Unavailable(pub String);

impl Supervisor {
    /// Starts a process and waits until it has described itself.
    ///
    /// # Errors
    /// The reason for which it must not be served.
    pub fn start(
        core: Arc<Core>,
        give_up: &dyn Fn() -> bool,
    ) -> Result<(Arc<Self>, Hello), Refusal> {
        let supervisor = Arc::new(Self {
            core,
            state: Mutex::new(State {
                phase: Phase::Starting,
                restarts: Restarts::default(),
                history: History::default(),
                is_asked: false,
                was_asked: false,
                is_healed: false,
                revived_by: None,
                is_armed: false,
                is_ending: false,
                ending_since: None,
            }),
            changed: Condvar::new(),
            current: ArcSwapOption::empty(),
        });
        let (first, started) = bounded(1);
        supervisor.spawn(first).map_err(|error| Refusal::probe_failed("start a thread", &error))?;
        let hello = supervisor.wait_for_first(&started, give_up)?;
        Ok((supervisor, hello))
    }

    fn spawn(self: &Arc<Self>, first: Sender<Result<Hello, Refusal>>) -> io::Result<()> {
        let supervisor = Arc::clone(self);
        thread::Builder::new().name("supervisor".into()).spawn(move || {
            supervisor.supervise(first);
        })?;
        Ok(())
    }

    fn wait_for_first(
        &self,
        started: &Receiver<Result<Hello, Refusal>>,
        give_up: &dyn Fn() -> bool,
    ) -> Result<Hello, Refusal> {
        loop {
            match started.recv_timeout(super::protocol::SLICE) {
                Ok(result) => return result,
                Err(crossbeam_channel::RecvTimeoutError::Timeout) if give_up() => {
                    self.begin_end();
                    return Err(Refusal::Stopping);
                }
                Err(crossbeam_channel::RecvTimeoutError::Timeout) => {}
                Err(crossbeam_channel::RecvTimeoutError::Disconnected) => {
                    return Err(Refusal::probe_failed("start its process", &"its thread ended"));
                }
            }
        }
    }

    /// Returns the process that serves. Waits for one that starts, for at most `patience`.
    ///
    /// # Errors
    /// No process serves, with the reason for people.
    pub fn serving(&self, patience: Duration) -> Result<Arc<Serving>, Unavailable> {
        if let Some(serving) = self.current() {
            return Ok(serving);
        }
        let deadline = Instant::now() + patience;
        let mut state = self.state();
        loop {
            let now = Instant::now();
            if state.phase == Phase::Serving
                && let Some(serving) = self.current()
            {
                return Ok(serving);
            }
            if !state.is_soon(now) || now >= deadline {
                return Err(Unavailable(self.explain(&state, now)));
            }
            let left = deadline.saturating_duration_since(now);
            let waiting = self.changed.wait_timeout(state, left);
            state = waiting.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Returns true if a process serves, or will in a moment.
    pub fn is_soon(&self) -> bool {
        self.state().is_soon(Instant::now())
    }

    /// Returns the process that serves now; `None` if it is to end, or has.
    pub fn current(&self) -> Option<Arc<Serving>> {
        self.current.load_full().filter(|serving| !serving.running.is_over())
    }

    /// Returns the reason for which it does not serve; `None` if it does.
    pub fn unavailable(&self) -> Option<String> {
        let state = self.state();
        (state.phase != Phase::Serving).then(|| self.explain(&state, Instant::now()))
    }

    /// Returns the ends and the starts so far.
    pub fn history(&self) -> History {
        self.state().history.clone()
    }

    /// Returns true if no process serves and the next one is a trial.
    pub fn is_quarantined(&self) -> bool {
        let state = self.state();
        state.phase != Phase::Serving && state.restarts.is_quarantined()
    }

    /// Starts it again after its next unexpected end, or after one that has happened already.
    pub fn arm(&self) {
        self.state().is_armed = true;
        self.changed.notify_all();
    }

    /// Starts the process again now, and forgets its earlier ends.
    pub fn restart(&self) {
        let current = {
            let mut state = self.state();
            state.is_healed |= state.restarts.is_quarantined();
            state.restarts.clear();
            state.is_asked = true;
            self.changed.notify_all();
            // New calls wait for its successor.
            self.current.swap(None)
        };
        if let Some(serving) = current {
            serving.running.condemn(Cause::Asked);
        }
    }

    /// Begins to end the process for good: asks it to.
    pub fn begin_end(&self) {
        {
            let mut state = self.state();
            state.is_ending = true;
            state.ending_since.get_or_insert_with(Instant::now);
        }
        self.changed.notify_all();
        if let Some(serving) = self.current.load_full() {
            serving.protocol.stop();
        }
    }

    /// Ends the process for good, by force if it does not end in time.
    pub fn end(&self) {
        self.begin_end();
        let time = if self.core.context.shutdown.is_stopping() { LAST_END } else { END };
        for harder in [Running::ask_to_end as fn(&Running), |running| running.condemn(Cause::Asked)]
        {
            if self.ends_within(time) {
                return;
            }
            if let Some(serving) = self.current.load_full() {
                harder(&serving.running);
            }
        }
        if !self.ends_within(END) {
            let (plugin, file) = (self.core.name(), &self.core.file);
            log::error!("plugin {plugin}: a process of {file} does not end, although it is killed");
        }
    }

    fn ends_within(&self, time: Duration) -> bool {
        let waiting = self
            .changed
            .wait_timeout_while(self.state(), time, |state| state.phase != Phase::Ended);
        waiting.unwrap_or_else(PoisonError::into_inner).0.phase == Phase::Ended
    }

    /// Explains to a caller that no process serves.
    fn explain(&self, state: &State, now: Instant) -> String {
        let plugin = self.core.name();
        let last = state.history.last_end.as_ref().map_or("", |(text, _)| text.as_str());
        match state.phase {
            Phase::Quarantined(until) => {
                let left = seconds(until.saturating_duration_since(now));
                let (most, time) = (super::restarts::MOST, seconds(PROBATION));
                format!(
                    "plugin '{plugin}' is quarantined: it ended {most} times in {time}, the last \
                     time by {last}; the next trial is in {left}, 'plugin restart {plugin}' \
                     starts one now"
                )
            }
            Phase::Waiting(until) => {
                let left = seconds(until.saturating_duration_since(now));
                format!("plugin '{plugin}' starts again in {left}: {last}")
            }
            Phase::Starting | Phase::Serving => format!("plugin '{plugin}' is starting"),
            Phase::Ended => format!("plugin '{plugin}' has ended"),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
