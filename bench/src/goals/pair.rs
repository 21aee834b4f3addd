//! Two contestants under one load, compared by one figure.

use crate::{
    plan::{Contestant, Section},
    results::Results,
    rounds::Sample,
    server::Placement,
    statistics::{Spread, ratio},
};

/// Two contestants under one load, compared by one figure.
#[derive(Clone, Copy)]
pub struct Pair {
    /// The section of the load.
    pub section: Section,
    /// Its number of clients.
    pub clients: u32,
    /// The number of requests that each of them sends before it waits.
    pub pipeline: u32,
    /// The size of an echoed payload, in bytes.
    pub payload: Option<usize>,
    /// The processors.
    pub placement: Placement,
    /// The host.
    pub ours: Contestant,
    /// The server beside it.
    pub other: Contestant,
    /// The figure.
    pub figure: fn(&Sample) -> f64,
    /// True to compare the inverse of the ratio, for figures of which less is better.
    pub is_inverted: bool,
}

impl Pair {
    /// Compares this host with Redis and its module under a load of the section, by the rate of one
    /// client that is served by any processor.
    pub fn with_redis(ours: Contestant, section: Section) -> Self {
        Self {
            section,
            clients: 1,
            pipeline: 1,
            payload: None,
            placement: Placement::Free,
            ours,
            other: Contestant::RedisModule,
            figure: rate,
            is_inverted: false,
        }
    }

    /// Returns the ratios within each round; `None` if the load was not measured.
    pub fn compare(&self, results: &Results) -> Option<Spread> {
        let measured = results.of(self.section).find(|measured| {
            let cell = &measured.cell;
            (cell.clients, cell.pipeline, cell.ask.payload(), cell.placement)
                == (self.clients, self.pipeline, self.payload, self.placement)
        })?;
        let of = |contestant| measured.figures(contestant, self.figure);
        let (ours, theirs) = (of(self.ours)?, of(self.other)?);
        if self.is_inverted { ratio(&theirs, &ours) } else { ratio(&ours, &theirs) }
    }
}

/// Returns the requests per second.
pub fn rate(sample: &Sample) -> f64 {
    sample.served.rate
}

/// Returns the processor time of a request.
pub fn cpu(sample: &Sample) -> f64 {
    sample.cpu
}

/// Returns the 99th percentile of the latency.
pub fn p99(sample: &Sample) -> f64 {
    sample.served.p99
}
