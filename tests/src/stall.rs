//! How long the machine itself stood still, so that a slow wait can be told from a slow host.

use std::{
    sync::{Mutex, OnceLock, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// How long the meter sleeps between two measurements.
const TICK: Duration = Duration::from_millis(10);

/// A sleep that is longer than it should be by less than this is usual on a busy machine.
const USUAL: Duration = Duration::from_millis(50);

/// How many times its limit a wait may last in all, however long the machine stood still.
const CAP: u32 = 4;

/// The time of one wait, and how much of it the machine itself stood still.
pub struct Stopwatch {
    started: Instant,
    stalled: Duration,
}

impl Stopwatch {
    /// The wait begins.
    pub fn start() -> Self {
        Self { started: Instant::now(), stalled: total() }
    }

    /// How long it has lasted, and how long the machine stood still meanwhile.
    pub fn read(&self) -> (Duration, Duration) {
        (self.started.elapsed(), total().saturating_sub(self.stalled))
    }

    /// Forgets what has passed since it was read.
    pub fn set_back(&mut self, (waited, stalled): (Duration, Duration)) {
        let now = Instant::now();
        self.started = now.checked_sub(waited).unwrap_or(now);
        self.stalled = total().saturating_sub(stalled);
    }

    /// How much longer the wait may last by this limit; nothing once it is over.
    pub fn left(&self, limit: Duration) -> Duration {
        let (waited, stalled) = self.read();
        left(waited, stalled, limit)
    }
}

/// What is left of a limit. What the machine stood still does not count, up to a bound.
pub fn left(waited: Duration, stalled: Duration, limit: Duration) -> Duration {
    limit.saturating_sub(waited.saturating_sub(stalled)).min((limit * CAP).saturating_sub(waited))
}

/// The sum of all stalls of this process so far. Counted from the first call on.
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
    // Who asks may have got a processor again before the meter has.
    meter.sum + meter.woke.map(late).unwrap_or_default()
}

struct SessionCounters {
    /// Of the stalls that are over.
    sum: Duration,
    /// When it last woke.
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

/// How much longer than it should the meter has slept since then.
fn late(woke: Instant) -> Duration {
    let late = woke.elapsed().saturating_sub(TICK);
    if late >= USUAL { late } else { Duration::ZERO }
}
