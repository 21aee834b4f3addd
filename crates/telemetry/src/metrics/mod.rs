//! What the host counts: for each command its calls, errors and times, and who came and was refused.
//!
//! A session counts for itself and adds to the common counters when a batch is over, on a stripe of
//! them that it shares with few others: no lock, and seldom a cache line that another thread writes.
//! The counters belong to a plugin's and a command's names, not to code, so that they survive a
//! reload and nothing of an unloaded library is left in them.

mod histogram;
mod series;
mod session_counters;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

pub use self::{
    histogram::Histogram,
    series::{Reading, Series},
    session_counters::SessionCounters,
};

/// Beyond this many series those of commands that are gone are forgotten.
const MOST: usize = 1024;

/// Counters by plugin and command.
type ByName = BTreeMap<(Option<String>, String), Arc<Series>>;

/// What the host counts while it runs.
#[derive(Debug)]
pub struct Metrics {
    series: Mutex<ByName>,
    next: AtomicU32,
    started: SystemTime,
    /// Clients that there was no room for.
    pub turned_away: Counter,
    /// Sessions that were closed for the memory that they took.
    pub evicted: Counter,
    /// Requests for commands that there are not.
    pub unknown: Counter,
    /// Requests that the client's identity does not allow.
    pub denied: Counter,
    /// Requests that could not be understood.
    pub malformed: Counter,
    /// Generations that are no longer served and not unloaded: still running calls, or about to be
    /// unloaded.
    pub draining: Counter,
    /// Generations that have ended and whose code is still mapped.
    pub lingering: Counter,
}

/// A number that many threads may change, each seldom.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Default for Metrics {
    fn default() -> Self {
        Self {
            series: Mutex::default(),
            next: AtomicU32::new(0),
            started: SystemTime::now(),
            turned_away: Counter::default(),
            evicted: Counter::default(),
            unknown: Counter::default(),
            denied: Counter::default(),
            malformed: Counter::default(),
            draining: Counter::default(),
            lingering: Counter::default(),
        }
    }
}

impl Metrics {
    /// The counters of a plugin's command, or of a built-in where there is no plugin; the same for
    /// the same names.
    #[must_use]
    pub fn series(&self, plugin: Option<&str>, command: &str) -> Arc<Series> {
        let names = (plugin.map(str::to_owned), command.to_owned());
        let mut all = self.all();
        if let Some(series) = all.get(&names) {
            return Arc::clone(series);
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let series = Arc::new(Series::new(names.0.as_deref(), command, number));
        all.insert(names, Arc::clone(&series));
        series
    }

    /// Forgets series that nobody uses any more, where there are too many: plugins with ever new
    /// names must not fill the memory.
    pub fn tidy(&self) {
        let mut all = self.all();
        if all.len() > MOST {
            all.retain(|_, series| Arc::strong_count(series) > 1);
        }
    }

    /// All counters as they are now, by name.
    #[must_use]
    pub fn read(&self) -> Vec<Reading> {
        let all: Vec<Arc<Series>> = self.all().values().cloned().collect();
        all.iter().map(|series| series.read()).collect()
    }

    /// When the host started, since 1970.
    #[must_use]
    pub fn started(&self) -> Duration {
        self.started.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
    }

    fn all(&self) -> MutexGuard<'_, ByName> {
        self.series.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counter {
    /// Counts one more.
    pub fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts so many more.
    pub fn add(&self, count: usize) {
        self.0.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// Replaces the number.
    pub fn set(&self, value: usize) {
        self.0.store(value as u64, Ordering::Relaxed);
    }

    /// The number.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_names_have_the_same_counters() {
        let metrics = Metrics::default();
        let one = metrics.series(Some("text"), "echo");
        assert!(Arc::ptr_eq(&one, &metrics.series(Some("text"), "echo")));
        assert!(!Arc::ptr_eq(&one, &metrics.series(None, "echo")));
        assert!(!Arc::ptr_eq(&one, &metrics.series(Some("text"), "upper")));
        assert_eq!(metrics.read().len(), 3);
    }

    #[test]
    fn ever_new_names_do_not_fill_the_memory() {
        let metrics = Metrics::default();
        let kept = metrics.series(Some("kept"), "kept");
        for number in 0..3 * MOST {
            let _ = metrics.series(Some("new"), &format!("new{number}"));
            metrics.tidy();
        }
        assert!(metrics.read().len() <= MOST, "{}", metrics.read().len());
        assert!(Arc::ptr_eq(&kept, &metrics.series(Some("kept"), "kept")));
    }
}
