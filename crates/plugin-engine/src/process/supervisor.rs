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
    protocol::{Failed, Hello, Launched, Lost, Protocol},
    restarts::{Next, PROBATION, Restarts},
    running::Running,
};
use crate::{events::EventKind, load_error::Refusal};

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

/// A process that serves.
pub struct Serving {
    /// The process.
    pub running: Arc<Running>,
    /// The way to talk to it.
    pub protocol: Box<dyn Protocol>,
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

    fn supervise(self: &Arc<Self>, first: Sender<Result<Hello, Refusal>>) {
        let mut first = Some(first);
        loop {
            let started = Instant::now();
            let (cause, text, served) = match self.launch(first.is_none()) {
                Ok((launched, observer)) => {
                    let Launched { group, protocol, hello, cgroup } = launched;
                    let commands = hello.manifest.commands.iter().map(|one| one.name.clone());
                    let running = Arc::new(Running::new(group, commands.collect()));
                    let serving = Arc::new(Serving { running, protocol });
                    if first.is_none() {
                        self.revive(&serving, started);
                    } else {
                        self.publish(&serving, started);
                    }
                    if let Some(first) = first.take() {
                        // The receiver is gone if it has given up; it has set `is_ending` then.
                        let _ = first.send(Ok(hello));
                    }
                    let mut sampled = Instant::now();
                    let (cause, text) = serving.running.watch(&observer, SAMPLE, |running| {
                        if sampled.elapsed() >= SAMPLE {
                            sampled = Instant::now();
                            self.core.sample(running);
                            if serving.protocol.is_closed() {
                                let problem = "it closed its output".to_owned();
                                running.condemn(Cause::Protocol(problem));
                            }
                        }
                        self.check(running);
                    });
                    {
                        // Under the lock, so that nobody publishes a process that has ended.
                        let _state = self.state();
                        self.current.store(None);
                    }
                    serving.protocol.abandon();
                    // Removed once its processes have ended.
                    drop(cgroup);
                    (cause, text, serving.running.started.elapsed())
                }
                Err(refusal) => {
                    if let Some(first) = first.take() {
                        self.finish();
                        let _ = first.send(Err(refusal));
                        return;
                    }
                    if matches!(refusal, Refusal::ProbeFailed { .. }) {
                        // The system is short of something, which is no fault of the plugin.
                        log::warn!("plugin {}: not started: {refusal}", self.core.name());
                        self.set_phase(Phase::Waiting(Instant::now() + SHORTAGE));
                        if self.wait_for_start() {
                            continue;
                        }
                        return self.finish();
                    }
                    let cause = Cause::NotStarted(refusal.to_string());
                    (cause.clone(), cause.to_string(), Duration::ZERO)
                }
            };
            if !self.note_end(&cause, &text, served) || !self.wait_for_start() {
                return self.finish();
            }
        }
    }

    fn launch(&self, is_again: bool) -> Result<(Launched, platform::ExitObserver), Refusal> {
        self.set_phase(Phase::Starting);
        let give_up = || self.state().is_ending;
        let mut launched = self.core.launcher.launch(&give_up)?;
        let checked = match is_again {
            true => self.core.check_same(&launched.hello.manifest),
            false => Ok(()),
        };
        let observed = checked.and_then(|()| {
            let observer = launched.group.observer();
            observer.map_err(|error| Refusal::probe_failed("observe its process", &error))
        });
        match observed {
            Ok(observer) => Ok((launched, observer)),
            Err(refusal) => {
                launched.group.kill();
                Err(refusal)
            }
        }
    }

    /// Configures a process that was started again and hands it its state, on a thread of its own:
    /// this one notices its end meanwhile.
    fn revive(self: &Arc<Self>, serving: &Arc<Serving>, started: Instant) {
        self.state().revived_by = Some(started + self.core.context.settings.handover_timeout);
        let (supervisor, revived) = (Arc::clone(self), Arc::clone(serving));
        let revive = move || {
            let more = |time: Duration| {
                if let Some(by) = &mut supervisor.state().revived_by {
                    *by += time;
                }
            };
            match supervisor.core.revive(&revived, &more) {
                Ok(()) => supervisor.publish(&revived, started),
                Err(problem) => revived.running.condemn(Cause::NotStarted(problem)),
            }
        };
        if let Err(error) = thread::Builder::new().name("revive".into()).spawn(revive) {
            let problem = format!("cannot start a thread: {error}");
            serving.running.condemn(Cause::NotStarted(problem));
        }
    }

    /// Lets callers have a process that has just been started.
    fn publish(&self, serving: &Arc<Serving>, started: Instant) {
        let (is_again, is_trial, is_ending) = {
            let mut state = self.state();
            if serving.running.has_ended() {
                return;
            }
            self.current.store(Some(Arc::clone(serving)));
            state.phase = Phase::Serving;
            state.revived_by = None;
            let was = std::mem::take(&mut state.is_asked) | std::mem::take(&mut state.was_asked);
            let is_again = state.history.last_end.is_some() || was;
            if is_again {
                state.history.restarts += 1;
            }
            let is_trial = state.restarts.is_quarantined() | std::mem::take(&mut state.is_healed);
            (is_again, is_trial, state.is_ending)
        };
        self.changed.notify_all();
        if is_ending {
            serving.protocol.stop();
        } else if is_again {
            let detail = format!("process {}", serving.running.pid);
            let kind = if is_trial { EventKind::Healed } else { EventKind::Restarted };
            self.core.publish(kind, started.elapsed(), detail);
        }
    }

    /// Looks at the times of a running process: it may have served long enough for its earlier ends
    /// to be forgotten, or have had its time to start or to end.
    fn check(&self, running: &Running) {
        let now = Instant::now();
        let mut state = self.state();
        if state.phase == Phase::Serving && running.started.elapsed() >= PROBATION {
            state.restarts.clear();
        }
        let is_late = state.revived_by.is_some_and(|by| now >= by);
        let is_stuck =
            state.ending_since.is_some_and(|since| now.saturating_duration_since(since) >= 3 * END);
        drop(state);
        if is_late {
            let problem = "its `configure` or `restore` took too long".to_owned();
            running.condemn(Cause::NotStarted(problem));
        } else if is_stuck {
            running.condemn(Cause::Asked);
        }
    }

    /// Notes an end, and returns false if the process is not to be started again.
    fn note_end(&self, cause: &Cause, text: &str, served: Duration) -> bool {
        let mut state = self.state();
        if state.is_ending {
            drop(state);
            if cause.is_fault() {
                self.core.publish(EventKind::Crashed, served, format!("{text}; it was to end"));
            }
            return false;
        }
        state.revived_by = None;
        if *cause == Cause::Asked && state.is_asked {
            state.phase = Phase::Waiting(Instant::now());
            return true;
        }
        let now = Instant::now();
        let was_quarantined = state.restarts.is_quarantined();
        let next = state.restarts.note_end(self.core.uptime(), served, self.core.jitter());
        state.history.crashes += 1;
        state.history.last_end = Some((text.to_owned(), now));
        let after = match next {
            Next::After(pause) => {
                state.phase = Phase::Waiting(now + pause);
                format!("it is started again in {}", seconds(pause))
            }
            Next::Trial(pause) => {
                state.phase = Phase::Quarantined(now + pause);
                format!("the next trial is in {}", seconds(pause))
            }
        };
        let is_quarantined = state.restarts.is_quarantined();
        drop(state);
        self.changed.notify_all();
        self.core.publish(EventKind::Crashed, served, format!("{text}; {after}"));
        if is_quarantined && !was_quarantined {
            let detail = format!(
                "it ended {} times in {}, the last time by {text}; {after}, 'plugin restart {}' \
                 starts one now",
                super::restarts::MOST,
                seconds(PROBATION),
                self.core.name()
            );
            self.core.publish(EventKind::Quarantined, served, detail);
        }
        true
    }

    /// Waits until the process is to be started again. Returns false if it never is.
    fn wait_for_start(&self) -> bool {
        let mut state = self.state();
        loop {
            if state.is_ending {
                return false;
            }
            let now = Instant::now();
            let phase = state.phase;
            let until = match phase {
                _ if std::mem::take(&mut state.is_asked) => {
                    state.was_asked = true;
                    return true;
                }
                Phase::Waiting(until) | Phase::Quarantined(until) => until,
                Phase::Starting | Phase::Serving | Phase::Ended => now,
            };
            if state.is_armed && now >= until {
                return true;
            }
            let left = if state.is_armed {
                until.saturating_duration_since(now)
            } else {
                // Woken by `arm`, or by the end.
                PROBATION
            };
            let waiting = self.changed.wait_timeout(state, left);
            state = waiting.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn finish(&self) {
        self.current.store(None);
        self.set_phase(Phase::Ended);
    }

    fn set_phase(&self, phase: Phase) {
        self.state().phase = phase;
        self.changed.notify_all();
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

impl Serving {
    /// Handles a process that is lost: makes sure that it ends, and returns the cause as a text.
    #[must_use]
    pub fn settle(&self, lost: Lost) -> String {
        /// The time for which a process may outlive its connections.
        const OUTLIVES: Duration = Duration::from_millis(100);
        match lost {
            Lost::Broken(problem) => self.running.condemn(Cause::Protocol(problem)),
            Lost::Ended(cause) => self.running.condemn(cause),
            Lost::Unable(problem) => return problem,
            Lost::Gone => {
                if !self.running.is_condemned() && !self.running.ends_within(OUTLIVES) {
                    let problem = "it closed a connection that the host needs".to_owned();
                    self.running.condemn(Cause::Protocol(problem));
                }
            }
        }
        let cause = self.running.cause();
        cause.map_or_else(|| "its process does not end".to_owned(), |(_, text)| text)
    }

    /// Describes a failed operation.
    #[must_use]
    pub fn explain(&self, failed: Failed) -> String {
        match failed {
            Failed::Refused(problem) | Failed::Lost(Lost::Unable(problem)) => problem,
            Failed::Lost(lost) => format!("its process has ended: {}", self.settle(lost)),
        }
    }
}
