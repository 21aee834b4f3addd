//! One command's counters.

use std::sync::atomic::{AtomicU64, Ordering};

use super::histogram::{BUCKETS, Histogram, bucket};

/// Sessions beyond this many share a stripe with another, which costs speed and nothing else.
pub(super) const STRIPES: usize = 16;

/// One command's counters, striped by session.
#[derive(Debug)]
pub struct Series {
    plugin: Option<String>,
    command: String,
    /// Its place in a session's own counters.
    pub(super) number: u32,
    stripes: Box<[Stripe; STRIPES]>,
}

/// Alone on its cache lines, of which processors fetch two at a time.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Stripe {
    calls: AtomicU64,
    errors: AtomicU64,
    nanos: AtomicU64,
    buckets: [AtomicU64; BUCKETS],
}

/// One command's counters at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The plugin that answers it; `None` for a built-in.
    pub plugin: Option<String>,
    /// Its name.
    pub command: String,
    /// How many calls have been answered.
    pub calls: u64,
    /// How many of them with an error.
    pub errors: u64,
    /// How long those took that were timed: all but most of a pipelined batch.
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

    /// Adds calls, and how many of them have failed.
    pub(super) fn add(&self, stripe: usize, calls: u64, errors: u64) {
        let stripe = &self.stripes[stripe % STRIPES];
        stripe.calls.fetch_add(calls, Ordering::Relaxed);
        if errors > 0 {
            stripe.errors.fetch_add(errors, Ordering::Relaxed);
        }
    }

    /// Adds how long one call took.
    pub(super) fn time(&self, stripe: usize, nanos: u64) {
        let stripe = &self.stripes[stripe % STRIPES];
        stripe.buckets[bucket(nanos)].fetch_add(1, Ordering::Relaxed);
        stripe.nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    /// The counters now.
    #[must_use]
    pub fn read(&self) -> Reading {
        let (mut calls, mut errors, mut times) = (0, 0, Histogram::default());
        for stripe in self.stripes.iter() {
            // What counts errors and times adds to the calls at the latest at the same time.
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
