//! The part of the report on isolated calls.

use std::fmt::{Result, Write as _};

use crate::{
    isolation::{BYTES, CLIENTS, Isolation, PIPELINE, Turn, crash_loop::PAUSE, subject::Subject},
    statistics::{Spread, spread},
};

/// Writes the tables.
pub fn write(text: &mut String, isolation: &Isolation) -> Result {
    writeln!(
        text,
        "\n## Plugins in other processes\n\nEach call echoes {BYTES} bytes. *One caller* waits for each \
         reply; {CLIENTS} clients send {PIPELINE} requests at once. *Added* is what the other process adds \
         to the same command within the server, in the same round. go-plugin and the worker by two pipes have \
         no server and no network: the caller is in the host's process, all of their time is added, and \
         {CLIENTS} callers are {CLIENTS} goroutines or {CLIENTS} lines at once. CPU is that of all processes \
         but the client, and with go-plugin includes the caller; with the pipes it is the worker's alone. \
         The system places all threads; *together* means one caller with all processes on one processor.\n\n\
         | way | one caller, p50 µs | p99 µs | added to p50 µs | CPU µs | added CPU µs | together, p50 µs \
         | added | {CLIENTS} clients, calls/s | CPU µs |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    )?;
    for subject in Subject::ALL {
        let turns = isolation.of(subject);
        if turns.is_empty() {
            continue;
        }
        let of = |figure: fn(&Turn) -> f64| shown(spread(turns.iter().map(figure)));
        let added = |figure: fn(&Turn) -> f64| {
            let added = isolation.added(subject, figure);
            let is_base = subject.base() == Some(subject);
            shown(spread(added).filter(|_| !is_base))
        };
        writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            subject.name(),
            of(|turn| turn.one.p50),
            of(|turn| turn.one.p99),
            added(|turn| turn.one.p50),
            of(|turn| turn.one.cpu),
            added(|turn| turn.one.cpu),
            of(|turn| turn.together.p50),
            added(|turn| turn.together.p50),
            of(|turn| turn.many.rate),
            of(|turn| turn.many.cpu),
        )?;
    }
    for line in &isolation.left_out {
        writeln!(text, "\nLeft out: {line}")?;
    }
    beside_crashes(text, isolation)
}

fn beside_crashes(text: &mut String, isolation: &Isolation) -> Result {
    if isolation.beside_crashes.is_empty() {
        return Ok(());
    }
    writeln!(
        text,
        "\n### Beside a plugin that crashes\n\nThe plugin that crashes is isolated. A client calls its command \
         that crashes, {} ms after each reply, and restarts it by `plugin restart` when it is \
         unavailable.\n\n| other plugin | clients | p99 µs without crashes | p99 µs with | ratio | crashes/s \
         |\n| --- | --- | --- | --- | --- | --- |",
        PAUSE.as_millis()
    )?;
    for beside in &isolation.beside_crashes {
        let rounds = &beside.rounds;
        writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} |",
            if beside.isolated { "isolated" } else { "in process" },
            beside.clients,
            shown(spread(rounds.iter().map(|(without, _)| without.p99))),
            shown(spread(rounds.iter().map(|(_, with)| with.p99))),
            shown(spread(rounds.iter().map(|(without, with)| with.p99 / without.p99))),
            shown(spread(beside.crashes.iter().copied())),
        )?;
    }
    Ok(())
}

fn shown(spread: Option<Spread>) -> String {
    spread.map_or_else(|| "–".into(), |spread| spread.to_string())
}
