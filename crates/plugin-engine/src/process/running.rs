//! One started process: the calls in it, and its end.

use std::{
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use platform::{ExitObserver, Group};

use super::cause::{Cause, Exit, describe};

/// The longest time that a caller waits for the cause of an end that it has noticed.
const NOTICE: Duration = Duration::from_secs(2);

/// One started process: the calls in it, and its end.
#[derive(Debug)]
pub struct Running {
    /// The number of the process.
    pub pid: u32,
    /// The time of its start.
    pub started: Instant,
    group: Mutex<Group>,
    /// The names of the commands, in the order of their indexes.
    commands: Vec<String>,
    /// The number of running calls of each command.
    calls: Box<[AtomicU32]>,
    /// The running calls of commands that the process has added since its start.
    others: Mutex<Vec<String>>,
    /// True once the host has decided to end it, or its end is on record.
    is_over: AtomicBool,
    end: Mutex<End>,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct End {
    /// The reason for which the host has killed it.
    verdict: Option<Cause>,
    /// The cause, with the commands that were running, once it has ended.
    cause: Option<(Cause, String)>,
}

/// A call that a process runs.
pub enum RunningCall<'a> {
    /// Of a command that the process had at its start.
    First(&'a AtomicU32),
    /// Of another, by its name.
    Other(&'a Mutex<Vec<String>>, String),
}

impl Drop for RunningCall<'_> {
    fn drop(&mut self) {
        match self {
            Self::First(calls) => {
                calls.fetch_sub(1, Ordering::Relaxed);
            }
            Self::Other(names, name) => {
                let mut names = names.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(at) = names.iter().position(|one| one == name) {
                    names.swap_remove(at);
                }
            }
        }
    }
}

impl Running {
    /// Makes the record of a process that has just been started.
    #[must_use]
    pub fn new(group: Group, commands: Vec<String>) -> Self {
        Self {
            pid: group.child.id(),
            started: Instant::now(),
            group: Mutex::new(group),
            calls: commands.iter().map(|_| AtomicU32::new(0)).collect(),
            commands,
            others: Mutex::default(),
            is_over: AtomicBool::new(false),
            end: Mutex::default(),
            ended: Condvar::new(),
        }
    }

    /// Notes a call of a command.
    pub fn begin(&self, (index, name): (u32, &str)) -> RunningCall<'_> {
        let index = index as usize;
        if self.commands.get(index).is_some_and(|first| first == name)
            && let Some(calls) = self.calls.get(index)
        {
            calls.fetch_add(1, Ordering::Relaxed);
            return RunningCall::First(calls);
        }
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        others.push(name.to_owned());
        RunningCall::Other(&self.others, name.to_owned())
    }

    /// Kills the process and all that it has started. The first reason counts.
    pub fn condemn(&self, cause: Cause) {
        {
            let mut end = self.end();
            if end.cause.is_some() || end.verdict.is_some() {
                return;
            }
            end.verdict = Some(cause);
            self.is_over.store(true, Ordering::SeqCst);
        }
        self.group().end_now();
    }

    /// Returns true if the host has decided to end it.
    #[must_use]
    pub fn is_condemned(&self) -> bool {
        self.end().verdict.is_some()
    }

    /// Returns true if no further call should be sent to it.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }

    /// Asks the process to end, as far as the system can.
    pub fn ask_to_end(&self) {
        self.group().ask_to_end();
    }

    /// Returns true if its end is on record.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.end().cause.is_some()
    }

    /// Returns the cause of its end, and the commands that were running, as a text. Waits for it
    /// for a moment; `None` if it does not end.
    #[must_use]
    pub fn cause(&self) -> Option<(Cause, String)> {
        let waiting = self.ended.wait_timeout_while(self.end(), NOTICE, |end| end.cause.is_none());
        let (end, _) = waiting.unwrap_or_else(PoisonError::into_inner);
        end.cause.clone()
    }

    /// Waits for the end, for at most this time.
    #[must_use]
    pub fn ends_within(&self, time: Duration) -> bool {
        let waiting = self.ended.wait_timeout_while(self.end(), time, |end| end.cause.is_none());
        let (end, _) = waiting.unwrap_or_else(PoisonError::into_inner);
        end.cause.is_some()
    }

    /// Waits for the end on the supervising thread, and records it. `sample` is called about every
    /// `interval` meanwhile, and may end the process.
    pub fn watch(
        &self,
        observer: &ExitObserver,
        interval: Duration,
        mut sample: impl FnMut(&Self),
    ) -> (Cause, String) {
        loop {
            let reaped = self.group().reap(observer);
            let exit = match reaped {
                Ok(None) => {
                    observer.wait(interval);
                    sample(self);
                    continue;
                }
                Ok(Some(status)) => Exit::of(status),
                Err(_) => Exit::Unknown,
            };
            let others = self.others.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let first = self.commands.iter().zip(&self.calls);
            let first = first.filter(|(_, calls)| calls.load(Ordering::Relaxed) > 0);
            let mut running: Vec<_> =
                first.map(|(command, _)| command).chain(&others).map(String::as_str).collect();
            running.sort_unstable();
            running.dedup();
            let mut end = self.end();
            let cause = end.verdict.clone().unwrap_or(Cause::Exit(exit));
            let text = describe(&cause, &running);
            self.is_over.store(true, Ordering::SeqCst);
            end.cause = Some((cause.clone(), text.clone()));
            self.ended.notify_all();
            return (cause, text);
        }
    }

    fn group(&self) -> MutexGuard<'_, Group> {
        self.group.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self) -> MutexGuard<'_, End> {
        self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.group().kill();
    }
}
