//! The host's counters: calls, errors and times of each command, rejected clients and requests.
//!
//! A session counts locally, and adds to the common counters at the end of a batch. It adds to one
//! of several stripes: this takes no lock, and threads seldom write to the same cache line.
//! Counters belong to the names of a plugin and a command, not to code, so that they survive a
//! reload and hold no pointer into an unloaded library.

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

/// The number of series above which those of removed commands are dropped.
const MOST: usize = 1024;

/// The series by plugin and command.
type ByName = BTreeMap<(Option<String>, String), Arc<Series>>;

/// The host's counters since its start.
#[derive(Debug)]
pub struct Metrics {
    series: Mutex<ByName>,
    next: AtomicU32,
    started: SystemTime,
    /// Clients that were rejected for lack of sessions, threads or file descriptors.
    pub rejected: Counter,
    /// Sessions that were closed for their memory.
    pub evicted: Counter,
    /// Requests for commands that do not exist.
    pub unknown: Counter,
    /// Requests that the client's identity does not allow.
    pub denied: Counter,
    /// Requests that could not be parsed.
    pub malformed: Counter,
    /// Generations that are replaced and not unloaded yet: they still run calls, or are about to be
    /// unloaded.
    pub draining: Counter,
    /// Generations that have ended but whose code is still mapped.
    pub lingering: Counter,
}

/// A counter for events that are rare on each thread.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Default for Metrics {
    fn default() -> Self {
        Self {
            series: Mutex::default(),
            next: AtomicU32::new(0),
            started: SystemTime::now(),
            rejected: Counter::default(),
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
    /// Returns the counters of a plugin's command, or of a built-in if `plugin` is `None`. Equal
    /// names share their counters.
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

    /// Drops unused series if there are more than 1024, so that plugins with ever new names cannot
    /// fill the memory.
    pub fn tidy(&self) {
        let mut all = self.all();
        if all.len() > MOST {
            all.retain(|_, series| Arc::strong_count(series) > 1);
        }
    }

    /// Returns the values of all series, in the order of their names.
    pub fn read(&self) -> Vec<Reading> {
        let all: Vec<Arc<Series>> = self.all().values().cloned().collect();
        all.iter().map(|series| series.read()).collect()
    }

    /// Returns the time of the host's start since 1970.
    pub fn started(&self) -> Duration {
        self.started.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
    }

    fn all(&self) -> MutexGuard<'_, ByName> {
        self.series.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counter {
    /// Adds 1.
    pub fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Adds a number.
    pub fn add(&self, count: usize) {
        self.0.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// Replaces the value.
    pub fn set(&self, value: usize) {
        self.0.store(value as u64, Ordering::Relaxed);
    }

    /// Returns the value.
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
