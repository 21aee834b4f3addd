//! The goals of isolated calls.

use crate::{
    goals::{Aim, Goal},
    isolation::{Isolation, Turn, subject::Subject},
    statistics::{Spread, ratio, spread},
};

/// Returns the goals, and what was measured for them.
pub fn goals(isolation: Option<&Isolation>) -> Vec<Goal> {
    use Aim::{AtLeast, AtMost};
    use Subject::{GoGrpc, GoNetRpc, HostIsolated, RedisForwards, RedisForwardsBlocked};
    let p50: fn(&Turn) -> f64 = |turn| turn.one.p50;
    let cpu: fn(&Turn) -> f64 = |turn| turn.one.cpu;
    let rate: fn(&Turn) -> f64 = |turn| turn.many.rate;
    let of = |subject, figure: fn(&Turn) -> f64| -> Vec<f64> {
        let turns = isolation.map_or(&[][..], |isolation| isolation.of(subject));
        turns.iter().map(figure).collect()
    };
    let added = |subject, figure| isolation.map_or_else(Vec::new, |it| it.added(subject, figure));
    let (hop, many) = (added(HostIsolated, p50), of(HostIsolated, rate));
    let mut goals = vec![
        Goal::of("isolated call, µs added to p50, one client", AtMost(6.0), middle(&hop)),
        Goal::of(
            "isolated call, µs of CPU added, one client",
            AtMost(6.0),
            middle(&added(HostIsolated, cpu)),
        ),
        Goal::of(
            "isolated calls a second, 50 clients, pipeline 16",
            AtLeast(300_000.0),
            middle(&many),
        ),
    ];
    for (other, least) in
        [(GoNetRpc, 5.0), (GoGrpc, 5.0), (RedisForwards, 1.0), (RedisForwardsBlocked, 1.0)]
    {
        let name = other.name();
        let figure = format!("p50 that the other process adds, {name} to isolated plugin");
        goals.push(Goal::of(&figure, AtLeast(least), ratio(&added(other, p50), &hop)));
    }
    let worker = added(Subject::HostWorker, p50);
    let alone = of(Subject::WorkerByPipes, p50);
    let beyond = worker.iter().zip(&alone).map(|(worker, alone)| worker - alone);
    goals.push(Goal::of(
        "Python worker, µs added to p50 beyond what the interpreter takes",
        AtMost(60.0),
        spread(beyond),
    ));
    let beside = isolation.and_then(|isolation| {
        isolation.beside_crashes.iter().find(|beside| !beside.isolated && beside.clients == 1)
    });
    let beside = beside.map_or(&[][..], |beside| &beside.rounds);
    let beside = spread(beside.iter().map(|(without, with)| with.p99 / without.p99));
    let figure = "p99 of another plugin while one crashes in a loop, to that without";
    goals.push(Goal::of(figure, AtMost(1.1), beside));
    goals
}

impl Isolation {
    /// Returns what the other process adds to a figure, in each round.
    pub fn added(&self, subject: Subject, figure: fn(&Turn) -> f64) -> Vec<f64> {
        let all = self.of(subject).iter().map(figure);
        match subject.base() {
            None => all.collect(),
            Some(base) => all
                .zip(self.of(base).iter().map(figure))
                .map(|(with, without)| with - without)
                .collect(),
        }
    }
}

fn middle(figures: &[f64]) -> Option<Spread> {
    spread(figures.iter().copied())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isolation::Figures;

    #[test]
    fn added_time_is_of_one_round() {
        let turn = |p50| {
            let figures = Figures { rate: 0.0, p50, p99: 0.0, cpu: 0.0 };
            Turn { one: figures, together: figures, many: figures }
        };
        let mut isolation = Isolation::default();
        isolation.turns.insert(Subject::HostInProcess, vec![turn(10.0), turn(30.0)]);
        isolation.turns.insert(Subject::HostIsolated, vec![turn(14.0), turn(35.0)]);
        isolation.turns.insert(Subject::GoGrpc, vec![turn(24.0), turn(35.0)]);
        let p50 = |subject| isolation.added(subject, |turn| turn.one.p50);
        assert_eq!(p50(Subject::HostIsolated), [4.0, 5.0]);
        assert_eq!(p50(Subject::GoGrpc), [24.0, 35.0]);
        let goals = goals(Some(&isolation));
        assert!(goals[0].met && goals[4].met && !goals[7].met);
        assert_eq!(goals[4].measured.as_deref(), Some("6.50 (6.00–7.00)"));
    }
}
