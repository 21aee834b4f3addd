//! The pings of this host to itself, which tell a slow connection from silent hosts.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::members::SILENCE;

/// The time from which on an answer is late.
const LATE: Duration = Duration::from_millis(500);

/// The ping of this host to itself that waits for its answer.
#[derive(Default)]
pub struct Echo {
    since: Mutex<Option<Instant>>,
}

impl Echo {
    /// Notes that this host pings itself. Returns false if it waits for the answer to an earlier ping.
    pub fn begin(&self) -> bool {
        let mut since = self.since.lock();
        let begins = since.is_none_or(|since| since.elapsed() >= SILENCE);
        if begins {
            *since = Some(Instant::now());
        }
        begins
    }

    /// Notes that the answer has come.
    pub fn end(&self) {
        *self.since.lock() = None;
    }

    /// Returns true if the answer is late: not the others are silent, but NATS, the connection to it
    /// or this host is slow.
    pub fn is_late(&self) -> bool {
        self.waits_for(LATE)
    }

    fn waits_for(&self, time: Duration) -> bool {
        self.since.lock().is_some_and(|since| since.elapsed() >= time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_echo_is_late_until_it_comes() {
        let echo = Echo::default();
        assert!(!echo.waits_for(Duration::ZERO));
        assert!(echo.begin() && !echo.begin());
        assert!(echo.waits_for(Duration::ZERO));
        assert!(!echo.waits_for(Duration::from_secs(60)));
        echo.end();
        assert!(!echo.waits_for(Duration::ZERO) && echo.begin());
    }
}
