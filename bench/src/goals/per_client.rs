//! The goals of the host with a thread for each client.

use crate::{
    goals::{
        Aim, Goal,
        pair::{Pair, cpu, p99},
    },
    plan::{Contestant, Section},
    results::Results,
    server::Placement,
    statistics::{grouped, short, spread},
    threads::Threads,
};

/// Returns the goals, and what was measured for them.
pub fn goals(results: &Results) -> Vec<Goal> {
    use Aim::{AtLeast, AtMost};
    let pair = |section| Pair::with_redis(Contestant::HostPlugin, section);
    let mut goals = Vec::new();
    let mut add = |figure: &str, aim: Aim, pair: Pair| {
        goals.push(Goal::of(figure, aim, pair.compare(results)));
    };
    for (clients, least) in [(1, 1.1), (50, 1.0), (500, 1.0)] {
        let apart = Pair { clients, placement: Placement::Apart, ..pair(Section::Clients) };
        add(&format!("rate, clients: {clients}, apart"), AtLeast(least), apart);
    }
    let batches = |pipeline| Pair { clients: 50, pipeline, ..pair(Section::Pipelines) };
    for size in [16, 64] {
        let figure = format!("rate, 50 clients, pipeline {size}, free");
        add(&figure, AtLeast(1.0), batches(size));
    }
    for (size, most) in [(16, 0.75), (64, 0.5)] {
        let figure = format!("CPU per request, 50 clients, pipeline {size}");
        add(&figure, AtMost(most), Pair { figure: cpu, ..batches(size) });
    }
    let blocking = pair(Section::Blocking);
    let blocking = Pair { clients: 45, figure: p99, is_inverted: true, ..blocking };
    add("p99 of `ping` beside blocking workers, so many times better", AtLeast(100.0), blocking);
    let burning = Pair { clients: 50, ..pair(Section::Burning) };
    add("rate of a worker that needs a processor for 100 µs", AtLeast(1.5), burning);
    let original = Pair { other: Contestant::Original, ..batches(16) };
    add("rate against the Python shape, 50 clients, pipeline 16", AtLeast(20.0), original);
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
