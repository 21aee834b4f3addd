//! A series: the counters of one command.

use std::sync::atomic::{AtomicU64, Ordering};

use super::histogram::{BUCKETS, Histogram, bucket};

/// The number of stripes. More sessions than that share stripes, which costs only speed.
pub(super) const STRIPES: usize = 16;

/// The counters of one command, striped by session.
#[derive(Debug)]
pub struct Series {
    plugin: Option<String>,
    command: String,
    /// The series' number, by which a session's local counters find their slot.
    pub(super) number: u32,
    stripes: Box<[Stripe; STRIPES]>,
}

/// A stripe of the counters. It has cache lines of its own; processors fetch two at a time.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Stripe {
    calls: AtomicU64,
    errors: AtomicU64,
    nanos: AtomicU64,
    /// The average of the latest durations, in nanoseconds.
    lately: AtomicU64,
    buckets: [AtomicU64; BUCKETS],
}

/// The values of one command's counters at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The command's plugin; `None` for a built-in.
    pub plugin: Option<String>,
    /// The command's name.
    pub command: String,
    /// The number of answered calls.
    pub calls: u64,
    /// The number of calls that were answered with an error.
    pub errors: u64,
    /// The durations of the timed calls: all except most of a pipelined batch.
    pub times: Histogram,
}

impl Series {
    pub(super) fn new(plugin: Option<&str>, command: &str, number: u32) -> Self {
        Self {
            plugin: plugin.map(str::to_owned),
            command: command.to_owned(),
            number,
            stripes: Box::default(),
        }
    }

    /// Adds a number of calls, and the number of those that failed.
    pub(super) fn add(&self, stripe: usize, calls: u64, errors: u64) {
        let stripe = &self.stripes[stripe % STRIPES];
        stripe.calls.fetch_add(calls, Ordering::Relaxed);
        if errors > 0 {
            stripe.errors.fetch_add(errors, Ordering::Relaxed);
        }
    }

    /// Adds the duration of one call.
    pub(super) fn time(&self, stripe: usize, nanos: u64) {
        let stripe = &self.stripes[stripe % STRIPES];
        stripe.buckets[bucket(nanos)].fetch_add(1, Ordering::Relaxed);
        stripe.nanos.fetch_add(nanos, Ordering::Relaxed);
        // A duration that another thread adds meanwhile may be lost: this is an estimate.
        let before = stripe.lately.load(Ordering::Relaxed);
        stripe.lately.store(before - before / 4 + nanos / 4, Ordering::Relaxed);
    }

    /// Returns the average of the latest durations of a stripe, in nanoseconds.
    #[inline]
    pub(super) fn lately(&self, stripe: usize) -> u64 {
        self.stripes[stripe % STRIPES].lately.load(Ordering::Relaxed)
    }

    /// Returns the current values.
    pub fn read(&self) -> Reading {
        let (mut calls, mut errors, mut times) = (0, 0, Histogram::default());
        for stripe in self.stripes.iter() {
            // Errors are read before calls, since a session adds to the calls first.
            errors += stripe.errors.load(Ordering::Relaxed);
            calls += stripe.calls.load(Ordering::Relaxed);
            times.nanos += stripe.nanos.load(Ordering::Relaxed);
            for (sum, count) in times.counts.iter_mut().zip(&stripe.buckets) {
                *sum += count.load(Ordering::Relaxed);
            }
        }
        Reading { plugin: self.plugin.clone(), command: self.command.clone(), calls, errors, times }
    }
}
