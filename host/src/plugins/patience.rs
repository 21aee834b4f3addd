//! Plugin code that is given a time, and no more.

use std::{
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

/// Why there is no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// The time is over. The work goes on by itself, and so does whatever it holds.
    TimedOut,
    /// The work panicked, or there was no thread for it.
    Failed,
}

/// Does the work on a thread of its own and waits for it, but no longer than `time`.
///
/// # Errors
/// Where there is no result in time.
pub fn within<T: Send + 'static>(
    time: Duration,
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Lost> {
    let (sender, receiver) = mpsc::sync_channel(1);
    let worker = thread::Builder::new().name(name.to_owned()).spawn(move || {
        // Nobody waits any more where the time is over.
        let _ = sender.send(work());
    });
    let Ok(worker) = worker else { return Err(Lost::Failed) };
    match receiver.recv_timeout(time) {
        Ok(result) => {
            // It has nothing left to do; joining makes its thread-locals go before the plugin.
            let _ = worker.join();
            Ok(result)
        }
        Err(RecvTimeoutError::Timeout) => Err(Lost::TimedOut),
        Err(RecvTimeoutError::Disconnected) => Err(Lost::Failed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_gets_its_time_and_no_more() {
        let long = Duration::from_secs(20);
        assert_eq!(within(long, "quick", || 7), Ok(7));
        let (_keep, never) = mpsc::channel::<()>();
        let hung = within(Duration::from_millis(1), "hung", move || never.recv().is_ok());
        assert_eq!(hung, Err(Lost::TimedOut));
    }
}
