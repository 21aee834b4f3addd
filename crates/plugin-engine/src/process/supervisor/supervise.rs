//! The supervising thread: starts the process, waits for its end, and decides what comes next.

use std::{
    sync::{Arc, PoisonError},
    thread,
    time::{Duration, Instant},
};

use crossbeam_channel::Sender;

use super::{END, Phase, SAMPLE, SHORTAGE, Supervisor};
use crate::{
    events::EventKind,
    live::manifest::CommandFacts,
    load_error::Refusal,
    process::{
        cause::{Cause, seconds},
        protocol::{Hello, Launched},
        restarts::{MOST, Next, PROBATION},
        running::Running,
        serving::Serving,
    },
};

impl Supervisor {
    pub(super) fn supervise(self: &Arc<Self>, first: Sender<Result<Hello, Refusal>>) {
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
                        self.revive(&serving, hello.manifest.commands.clone(), started);
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
    fn revive(
        self: &Arc<Self>,
        serving: &Arc<Serving>,
        commands: Vec<CommandFacts>,
        started: Instant,
    ) {
        let patience = self.core.revival_patience();
        self.state().revived_by = Some(started + patience);
        let (supervisor, revived) = (Arc::clone(self), Arc::clone(serving));
        let revive = move || {
            let progress = || {
                if let Some(by) = &mut supervisor.state().revived_by {
                    *by = Instant::now() + patience;
                }
            };
            match supervisor.core.revive(&revived, &commands, &progress) {
                Ok(turn) => {
                    supervisor.publish(&revived, started);
                    drop(turn);
                }
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
                MOST,
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
}
