//! The goals, and their measured values.

mod common;
mod pair;
mod per_client;
mod shared;

use crate::{
    durability, fleet, isolation,
    results::Results,
    statistics::{Spread, short},
    threads::Threads,
};

/// A goal and its measured value.
pub struct Goal {
    /// The name of the figure.
    pub figure: String,
    /// The threads of the host's sessions; `None` if they make no difference.
    pub threads: Option<Threads>,
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

/// Returns all goals.
pub fn goals(results: &Results) -> Vec<Goal> {
    let mut goals = per_client::goals(results);
    goals.extend(shared::goals(results));
    goals.push(boundary(results));
    goals.extend(isolation::goals(results.isolation.as_ref()));
    goals.extend(durability::goals(results.durability.as_ref()));
    goals.extend(fleet::goals(results.fleet.as_ref()));
    goals
}

fn boundary(results: &Results) -> Goal {
    let beyond = |pieces: &std::collections::BTreeMap<String, f64>| {
        Some(pieces.get("plugin-call")? - pieces.get("direct-call")?)
    };
    let (nanos, instructions) = (beyond(&results.pieces), beyond(&results.instructions));
    Goal {
        figure: "plugin call beyond a direct function call".into(),
        threads: None,
        wanted: "under 30 ns".into(),
        measured: nanos.map(|nanos| {
            let instructions = instructions.map(short).unwrap_or_else(|| "?".into());
            format!("{} ns, {instructions} instructions", short(nanos))
        }),
        met: nanos.is_some_and(|nanos| nanos < 30.0),
    }
}

impl Goal {
    /// Returns a goal of the host with a thread for each client, that the median meets or misses.
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
        let threads = Some(Threads::PerClient);
        Self { figure: figure.to_owned(), threads, wanted, measured, met }
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;
    use crate::{
        generator::LoadResult,
        plan::Section,
        rounds::{Measured, Sample},
    };

    #[test]
    fn goal_without_measurement_is_not_met() {
        let goals = goals(&Results::default());
        assert_eq!(goals.len(), 66);
        let shared = goals.iter().filter(|goal| goal.threads == Some(Threads::Shared));
        assert_eq!(shared.count(), 22);
        assert!(goals.iter().all(|goal| !goal.met && goal.measured.is_none()));
    }

    #[test]
    fn loads_of_all_goals_are_planned() {
        let served = LoadResult { rate: 1.0, p50: 1.0, p99: 1.0, p999: None };
        let sample = Sample { served, cpu: 1.0, threads: 1, resident: 1, generator: None };
        let mut results = Results::default();
        for cell in Section::value_variants().iter().flat_map(|section| section.cells(false)) {
            let mut measured = Measured::without_results(&cell);
            for contestant in &cell.contestants {
                measured.add(*contestant, (sample, String::new()));
            }
            results.measured.push(measured);
        }
        let mut goals = per_client::goals(&results);
        goals.extend(shared::goals(&results));
        let missing = goals.iter().filter(|goal| goal.measured.is_none());
        let missing: Vec<&str> = missing.map(|goal| goal.figure.as_str()).collect();
        let without_load = |figure: &&str| figure.contains("memory") || figure.contains("reload");
        assert!(missing.iter().all(without_load), "{missing:?}");
        assert_eq!(missing.len(), 3);
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
