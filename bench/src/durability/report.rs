//! The part of the report on journals and snapshots.

use std::fmt::{Result, Write as _};

use crate::{
    durability::{
        CLIENTS, Durability,
        pause::{Event, Paused},
        restart::{From, KEYS},
    },
    statistics::{Spread, grouped, short, spread},
};

/// Writes the tables.
pub fn write(text: &mut String, durability: &Durability) -> Result {
    writeln!(
        text,
        "\n## Journals and snapshots\n\nThe store with `--durability journal` beside Redis with \
         `appendonly yes` and without automatic rewrites. Each server is held to one processor, and \
         the clients to the other.\n\n{CLIENTS} clients, `set` of one of 100,000 keys:\n\n\
         | flushed | pipeline | server | requests/s | p99 ms | CPU per request µs |\n\
         | --- | --- | --- | --- | --- | --- |"
    )?;
    for sets in &durability.sets {
        let of = |figure: &dyn Fn(&(crate::generator::LoadResult, f64)) -> f64| {
            shown(spread(sets.samples.iter().map(figure)))
        };
        writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} |",
            sets.sync.name(),
            sets.pipeline,
            sets.subject.name(),
            of(&|(served, _)| served.rate),
            of(&|(served, _)| served.p99),
            of(&|(_, cpu)| *cpu),
        )?;
    }
    writeln!(text, "\nBytes of the log for each `incr` of the key `counter`:\n")?;
    for (subject, bytes) in &durability.bytes {
        writeln!(text, "- {}: {}", subject.name(), short(*bytes))?;
    }
    writeln!(
        text,
        "\nFrom the start of the killed server to the first correct reply to `get`, with {} keys:\
         \n\n| from | server | ms |\n| --- | --- | --- |",
        grouped(KEYS as i64)
    )?;
    for restart in &durability.restarts {
        let from = match restart.from {
            From::Log => "a log of one `set` for each key",
            From::Snapshot => "a snapshot (Redis: after BGREWRITEAOF)",
        };
        let millis = shown(spread(restart.millis.iter().copied()));
        writeln!(text, "| {from} | {} | {millis} |", restart.subject.name())?;
    }
    writeln!(
        text,
        "\nOne client sends `set` and waits for each reply. Its waits while a snapshot is taken \
         (Redis: BGREWRITEAOF), while the store is replaced, and without either; the log is flushed \
         once a second. Memory is that of the server's own process.\n\n\
         | event | keys | server | longest wait ms | p99.9 ms | event took ms | resident MiB before \
         | most |\n| --- | --- | --- | --- | --- | --- | --- | --- |"
    )?;
    for paused in &durability.pauses {
        let event = match paused.event {
            Event::Nothing => "none",
            Event::Snapshot => "snapshot",
            Event::Reload => "reload",
        };
        let Paused { rounds, keys, subject, resident: (before, most), .. } = paused;
        writeln!(
            text,
            "| {event} | {} | {} | {} | {} | {} | {} | {} |",
            grouped(*keys as i64),
            subject.name(),
            shown(spread(rounds.iter().map(|(longest, ..)| *longest))),
            shown(spread(rounds.iter().map(|(_, p999, _)| *p999))),
            shown(spread(rounds.iter().map(|(.., took)| *took))),
            short(*before),
            short(*most),
        )?;
    }
    Ok(())
}

fn shown(spread: Option<Spread>) -> String {
    spread.map_or_else(|| "–".into(), |spread| spread.to_string())
}
