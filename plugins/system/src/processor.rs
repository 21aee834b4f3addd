//! The usage of the processor.

use std::time::{Duration, Instant};

use plugin_api::Result;
use sysinfo::{CpuRefreshKind, MINIMUM_CPU_UPDATE_INTERVAL, RefreshKind, System};

/// A sample that is older than this is too old to be a reference.
const STALE: Duration = Duration::from_secs(10);

/// The processor, and the time of its last sample. Usage is measured between two samples, which
/// must be some time apart to be meaningful.
pub(crate) struct Processor {
    system: System,
    sampled: Instant,
}

impl Processor {
    pub(crate) fn new() -> Result<Self> {
        let usage = RefreshKind::nothing().with_cpu(CpuRefreshKind::nothing().with_usage());
        let system = System::new_with_specifics(usage)?;
        Ok(Self { system, sampled: Instant::now() })
    }

    /// Returns how long to wait until [`usage`](Self::usage) has a new value.
    pub(crate) fn pause(&mut self) -> Duration {
        if self.sampled.elapsed() > STALE {
            self.sample();
        }
        MINIMUM_CPU_UPDATE_INTERVAL.saturating_sub(self.sampled.elapsed())
    }

    /// Returns the usage of all cores in percent. It is the figure of another session if that has
    /// just sampled.
    pub(crate) fn usage(&mut self) -> f32 {
        if self.sampled.elapsed() >= MINIMUM_CPU_UPDATE_INTERVAL {
            self.sample();
        }
        self.system.global_cpu_usage()
    }

    pub(crate) fn cores(&self) -> usize {
        self.system.cpus().len()
    }

    pub(crate) fn model(&self) -> &str {
        self.system.cpus().first().map_or("", |core| core.brand())
    }

    fn sample(&mut self) {
        self.system.refresh_cpu_usage();
        self.sampled = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Creates a processor whose last sample is this old.
    fn sampled(age: Duration) -> Processor {
        let mut processor = Processor::new().unwrap();
        processor.sampled = Instant::now().checked_sub(age).unwrap();
        processor
    }

    #[test]
    fn a_new_sample_is_waited_for() {
        let pause = Processor::new().unwrap().pause();
        assert!(!pause.is_zero() && pause <= MINIMUM_CPU_UPDATE_INTERVAL, "{pause:?}");
    }

    #[test]
    fn a_sample_of_some_seconds_ago_will_do() {
        assert_eq!(sampled(Duration::from_secs(1)).pause(), Duration::ZERO);
    }

    #[test]
    fn a_stale_sample_is_taken_again() {
        let mut processor = sampled(STALE + Duration::from_secs(1));
        assert!(!processor.pause().is_zero());
        assert!(processor.sampled.elapsed() < STALE);
    }

    #[test]
    fn usage_looks_again_when_it_is_time() {
        let mut processor = sampled(MINIMUM_CPU_UPDATE_INTERVAL);
        assert!((0.0..=100.0).contains(&processor.usage()));
        let sample = processor.sampled;
        assert!(sample.elapsed() < MINIMUM_CPU_UPDATE_INTERVAL);
        let _ = processor.usage();
        assert_eq!(processor.sampled, sample, "too early for another");
    }
}
