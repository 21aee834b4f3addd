//! Durations and their statistics.

use std::{fmt, time::Duration};

/// Measured durations.
#[derive(Default)]
pub struct Figures {
    times: Vec<Duration>,
}

impl Figures {
    /// Adds a duration.
    pub fn add(&mut self, time: Duration) {
        self.times.push(time);
    }

    /// Returns the median.
    pub fn median(&self) -> Duration {
        self.percentile(50.0)
    }

    /// Returns the longest duration.
    pub fn worst(&self) -> Duration {
        self.times.iter().max().copied().unwrap_or_default()
    }

    fn percentile(&self, percent: f64) -> Duration {
        let mut sorted = self.times.clone();
        sorted.sort_unstable();
        let place = (sorted.len() as f64 * percent / 100.0) as usize;
        sorted.get(place.min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = |time: Duration| time.as_secs_f64() * 1e3;
        write!(
            out,
            "median {:.3} ms, p99 {:.3} ms, worst {:.3} ms (n = {})",
            millis(self.median()),
            millis(self.percentile(99.0)),
            millis(self.worst()),
            self.times.len()
        )
    }
}
