//! Decides when a process that has ended is started again. Time is passed in.

use std::{collections::VecDeque, time::Duration};

/// The first pause before a start; it doubles after each.
const FIRST: Duration = Duration::from_millis(100);

/// The longest pause.
const LONGEST: Duration = Duration::from_secs(30);

/// The period of service after which earlier ends no longer count.
pub const PROBATION: Duration = Duration::from_secs(60);

/// The number of ends within [`PROBATION`] that lead to quarantine.
pub const MOST: usize = 5;

/// The interval between trials in quarantine.
pub const TRIAL: Duration = Duration::from_secs(30);

/// The history of one process's ends.
#[derive(Debug, Default)]
pub struct Restarts {
    /// The times of recent ends, since any fixed time.
    ends: VecDeque<Duration>,
    pause: Duration,
    is_quarantined: bool,
}

/// The time of the next start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// After a pause, which may be zero.
    After(Duration),
    /// One trial after this time; the plugin is in quarantine until it succeeds.
    Trial(Duration),
}

impl Restarts {
    /// Notes an end at `now`, after `served` of service, and returns when to start again. `jitter`
    /// from 0 to 1 spreads the pauses of several processes.
    pub fn note_end(&mut self, now: Duration, served: Duration, jitter: f64) -> Next {
        if served >= PROBATION {
            self.clear();
        }
        self.ends.push_back(now);
        while self.ends.front().is_some_and(|end| now.saturating_sub(*end) > PROBATION) {
            self.ends.pop_front();
        }
        self.is_quarantined |= self.ends.len() >= MOST;
        if self.is_quarantined {
            return Next::Trial(TRIAL);
        }
        let pause = self.pause;
        self.pause = (pause * 2).clamp(FIRST, LONGEST);
        // Up to a quarter more.
        Next::After(pause.mul_f64(1.0 + jitter.clamp(0.0, 1.0) / 4.0))
    }

    /// Returns true if a start now is a trial.
    #[must_use]
    pub fn is_quarantined(&self) -> bool {
        self.is_quarantined
    }

    /// Forgets all ends: an operator vouches for it, or it has served long enough.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Duration = Duration::ZERO;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn pauses_double_until_quarantine() {
        let mut restarts = Restarts::default();
        let millis = [0, 100, 200, 400].map(Duration::from_millis);
        for (second, pause) in (0..).zip(millis) {
            assert_eq!(restarts.note_end(seconds(second), NONE, 0.0), Next::After(pause));
        }
        assert!(!restarts.is_quarantined());
        assert_eq!(restarts.note_end(seconds(59), NONE, 0.0), Next::Trial(TRIAL));
        assert!(restarts.is_quarantined());
    }

    #[test]
    fn failed_trial_leads_to_the_next() {
        let mut restarts = Restarts::default();
        (0..5).for_each(|second| {
            restarts.note_end(seconds(second), NONE, 0.0);
        });
        for trial in 1..5 {
            let now = seconds(1_000 * trial);
            assert_eq!(restarts.note_end(now, seconds(59), 0.0), Next::Trial(TRIAL));
        }
        assert_eq!(restarts.note_end(seconds(9_000), PROBATION, 0.0), Next::After(NONE));
        assert!(!restarts.is_quarantined(), "it has served long enough");
    }

    #[test]
    fn rare_ends_keep_a_bounded_pause() {
        let mut restarts = Restarts::default();
        let mut longest = NONE;
        for end in 0..100 {
            let Next::After(pause) = restarts.note_end(seconds(end * 16), seconds(15), 0.0) else {
                panic!("four ends a minute are no reason");
            };
            longest = longest.max(pause);
        }
        assert_eq!(longest, LONGEST);
    }

    #[test]
    fn jitter_adds_a_quarter_at_most() {
        for (jitter, millis) in [(0.0, 100), (1.0, 125), (7.0, 125), (f64::NAN, 100)] {
            let mut restarts = Restarts::default();
            restarts.note_end(NONE, NONE, 0.0);
            let jitter = if jitter.is_nan() { 0.0 } else { jitter };
            let next = restarts.note_end(NONE, NONE, jitter);
            assert_eq!(next, Next::After(Duration::from_millis(millis)));
        }
    }

    #[test]
    fn operator_clears_the_history() {
        let mut restarts = Restarts::default();
        (0..9).for_each(|second| {
            restarts.note_end(seconds(second), NONE, 0.0);
        });
        restarts.clear();
        assert!(!restarts.is_quarantined());
        assert_eq!(restarts.note_end(seconds(9), NONE, 0.0), Next::After(NONE));
    }
}
