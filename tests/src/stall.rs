//! Measures how long the machine itself stood still, so that a slow machine is not mistaken for a
//! slow host.

use std::{
    sync::{Mutex, OnceLock, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// Sleep of the meter between two measurements.
const TICK: Duration = Duration::from_millis(10);

/// A sleep that is late by less than this is usual on a busy machine.
const USUAL: Duration = Duration::from_millis(50);

/// Factor of a limit that a wait may last in total, even if the machine stands still.
const CAP: u32 = 4;

/// The duration of one wait, and how much of it the machine itself stood still.
pub struct Stopwatch {
    started: Instant,
    stalled: Duration,
}

impl Stopwatch {
    /// Starts the measurement of a wait.
    pub fn start() -> Self {
        Self { started: Instant::now(), stalled: total() }
    }

    /// Returns how long the wait has lasted, and how long the machine stood still meanwhile.
    pub fn read(&self) -> (Duration, Duration) {
        (self.started.elapsed(), total().saturating_sub(self.stalled))
    }

    /// Discards the time since these readings.
    pub fn discard(&mut self, (waited, stalled): (Duration, Duration)) {
        let now = Instant::now();
        self.started = now.checked_sub(waited).unwrap_or(now);
        self.stalled = total().saturating_sub(stalled);
    }

    /// Returns how much longer the wait may last within this limit; zero once it is over.
    pub fn left(&self, limit: Duration) -> Duration {
        let (waited, stalled) = self.read();
        left(waited, stalled, limit)
    }
}

/// Returns the rest of a limit. Time in which the machine stood still does not count, up to a
/// bound.
pub fn left(waited: Duration, stalled: Duration, limit: Duration) -> Duration {
    limit.saturating_sub(waited.saturating_sub(stalled)).min((limit * CAP).saturating_sub(waited))
}

/// Returns the sum of all stalls of this process since the first call.
fn total() -> Duration {
    static METER: OnceLock<&'static Mutex<SessionCounters>> = OnceLock::new();
    let meter = METER.get_or_init(|| {
        let meter: &'static Mutex<SessionCounters> =
            Box::leak(Box::new(Mutex::new(SessionCounters { sum: Duration::ZERO, woke: None })));
        // Without a thread nothing is measured, and a slow wait is reported without it.
        let _ = thread::Builder::new().name("stall meter".into()).spawn(move || measure(meter));
        meter
    });
    let meter = meter.lock().unwrap_or_else(PoisonError::into_inner);
    // The caller may have got a processor again before the meter thread.
    meter.sum + meter.woke.map(late).unwrap_or_default()
}

struct SessionCounters {
    /// The sum of the stalls that are over.
    sum: Duration,
    /// The time at which the meter last woke.
    woke: Option<Instant>,
}

fn measure(meter: &Mutex<SessionCounters>) {
    loop {
        {
            let mut meter = meter.lock().unwrap_or_else(PoisonError::into_inner);
            let late = meter.woke.map(late).unwrap_or_default();
            meter.sum += late;
            meter.woke = Some(Instant::now());
        }
        thread::sleep(TICK);
    }
}

/// Returns by how much the meter's current sleep is too long.
fn late(woke: Instant) -> Duration {
    let late = woke.elapsed().saturating_sub(TICK);
    if late >= USUAL { late } else { Duration::ZERO }
}
