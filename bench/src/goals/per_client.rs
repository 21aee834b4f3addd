//! The goals of the host with a thread for each client.

use crate::{
    goals::{
        Aim, Goal,
        common::{self, Wanted},
        pair::{Pair, cpu},
    },
    plan::{Contestant, Section},
    results::Results,
    server::Placement,
    statistics::{grouped, short, spread},
    threads::Threads,
};

/// Returns the goals, and what was measured for them.
pub fn goals(results: &Results) -> Vec<Goal> {
    use Aim::AtLeast;
    let pair = |section| Pair::with_redis(Contestant::HostPlugin, section);
    let mut goals = Vec::new();
    let mut add = |figure: &str, aim: Aim, pair: Pair| {
        goals.push(Goal::of(figure, aim, pair.compare(results)));
    };
    for (clients, least) in [(1, 1.1), (50, 1.0), (500, 1.0)] {
        let apart = Pair { clients, placement: Placement::Apart, ..pair(Section::Clients) };
        add(&format!("rate, clients: {clients}, apart"), AtLeast(least), apart);
    }
    let wanted =
        Wanted { rates: [(16, 1.0), (64, 1.0)], cpu: [(16, 0.75), (64, 0.5)], burning: 1.5 };
    goals.extend(common::goals(Contestant::HostPlugin, &wanted, results));
    let batches = Pair { clients: 50, pipeline: 16, ..pair(Section::Pipelines) };
    let original = Pair { other: Contestant::Original, ..batches };
    let figure = "rate against the Python shape, 50 clients, pipeline 16";
    goals.push(Goal::of(figure, AtLeast(20.0), original.compare(results)));
    goals.extend([memory(results), crowd(results)]);
    goals
}

fn memory(results: &Results) -> Goal {
    let figure = "memory of an idle session, against a Redis client".to_owned();
    let of = |contestant| results.idle_of(contestant);
    let both = of(Contestant::HostPlugin).zip(of(Contestant::RedisModule));
    let measured = both.map(|(ours, theirs)| {
        format!(
            "{} (with what the kernel keeps: {})",
            short(ours.memory / theirs.memory),
            short((ours.memory + ours.kernel) / (theirs.memory + theirs.kernel))
        )
    });
    let met = both.is_some_and(|(ours, theirs)| ours.memory <= theirs.memory);
    let threads = Some(Threads::PerClient);
    Goal { figure, threads, wanted: "1.0 or less".into(), measured, met }
}

fn crowd(results: &Results) -> Goal {
    let crowds = results.of(Section::Clients).filter(|measured| measured.cell.clients == 10_000);
    let is_ours = |failure: &&String| {
        failure.starts_with("host") && !failure.starts_with(Contestant::HostShared.name())
    };
    let (mut costs, mut failed, mut turns) = (Vec::new(), 0, 0);
    for crowd in crowds {
        failed += crowd.failures.iter().filter(is_ours).count();
        let costs_of_turns = crowd.figures(Contestant::HostPlugin, cpu).unwrap_or_default();
        turns += costs_of_turns.len();
        costs.extend(costs_of_turns);
    }
    let cost = spread(costs);
    Goal {
        figure: format!("{} sessions at once", grouped(10_000)),
        threads: Some(Threads::PerClient),
        wanted: "none failed, cost known".into(),
        measured: cost
            .map(|cost| format!("{failed} of {turns} runs failed, {cost} µs of CPU per request")),
        met: turns > 0 && failed == 0,
    }
}
