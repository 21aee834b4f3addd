//! Runs plugin code within a time limit.

use std::{
    sync::mpsc::{self, RecvTimeoutError},
    time::{Duration, Instant},
};

use super::task_thread::TaskThread;

/// Interval at which `give_up` is asked.
pub const SLICE: Duration = Duration::from_millis(20);

/// Longer than any flag allows.
pub const UNBOUNDED: Duration = Duration::from_secs(400 * 86_400);

/// The time for a thread to end after its work: it only has to drop its thread-locals.
pub const END: Duration = Duration::from_millis(250);

/// The limit of an operation.
pub struct Deadline<'a> {
    /// The time limit.
    pub time: Duration,
    /// Returns true if the caller should give up earlier.
    pub give_up: &'a dyn Fn() -> bool,
}

/// The reason for which there is no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimedOut {
    /// The time is over. The work continues, and keeps everything that it holds.
    Expired,
    /// As [`Expired`](Self::Expired), but `give_up` returned true before the time was over.
    GivenUp,
    /// The work panicked.
    Failed,
    /// The system could not start a thread.
    NoThread,
}

impl TimedOut {
    /// Describes it for people, with the operation and its time limit.
    #[must_use]
    pub fn explain(self, what: &str, time: Duration) -> String {
        match self {
            Self::Expired => format!("its `{what}` took longer than {} s", time.as_secs_f64()),
            Self::Failed => format!("its `{what}` ended without a result"),
            Self::NoThread => format!("the system cannot start a thread for its `{what}`"),
            Self::GivenUp => format!("the host is ending, and its `{what}` has not returned"),
        }
    }
}

/// Runs the work on a thread of its own and waits for its result within the limit.
///
/// # Errors
/// There is no result in time, the work panicked, or the system cannot start a thread.
pub fn within<T: Send + 'static>(
    deadline: &Deadline<'_>,
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, TimedOut> {
    keeping((), deadline, name, END, work).map(|done| done.result)
}

/// The result of plugin code that ran within its limit.
pub struct Done<T> {
    /// Its result, valid in any case.
    pub result: T,
    /// True if its thread has ended, too. Otherwise the drop of a thread-local blocks it.
    pub ended: bool,
}

/// Works as [`within`], and gives the work's thread the time `end` to end after its work. `kept` is
/// dropped when that thread has ended, in time or not.
///
/// # Errors
/// As [`within`].
pub fn keeping<K: Send + 'static, T: Send + 'static>(
    kept: K,
    deadline: &Deadline<'_>,
    name: &str,
    end: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<Done<T>, TimedOut> {
    let (sender, receiver) = mpsc::sync_channel(1);
    let thread = TaskThread::start(name, kept, move || {
        // The receiver is gone if the time is over.
        let _ = sender.send(work());
    });
    let Ok(thread) = thread else { return Err(TimedOut::NoThread) };
    let expires_at = Instant::now() + deadline.time;
    loop {
        let left = expires_at.saturating_duration_since(Instant::now());
        match receiver.recv_timeout(left.min(SLICE)) {
            Ok(result) => {
                // Its thread-locals should be dropped before the plugin.
                return Ok(Done { result, ended: thread.ends_within(end) });
            }
            Err(RecvTimeoutError::Timeout) if left.is_zero() => return Err(TimedOut::Expired),
            Err(RecvTimeoutError::Timeout) if (deadline.give_up)() => {
                return Err(TimedOut::GivenUp);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err(TimedOut::Failed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_gets_its_time_and_no_more() {
        let hang = |time, give_up: &dyn Fn() -> bool| {
            let (_keep, never) = mpsc::channel::<()>();
            within(&Deadline { time, give_up }, "hung", move || never.recv().is_ok())
        };
        let long = Duration::from_secs(20);
        assert_eq!(within(&Deadline { time: long, give_up: &|| true }, "quick", || 7), Ok(7));
        assert_eq!(hang(Duration::from_millis(1), &|| false), Err(TimedOut::Expired));
        assert_eq!(hang(long, &|| true), Err(TimedOut::GivenUp));
    }
}
