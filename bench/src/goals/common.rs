//! The figures that the host has goals for with any kind of threads.

use crate::{
    goals::{
        Aim::{AtLeast, AtMost},
        Goal,
        pair::{Pair, cpu, p99},
    },
    plan::{Contestant, Section},
    results::Results,
};

/// The wanted values, as ratios to Redis with its module.
pub struct Wanted {
    /// The least rate, by the length of the pipeline.
    pub rates: [(u32, f64); 2],
    /// The most CPU per request, by the length of the pipeline.
    pub cpu: [(u32, f64); 2],
    /// The least rate of a worker that computes.
    pub burning: f64,
}

/// Returns the goals of this contestant, and what was measured for them.
pub fn goals(contestant: Contestant, wanted: &Wanted, results: &Results) -> Vec<Goal> {
    let pair = |section| Pair::with_redis(contestant, section);
    let batches = |pipeline| Pair { clients: 50, pipeline, ..pair(Section::Pipelines) };
    let rates = wanted.rates.map(|(size, least)| {
        let figure = format!("rate, 50 clients, pipeline {size}, free");
        Goal::of(&figure, AtLeast(least), batches(size).compare(results))
    });
    let cpus = wanted.cpu.map(|(size, most)| {
        let figure = format!("CPU per request, 50 clients, pipeline {size}");
        let pair = Pair { figure: cpu, ..batches(size) };
        Goal::of(&figure, AtMost(most), pair.compare(results))
    });
    let blocking = pair(Section::Blocking);
    let blocking = Pair { clients: 45, figure: p99, is_inverted: true, ..blocking };
    let burning = Pair { clients: 50, ..pair(Section::Burning) };
    let long_calls = [
        ("p99 of `ping` beside blocking workers, so many times better", 100.0, blocking),
        ("rate of a worker that needs a processor for 100 µs", wanted.burning, burning),
    ];
    let long_calls = long_calls
        .map(|(figure, least, pair)| Goal::of(figure, AtLeast(least), pair.compare(results)));
    rates.into_iter().chain(cpus).chain(long_calls).collect()
}
