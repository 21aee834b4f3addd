//! The goals of journals and snapshots.

use crate::{
    durability::{
        Durability, PIPELINES,
        pause::{Event, KEYS},
        restart::From,
        subject::{Subject, Sync},
    },
    generator::LoadResult,
    goals::{Aim, Goal},
    statistics::{grouped, ratio, spread},
};

/// The longest wait of a writer for a snapshot, in milliseconds.
const SNAPSHOT: f64 = 20.0;

/// The longest wait of a writer for a reload, in milliseconds.
const RELOAD: f64 = 50.0;

/// Returns the goals, and what was measured for them.
pub fn goals(durability: Option<&Durability>) -> Vec<Goal> {
    use Aim::{AtLeast, AtMost};
    let empty = Durability::default();
    let durability = durability.unwrap_or(&empty);
    let mut goals = Vec::new();
    let both = |sync, pipeline, figure: fn(&LoadResult) -> f64| {
        let of = |subject| durability.figures(subject, sync, pipeline, figure);
        ratio(&of(Subject::Host), &of(Subject::Redis))
    };
    for sync in Sync::ALL {
        for pipeline in PIPELINES {
            let figure = format!(
                "rate of `set` with {}, 50 clients, pipeline {pipeline}, to Redis",
                sync.name()
            );
            goals.push(Goal::of(&figure, AtLeast(1.0), both(sync, pipeline, |it| it.rate)));
        }
    }
    for pipeline in PIPELINES {
        let figure = format!("p99 of `set` with always, pipeline {pipeline}, to Redis");
        goals.push(Goal::of(&figure, AtMost(1.0), both(Sync::Always, pipeline, |it| it.p99)));
    }
    let bytes = |subject| durability.bytes.get(&subject).copied();
    let compared = bytes(Subject::Host).zip(bytes(Subject::Redis));
    let compared = spread(compared.map(|(ours, theirs)| ours / theirs));
    goals.push(Goal::of("bytes of the log for each `incr`, to Redis", AtMost(1.0), compared));
    for (from, name) in [(From::Log, "log"), (From::Snapshot, "snapshot")] {
        let of = |subject| -> Vec<f64> {
            let all = &durability.restarts;
            let one = all.iter().find(|it| it.subject == subject && it.from == from);
            one.map_or_else(Vec::new, |it| it.millis.clone())
        };
        let figure = format!("start with 1,000,000 keys from a {name}, to Redis");
        let ratio = ratio(&of(Subject::Host), &of(Subject::Redis));
        goals.push(Goal::of(&figure, AtMost(1.0), ratio));
    }
    for (event, name, most) in
        [(Event::Snapshot, "a snapshot", SNAPSHOT), (Event::Reload, "a reload", RELOAD)]
    {
        for keys in KEYS {
            let all = durability
                .pauses
                .iter()
                .filter(|it| it.subject == Subject::Host && it.event == event && it.keys == keys);
            let waits = spread(all.flat_map(|it| it.rounds.iter().map(|(longest, ..)| *longest)));
            let keys = grouped(keys as i64);
            let figure = format!("longest wait of a writer for {name} of {keys} keys, ms");
            goals.push(Goal::of(&figure, AtMost(most), waits));
        }
    }
    goals
}

impl Durability {
    /// Returns a figure of each round.
    pub fn figures(
        &self,
        subject: Subject,
        sync: Sync,
        pipeline: u32,
        figure: fn(&LoadResult) -> f64,
    ) -> Vec<f64> {
        let all = self.sets.iter().filter(|sets| {
            sets.subject == subject && sets.sync == sync && sets.pipeline == pipeline
        });
        all.flat_map(|sets| sets.samples.iter().map(|(served, _)| figure(served))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::durability::{Sets, pause::Paused};

    #[test]
    fn both_servers_are_compared_in_one_round() {
        let samples = |rates: [f64; 2]| {
            let of = |rate| (LoadResult { rate, p50: 0.0, p99: 1.0, p999: None }, 1.0);
            rates.map(of).to_vec()
        };
        let set = |subject, rates| Sets {
            subject,
            sync: Sync::Everysec,
            pipeline: 1,
            samples: samples(rates),
        };
        let pause = Paused {
            subject: Subject::Host,
            event: Event::Reload,
            keys: KEYS[1],
            rounds: vec![(51.0, 1.0, 90.0)],
            resident: (1.0, 2.0),
        };
        let durability = Durability {
            sets: vec![set(Subject::Host, [30.0, 10.0]), set(Subject::Redis, [20.0, 10.0])],
            pauses: vec![pause],
            ..Durability::default()
        };
        let goals = goals(Some(&durability));
        assert_eq!(goals.len(), 13);
        assert_eq!(goals[0].measured.as_deref(), Some("1.25 (1.00–1.50)"));
        assert!(goals[0].met && !goals[1].met && !goals[12].met);
        assert_eq!(goals[12].measured.as_deref(), Some("51.0 (51.0–51.0)"));
    }
}
