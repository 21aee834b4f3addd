//! The goals, and their measured values.

use crate::{
    durability, isolation,
    plan::{Contestant, Section},
    results::Results,
    rounds::Sample,
    server::Placement,
    statistics::{Spread, grouped, ratio, short},
};

/// A goal and its measured value.
pub struct Goal {
    /// The name of the figure.
    pub figure: String,
    /// The wanted value.
    pub wanted: String,
    /// The measured value, if any.
    pub measured: Option<String>,
    /// True if the goal is met.
    pub met: bool,
}

/// The direction in which a figure should go.
#[derive(Clone, Copy)]
pub enum Aim {
    /// At least this.
    AtLeast(f64),
    /// At most this.
    AtMost(f64),
}

/// Two contestants under one load, compared by one figure.
struct Pair {
    section: Section,
    clients: u32,
    pipeline: u32,
    placement: Placement,
    other: Contestant,
    figure: fn(&Sample) -> f64,
    /// True to compare the inverse of the ratio, for figures of which less is better.
    inverted: bool,
}

/// Returns all goals.
pub fn goals(results: &Results) -> Vec<Goal> {
    use Aim::{AtLeast, AtMost};
    use Placement::{Apart, Free};
    let rate: fn(&Sample) -> f64 = |sample| sample.served.rate;
    let cpu: fn(&Sample) -> f64 = |sample| sample.cpu;
    let pair = |section, clients, pipeline, placement, figure| Pair {
        section,
        clients,
        pipeline,
        placement,
        other: Contestant::RedisModule,
        figure,
        inverted: false,
    };
    let mut goals = Vec::new();
    let mut add = |figure: &str, aim: Aim, pair: Pair| {
        goals.push(Goal::of(figure, aim, compare(results, &pair)));
    };
    for (clients, least) in [(1, 1.1), (50, 1.0), (500, 1.0)] {
        let figure = format!("rate, clients: {clients}, apart");
        add(&figure, AtLeast(least), pair(Section::Clients, clients, 1, Apart, rate));
    }
    for size in [16, 64] {
        let figure = format!("rate, 50 clients, pipeline {size}, free");
        add(&figure, AtLeast(1.0), pair(Section::Pipelines, 50, size, Free, rate));
    }
    for (size, most) in [(16, 0.75), (64, 0.5)] {
        let figure = format!("CPU per request, 50 clients, pipeline {size}");
        add(&figure, AtMost(most), pair(Section::Pipelines, 50, size, Free, cpu));
    }
    let p99: fn(&Sample) -> f64 = |sample| sample.served.p99;
    let blocking = Pair { inverted: true, ..pair(Section::Blocking, 45, 1, Free, p99) };
    add("p99 of `ping` beside blocking workers, so many times better", AtLeast(100.0), blocking);
    let burning = pair(Section::Burning, 50, 1, Free, rate);
    add("rate of a worker that needs a processor for 100 µs", AtLeast(1.5), burning);
    let original =
        Pair { other: Contestant::Original, ..pair(Section::Pipelines, 50, 16, Free, rate) };
    add("rate against the Python shape, 50 clients, pipeline 16", AtLeast(20.0), original);
    goals.extend([memory(results), crowd(results), boundary(results)]);
    goals.extend(isolation::goals(results.isolation.as_ref()));
    goals.extend(durability::goals(results.durability.as_ref()));
    goals
}

/// Compares the host's plugin with another contestant, round by round.
fn compare(results: &Results, pair: &Pair) -> Option<Spread> {
    let measured = results.of(pair.section).find(|measured| {
        let cell = &measured.cell;
        (cell.clients, cell.pipeline, cell.placement)
            == (pair.clients, pair.pipeline, pair.placement)
    })?;
    let of = |contestant| -> Option<Vec<f64>> {
        Some(measured.samples.get(&contestant)?.iter().map(pair.figure).collect())
    };
    let (ours, theirs) = (of(Contestant::HostPlugin)?, of(pair.other)?);
    if pair.inverted { ratio(&theirs, &ours) } else { ratio(&ours, &theirs) }
}

fn memory(results: &Results) -> Goal {
    let of = |contestant| {
        let mut idle = results.idle.iter().filter(|idle| idle.contestant == contestant);
        idle.next_back()
    };
    let figure = "memory of an idle session, against a Redis client".to_owned();
    let both = of(Contestant::HostPlugin).zip(of(Contestant::RedisModule));
    let measured = both.map(|(ours, theirs)| {
        format!(
            "{} (with what the kernel keeps: {})",
            short(ours.memory / theirs.memory),
            short((ours.memory + ours.kernel) / (theirs.memory + theirs.kernel))
        )
    });
    let met = both.is_some_and(|(ours, theirs)| ours.memory <= theirs.memory);
    Goal { figure, wanted: "1.0 or less".into(), measured, met }
}

fn crowd(results: &Results) -> Goal {
    let crowds = results.of(Section::Clients).filter(|measured| measured.cell.clients == 10_000);
    let (mut costs, mut failed, mut turns) = (Vec::new(), 0, 0);
    for crowd in crowds {
        failed += crowd.failures.iter().filter(|text| text.starts_with("host")).count();
        let samples = crowd.samples.get(&Contestant::HostPlugin).map_or(&[][..], Vec::as_slice);
        turns += samples.len();
        costs.extend(samples.iter().map(|sample| sample.cpu));
    }
    let cost = crate::statistics::spread(costs);
    Goal {
        figure: format!("{} sessions at once", grouped(10_000)),
        wanted: "none failed, cost known".into(),
        measured: cost
            .map(|cost| format!("{failed} of {turns} runs failed, {cost} µs of CPU per request")),
        met: turns > 0 && failed == 0,
    }
}

fn boundary(results: &Results) -> Goal {
    let beyond = |pieces: &std::collections::BTreeMap<String, f64>| {
        Some(pieces.get("plugin-call")? - pieces.get("direct-call")?)
    };
    let (nanos, instructions) = (beyond(&results.pieces), beyond(&results.instructions));
    Goal {
        figure: "plugin call beyond a direct function call".into(),
        wanted: "under 30 ns".into(),
        measured: nanos.map(|nanos| {
            let instructions = instructions.map(short).unwrap_or_else(|| "?".into());
            format!("{} ns, {instructions} instructions", short(nanos))
        }),
        met: nanos.is_some_and(|nanos| nanos < 30.0),
    }
}

impl Goal {
    /// Returns a goal that the median meets or misses.
    pub fn of(figure: &str, aim: Aim, measured: Option<Spread>) -> Self {
        let (wanted, met) = match aim {
            Aim::AtLeast(least) => {
                (format!("{least} or more"), measured.is_some_and(|spread| spread.median >= least))
            }
            Aim::AtMost(most) => {
                (format!("{most} or less"), measured.is_some_and(|spread| spread.median <= most))
            }
        };
        let measured = measured.map(|spread| spread.to_string());
        Self { figure: figure.to_owned(), wanted, measured, met }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goal_without_measurement_is_not_met() {
        let goals = goals(&Results::default());
        assert_eq!(goals.len(), 35);
        assert!(goals.iter().all(|goal| !goal.met && goal.measured.is_none()));
    }

    #[test]
    fn a_goal_is_met_by_the_median() {
        let spread = |median| Some(Spread { median, least: 0.0, most: 9.0 });
        assert!(Goal::of("", Aim::AtLeast(1.0), spread(1.0)).met);
        assert!(!Goal::of("", Aim::AtLeast(1.0), spread(0.99)).met);
        assert!(Goal::of("", Aim::AtMost(0.5), spread(0.5)).met);
        assert!(!Goal::of("", Aim::AtMost(0.5), spread(0.51)).met);
    }
}
