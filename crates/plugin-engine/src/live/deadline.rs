//! Plugin code that is given a time, and no more.

use std::{
    sync::mpsc::{self, RecvTimeoutError},
    time::{Duration, Instant},
};

use super::task_thread::TaskThread;

/// How often it is asked whether to give up early.
pub const SLICE: Duration = Duration::from_millis(20);

/// How long a thread may take to end after its work. Only its thread-locals are left then.
pub const END: Duration = Duration::from_millis(250);

/// How long something may take.
pub struct Deadline<'a> {
    /// The time.
    pub time: Duration,
    /// Whether to give up before.
    pub give_up: &'a dyn Fn() -> bool,
}

/// Why there is no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimedOut {
    /// The time is over. The work goes on by itself, and so does whatever it holds.
    Expired,
    /// As above, but before the time was over.
    GivenUp,
    /// The work panicked.
    Failed,
    /// There was no thread for it.
    NoThread,
}

impl TimedOut {
    /// In words, of what was tried within this time.
    #[must_use]
    pub fn explain(self, what: &str, time: Duration) -> String {
        match self {
            Self::Expired => format!("its `{what}` took longer than {} s", time.as_secs_f64()),
            Self::Failed => format!("its `{what}` ended without a result"),
            Self::NoThread => format!("the system has no thread for its `{what}`"),
            Self::GivenUp => format!("the host is ending, and its `{what}` has not returned"),
        }
    }
}

/// Does the work on a thread of its own and waits for it, but no longer than that.
///
/// # Errors
/// Where there is no result in time.
pub fn within<T: Send + 'static>(
    deadline: &Deadline<'_>,
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, TimedOut> {
    keeping((), deadline, name, END, work).map(|done| done.result)
}

/// What came of work that plugin code did.
pub struct Done<T> {
    /// Its result, which is valid in any case.
    pub result: T,
    /// Its thread has ended, too. Otherwise the drop of a thread-local holds it up.
    pub ended: bool,
}

/// As [`within`]. Gives the work's thread some time to `end` after it; what is `kept` is dropped
/// when that thread has ended, in time or not.
///
/// # Errors
/// As `within`.
pub fn keeping<K: Send + 'static, T: Send + 'static>(
    kept: K,
    deadline: &Deadline<'_>,
    name: &str,
    end: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<Done<T>, TimedOut> {
    let (sender, receiver) = mpsc::sync_channel(1);
    let thread = TaskThread::start(name, kept, move || {
        // Nobody waits any more where the time is over.
        let _ = sender.send(work());
    });
    let Ok(thread) = thread else { return Err(TimedOut::NoThread) };
    let expires_at = Instant::now() + deadline.time;
    loop {
        let left = expires_at.saturating_duration_since(Instant::now());
        match receiver.recv_timeout(left.min(SLICE)) {
            Ok(result) => {
                // Its thread-locals should go before the plugin.
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
