//! How long the machine itself stood still, so that a slow wait can be told from a slow host.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// How long the meter sleeps between two measurements.
const TICK: Duration = Duration::from_millis(10);

/// A sleep that is longer than it should be by less than this is usual on a busy machine.
const USUAL: Duration = Duration::from_millis(50);

/// The sum of all stalls of this process so far. Counted from the first call on.
pub fn total() -> Duration {
    static METER: OnceLock<&'static AtomicU64> = OnceLock::new();
    let millis = METER.get_or_init(|| {
        let millis: &'static AtomicU64 = Box::leak(Box::default());
        // Without a thread nothing is measured, and a slow wait is reported without it.
        let _ = thread::Builder::new().name("stall meter".into()).spawn(move || measure(millis));
        millis
    });
    Duration::from_millis(millis.load(Ordering::Relaxed))
}

fn measure(millis: &AtomicU64) {
    loop {
        let started = Instant::now();
        thread::sleep(TICK);
        let late = started.elapsed().saturating_sub(TICK);
        if late >= USUAL {
            let late = u64::try_from(late.as_millis()).unwrap_or(u64::MAX);
            millis.fetch_add(late, Ordering::Relaxed);
        }
    }
}
