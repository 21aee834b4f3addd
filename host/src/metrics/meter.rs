//! What one session counts for itself until a batch is over.

use std::{sync::Arc, time::Instant};

use super::series::{STRIPES, Series};

/// Commands that are counted side by side; a batch that uses more adds up more often.
const SLOTS: usize = 8;

/// In a batch the first command is timed and then every so-many-th: a look at the clock takes about as
/// long as a fast command.
const TIMED: u32 = 16;

/// One session's counters. What they hold is added to the common ones by [`flush`](Self::flush), and
/// when this drops.
#[derive(Debug)]
pub struct Meter {
    stripe: usize,
    slots: [Slot; SLOTS],
    /// Which slots hold something; a bit each.
    used: u8,
    /// How many more commands are not timed.
    untimed: u32,
    /// When the batch began; `None` once its first command is timed.
    began: Option<Instant>,
}

#[derive(Debug, Default)]
struct Slot {
    series: Option<Arc<Series>>,
    calls: u64,
    errors: u64,
}

impl Meter {
    /// The counters of the session of this number.
    #[must_use]
    pub fn new(session: u64) -> Self {
        Self {
            stripe: (session % STRIPES as u64) as usize,
            slots: Default::default(),
            used: 0,
            untimed: 0,
            began: None,
        }
    }

    /// A batch begins now.
    pub fn begin_batch(&mut self, now: Instant) {
        (self.untimed, self.began) = (0, Some(now));
    }

    /// A command begins. Returns when, where it is to be timed.
    #[inline]
    #[must_use]
    pub fn begin(&mut self) -> Option<Instant> {
        if self.untimed > 0 {
            return None;
        }
        Some(self.began.unwrap_or_else(Instant::now))
    }

    /// A command has been answered.
    #[inline]
    pub fn count(&mut self, series: &Arc<Series>, failed: bool, began: Option<Instant>) {
        let place = series.number as usize % SLOTS;
        let slot = &mut self.slots[place];
        if slot.series.as_ref().is_none_or(|known| !Arc::ptr_eq(known, series)) {
            slot.flush(self.stripe);
            slot.series = Some(Arc::clone(series));
        }
        slot.calls += 1;
        slot.errors += u64::from(failed);
        self.used |= 1 << place;
        self.untimed = match began {
            Some(began) => {
                let nanos = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
                series.time(self.stripe, nanos);
                self.began = None;
                TIMED - 1
            }
            None => self.untimed.saturating_sub(1),
        };
    }

    /// Adds all to the common counters.
    pub fn flush(&mut self) {
        while self.used != 0 {
            let place = self.used.trailing_zeros() as usize;
            self.slots[place].flush(self.stripe);
            self.used &= self.used - 1;
        }
    }
}

impl Slot {
    fn flush(&mut self, stripe: usize) {
        if let (Some(series), 1..) = (&self.series, self.calls) {
            series.add(stripe, self.calls, self.errors);
        }
        (self.calls, self.errors) = (0, 0);
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.flush();
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::metrics::Metrics;

    #[test]
    fn counts_are_exact_whatever_the_mix_and_the_number_of_sessions() {
        let metrics = Metrics::default();
        // More commands than slots, so that they push each other out.
        let all: Vec<_> =
            (0..3 * SLOTS).map(|n| metrics.series(None, &format!("c{n:02}"))).collect();
        thread::scope(|scope| {
            for session in 0..8 {
                let all = &all;
                scope.spawn(move || {
                    let mut meter = Meter::new(session);
                    for call in 0..2400 {
                        if call % 64 == 0 {
                            meter.flush();
                            meter.begin_batch(Instant::now());
                        }
                        let began = meter.begin();
                        meter.count(&all[call % all.len()], call % 5 == 0, began);
                    }
                });
            }
        });
        let read = metrics.read();
        assert!(read.iter().all(|one| one.calls == 800), "{read:?}");
        assert_eq!(read.iter().map(|one| one.errors).sum::<u64>(), 8 * 480);
        // Four in each of the 37 full batches, and two in the last, which has 32.
        assert_eq!(read.iter().map(|one| one.times.count()).sum::<u64>(), 8 * (37 * 4 + 2));
    }

    #[test]
    fn the_first_command_of_a_batch_is_timed_from_its_beginning() {
        let metrics = Metrics::default();
        let series = metrics.series(None, "ping");
        let mut meter = Meter::new(1);
        let now = Instant::now();
        meter.begin_batch(now);
        assert_eq!(meter.begin(), Some(now));
        // A command that was sent elsewhere begins again, and counts once.
        let began = meter.begin();
        assert_eq!(began, Some(now));
        meter.count(&series, false, began);
        assert_eq!(meter.begin(), None);
        assert_eq!(series.read().calls, 0, "it is counted at the end of the batch");
        meter.flush();
        assert_eq!((series.read().calls, series.read().times.count()), (1, 1));
        meter.flush();
        assert_eq!(series.read().calls, 1);
    }
}
