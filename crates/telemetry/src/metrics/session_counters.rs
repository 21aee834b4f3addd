//! The local counters of a session, until the end of a batch.

use std::{sync::Arc, time::Instant};

use super::series::{STRIPES, Series};

/// The number of commands that are counted locally at the same time. A batch with more commands
/// adds to the common counters more often.
const SLOTS: usize = 8;

/// The interval of timed commands in a batch, from the first on: reading the clock takes about as
/// long as a fast command.
const TIMED: u32 = 32;

/// The duration from which on a command counts as long, in nanoseconds.
const LONG: u64 = 1_000_000;

/// The local counters of a session. [`flush`](Self::flush) and the drop add them to the common
/// ones.
#[derive(Debug)]
pub struct SessionCounters {
    stripe: usize,
    slots: [Slot; SLOTS],
    /// The slots that hold counts, one bit each.
    used: u8,
    /// The number of commands until the next timed one.
    untimed: u32,
    /// The start of the command that is timed.
    began: Option<Instant>,
}

#[derive(Debug, Default)]
struct Slot {
    series: Option<Arc<Series>>,
    calls: u64,
    errors: u64,
}

impl SessionCounters {
    /// Makes the counters of the session of this number.
    pub fn new(session: u64) -> Self {
        Self {
            stripe: (session % STRIPES as u64) as usize,
            slots: Default::default(),
            used: 0,
            untimed: 0,
            began: None,
        }
    }

    /// Notes that a batch begins now.
    pub fn begin_batch(&mut self, now: Instant) {
        (self.untimed, self.began) = (0, Some(now));
    }

    /// Notes that a command begins. If it begins twice, it is timed from the first time.
    #[inline]
    pub fn begin(&mut self) {
        if self.untimed == 0 {
            self.start_timer();
        }
    }

    /// Returns true if the command has lately taken a millisecond or longer.
    #[inline]
    pub fn is_long(&self, series: &Series) -> bool {
        series.lately(self.stripe) >= LONG
    }

    /// Counts an answered command.
    #[inline]
    pub fn count(&mut self, series: &Arc<Series>, failed: bool) {
        let place = series.number as usize % SLOTS;
        if self.slots[place].series.as_ref().is_none_or(|known| !Arc::ptr_eq(known, series)) {
            self.assign_slot(place, series);
        }
        let slot = &mut self.slots[place];
        slot.calls += 1;
        slot.errors += u64::from(failed);
        self.used |= 1 << place;
        if self.untimed == 0 {
            self.record_time(series);
        } else {
            self.untimed -= 1;
        }
    }

    /// Adds all counts to the common counters.
    pub fn flush(&mut self) {
        while self.used != 0 {
            let place = self.used.trailing_zeros() as usize;
            self.slots[place].flush(self.stripe);
            self.used &= self.used - 1;
        }
    }

    #[cold]
    fn start_timer(&mut self) {
        self.began.get_or_insert_with(Instant::now);
    }

    #[cold]
    fn record_time(&mut self, series: &Series) {
        if let Some(began) = self.began.take() {
            let nanos = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
            series.time(self.stripe, nanos);
        }
        self.untimed = TIMED - 1;
    }

    #[cold]
    fn assign_slot(&mut self, place: usize, series: &Arc<Series>) {
        let slot = &mut self.slots[place];
        slot.flush(self.stripe);
        slot.series = Some(Arc::clone(series));
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

impl Drop for SessionCounters {
    fn drop(&mut self) {
        self.flush();
    }
}

#[cfg(test)]
mod tests {
    use std::{thread, time::Duration};

    use super::*;
    use crate::metrics::Metrics;

    #[test]
    fn counts_are_exact_across_sessions_and_commands() {
        let metrics = Metrics::default();
        // More commands than slots, so that they replace each other.
        let all: Vec<_> =
            (0..3 * SLOTS).map(|n| metrics.series(None, &format!("c{n:02}"))).collect();
        thread::scope(|scope| {
            for session in 0..8 {
                let all = &all;
                scope.spawn(move || {
                    let mut counters = SessionCounters::new(session);
                    for call in 0..2400 {
                        if call % 64 == 0 {
                            counters.flush();
                            counters.begin_batch(Instant::now());
                        }
                        counters.begin();
                        counters.count(&all[call % all.len()], call % 5 == 0);
                    }
                });
            }
        });
        let read = metrics.read();
        assert!(read.iter().all(|one| one.calls == 800), "{read:?}");
        assert_eq!(read.iter().map(|one| one.errors).sum::<u64>(), 8 * 480);
        // Two calls in each of the 37 full batches are timed, and one in the last, which has 32.
        assert_eq!(read.iter().map(|one| one.times.count()).sum::<u64>(), 8 * (37 * 2 + 1));
    }

    #[test]
    fn first_command_is_timed_from_batch_start() {
        let metrics = Metrics::default();
        let series = metrics.series(None, "ping");
        let mut counters = SessionCounters::new(1);
        let before = Instant::now().checked_sub(Duration::from_secs(1)).unwrap();
        counters.begin_batch(before);
        // A command whose generation was retired begins again, and counts once.
        counters.begin();
        counters.begin();
        counters.count(&series, false);
        assert!(series.read().times.sum() >= Duration::from_secs(1));
        assert_eq!(series.read().calls, 0, "it is counted at the end of the batch");
        counters.flush();
        assert_eq!((series.read().calls, series.read().times.count()), (1, 1));
        counters.flush();
        assert_eq!(series.read().calls, 1);
    }
}
