//! A histogram of times, in buckets whose bounds double.

use std::time::Duration;

/// The number of buckets: up to 1 µs, 2 µs, 4 µs and so on to 67 s, and one for longer times.
pub(super) const BUCKETS: usize = 28;

/// The number of times in each bucket, and their sum.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    pub(super) counts: [u64; BUCKETS],
    pub(super) nanos: u64,
}

impl Histogram {
    /// Returns the number of times.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Returns the sum of the times.
    pub fn sum(&self) -> Duration {
        Duration::from_nanos(self.nanos)
    }

    /// Returns the mean of the times; zero without times.
    pub fn mean(&self) -> Duration {
        Duration::from_nanos(self.nanos.checked_div(self.count()).unwrap_or_default())
    }

    /// Returns each bucket's upper bound in seconds (the last is infinite) and its own count.
    pub fn buckets(&self) -> Vec<(f64, u64)> {
        (0..BUCKETS).map(bound).zip(self.counts).collect()
    }

    /// Returns an estimate of the time below which this part of all times lies, such as 0.99; zero
    /// without times.
    pub fn quantile(&self, part: f64) -> Duration {
        let wanted = part * self.count() as f64;
        let mut below = 0;
        for (index, count) in self.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            if (below + count) as f64 >= wanted {
                // The times are assumed to be spread evenly over the bucket.
                let low = index.checked_sub(1).map_or(0.0, bound);
                let high = if index + 1 == BUCKETS { low } else { bound(index) };
                let share = (wanted - below as f64) / *count as f64;
                return Duration::from_secs_f64(low + (high - low) * share.clamp(0.0, 1.0));
            }
            below += count;
        }
        Duration::ZERO
    }
}

/// Returns the index of the bucket of a time in nanoseconds.
#[inline]
pub(super) fn bucket(nanos: u64) -> usize {
    let micros = nanos.saturating_sub(1) / 1000;
    ((u64::BITS - micros.leading_zeros()) as usize).min(BUCKETS - 1)
}

/// Returns a bucket's upper bound in seconds.
fn bound(index: usize) -> f64 {
    if index + 1 == BUCKETS { f64::INFINITY } else { (1_u64 << index) as f64 / 1e6 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(times: &[u64]) -> Histogram {
        let mut all = Histogram::default();
        for nanos in times {
            all.counts[bucket(*nanos)] += 1;
            all.nanos += nanos;
        }
        all
    }

    #[test]
    fn time_falls_into_its_bucket() {
        for nanos in [
            0,
            1,
            999,
            1000,
            1001,
            2000,
            2001,
            4000,
            1_000_000,
            67_108_864_000,
            67_108_864_001,
            u64::MAX,
        ] {
            let index = bucket(nanos);
            let seconds = nanos as f64 / 1e9;
            assert!(seconds <= bound(index), "{nanos}");
            assert!(index == 0 || seconds > bound(index - 1), "{nanos}");
        }
        assert_eq!((bucket(67_108_864_000), bucket(67_108_864_001)), (BUCKETS - 2, BUCKETS - 1));
    }

    #[test]
    fn quantiles_lie_in_the_right_bucket() {
        assert_eq!(of(&[]).quantile(0.5), Duration::ZERO);
        let mut times = vec![1500; 98];
        times.extend([3_000_000, 3_000_000]);
        let all = of(&times);
        let micros = |part| all.quantile(part).as_secs_f64() * 1e6;
        assert!((1.0..=2.0).contains(&micros(0.5)), "{}", micros(0.5));
        assert!((2048.0..=4096.0).contains(&micros(0.99)), "{}", micros(0.99));
        assert!(micros(1.0) <= 4096.0);
        assert_eq!(all.count(), 100);
        assert_eq!(all.mean(), Duration::from_nanos((98 * 1500 + 6_000_000) / 100));
        assert_eq!(
            of(&[u64::MAX]).quantile(0.5).as_secs(),
            67,
            "it is longer, by how much is not known"
        );
        assert_eq!(all.buckets().iter().map(|(_, count)| count).sum::<u64>(), 100);
    }
}
