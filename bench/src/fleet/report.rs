//! The part of the report on fleets, and their goals.

use std::fmt::{Result, Write as _};

use super::{CLIENTS, FleetResults, Round};
use crate::{
    goals::{Aim, Goal},
    statistics::{Spread, grouped},
};

/// Writes the tables.
pub fn write(text: &mut String, fleet: &FleetResults) -> Result {
    writeln!(
        text,
        "\n## A fleet\n\n`echo` of 64 bytes, over one NATS server on the same machine. A request \
         without a host is one of the NATS client for Rust to a program that sends the payload \
         back. A command of another host also has the way from `redis-benchmark` to the first \
         host, which a command of the host itself has alone.\n\n| | p50 µs, one client | \
         requests/s, {CLIENTS} clients |\n| --- | --- | --- |"
    )?;
    let rows: [(&str, fn(&Round) -> super::Figures); 5] = [
        ("request over NATS, without a host", |round| round.bare),
        ("command of another host", |round| round.remote),
        ("command of the host itself, in a fleet", |round| round.local),
        ("the same, NATS killed", |round| round.cut),
        ("the same, without a fleet", |round| round.alone),
    ];
    for (name, figures) in rows {
        let p50 = shown(fleet.spread(|round| figures(round).p50));
        let rate = shown(fleet.spread(|round| figures(round).rate));
        writeln!(text, "| {name} | {p50} | {rate} |")?;
    }
    writeln!(text, "\n| from | to | ms |\n| --- | --- | --- |")?;
    let rows: [(&str, &str, fn(&Round) -> f64); 3] = [
        ("the kill of a host", "the error of the call that it had", |round| round.killed),
        ("the stop of a host, as by a cut cable", "the same", |round| round.stopped),
        (
            "the rename of a signed plugin of 2.8 MiB in the folder of one host",
            "three hosts serve it, with `--fleet-canary 0`",
            |round| round.rolled_out,
        ),
    ];
    for (from, to, figure) in rows {
        writeln!(text, "| {from} | {to} | {} |", shown(fleet.spread(figure)))?;
    }
    if let Some(chaos) = fleet.chaos {
        writeln!(
            text,
            "\n{} calls over three hosts, of which one was killed and started again {} times, once a \
             second: {} wrong or doubled replies, {} errors of calls that the killed host had, {} \
             other errors.",
            grouped(chaos.calls as i64),
            chaos.kills,
            chaos.wrong,
            chaos.lost,
            chaos.errors
        )?;
    }
    Ok(())
}

/// Returns the goals, and what was measured for them.
pub fn goals(fleet: Option<&FleetResults>) -> Vec<Goal> {
    use Aim::{AtLeast, AtMost};
    let empty = FleetResults::default();
    let fleet = fleet.unwrap_or(&empty);
    let of = |figure: fn(&Round) -> f64| fleet.spread(figure);
    let chaos = |count: fn(&super::Chaos) -> usize| {
        crate::statistics::spread(fleet.chaos.iter().map(|chaos| count(chaos) as f64))
    };
    vec![
        Goal::of(
            "p50 that another host adds to a command, to that of a request over NATS",
            AtMost(1.5),
            of(|round| (round.remote.p50 - round.local.p50) / round.bare.p50),
        ),
        Goal::of(
            "rate of commands of another host, 50 clients, to requests over NATS",
            AtLeast(0.7),
            of(|round| round.remote.rate / round.bare.rate),
        ),
        Goal::of(
            "ms from the kill of a host to the error of its call",
            AtMost(50.0),
            of(|round| round.killed),
        ),
        Goal::of(
            "ms from a cut cable to the error of a call",
            AtMost(3000.0),
            of(|round| round.stopped),
        ),
        Goal::of(
            "ms from a plugin of 2 MiB in the folder of one host to three hosts that serve it",
            AtMost(1000.0),
            of(|round| round.rolled_out),
        ),
        Goal::of("wrong or doubled replies while a host is killed each second", AtMost(0.0), {
            chaos(|chaos| chaos.wrong)
        }),
        Goal::of("errors but of calls that the killed host had", AtMost(0.0), {
            chaos(|chaos| chaos.errors)
        }),
        Goal::of(
            "rate of local commands in a fleet, to that without",
            AtLeast(0.95),
            of(|round| round.local.rate / round.alone.rate),
        ),
        Goal::of(
            "the same, NATS killed",
            AtLeast(0.95),
            of(|round| round.cut.rate / round.alone_then.rate),
        ),
    ]
}

fn shown(spread: Option<Spread>) -> String {
    spread.map_or_else(|| "–".into(), |spread| spread.to_string())
}
