//! The report, in Markdown.

use std::{fmt::Write as _, fs, path::Path};

use clap::ValueEnum as _;

use crate::{
    beside_idle, durability,
    error::{BenchError, failed},
    fleet,
    goals::goals,
    idle::EPOLL_BYTES,
    isolation,
    plan::{Ask, BLOCKED, Contestant, Section},
    plots::plots,
    results::Results,
    rounds::{Measured, Sample},
    statistics::{Spread, grouped, ratio, short, spread},
    threads::Threads,
};

const HEAD: &str = "\
# Benchmarks

Figures of the host beside Redis, and the reasons where the host is behind. For people who want to
know how fast it is before they use it, or who change its hot path. To repeat the measurement:

```sh
apt-get install redis-server redis-tools util-linux python3 valgrind libclang-dev
cargo xtask bench
```

The host takes its commands from plugins that can be replaced while it runs. It is measured in both
of its modes: with a thread for each client, which is the default, and with `--threads shared`, a
thread for each processor that serves many clients. Redis has one event loop. All answer the same
commands, the host by a plugin and Redis by a module, which are in `bench/`. `redis-benchmark`
drives them over loopback.

`cargo xtask bench` writes this page, except the remarks, which are in `bench/remarks.md`.

- Each server has its turn in every round. A figure is the median of the rounds, with the lowest and
  the highest in parentheses. Ratios are computed within one round, the host's plugin to Redis's
  module; the median is of those.
- CPU per request is the processor time of all threads of the server, in user space and in the
  kernel, divided by the number of requests. It includes connecting and disconnecting.
- The generator is one thread. The last column tells how much of a processor it used from its start to
  its end. From about 95 % on it is the bottleneck: then the rate is the generator's, and CPU per
  request compares the servers. It is less for a crowd, which takes long to connect.
- *Free* means that the system places all threads. *Apart* means that the server is held to one
  processor from its start on, and the generator to another, as if it were on another machine. With
  `--threads shared` the host then has one thread for all clients.
";

/// Writes the report and its plots.
pub fn write(
    results: &Results,
    remarks: &Path,
    out: &Path,
    plots: &Path,
) -> Result<(), BenchError> {
    let mut text = String::from(HEAD);
    compose(&mut text, results, remarks, plots)?.map_err(|error| {
        BenchError::Caused(format!("cannot write the report: {error}"), error.into())
    })?;
    fs::write(out, text).map_err(failed("write", out))
}

fn compose(
    text: &mut String,
    results: &Results,
    remarks: &Path,
    folder: &Path,
) -> Result<std::fmt::Result, BenchError> {
    let remarks = fs::read_to_string(remarks).map_err(failed("read", remarks))?;
    let written = machines(text, results)
        .and_then(|()| summary(text, results))
        .and_then(|()| writeln!(text, "\n{}", remarks.trim()));
    for (section, title) in [
        (Section::Clients, "From 1 client to 10,000"),
        (Section::Pipelines, "Batches"),
        (Section::Payloads, "Payloads"),
        (Section::Tables, "The size of the command table"),
        (Section::Blocking, "Beside workers that block"),
        (Section::Burning, "Workers that need a processor"),
        (Section::BesideIdle, "Beside idle clients"),
    ] {
        if results.of(section).next().is_none() {
            continue;
        }
        let _ = writeln!(text, "\n## {title}");
        for plot in plots().iter().filter(|plot| plot.is_of(section)) {
            if plot.draw(results, folder)? {
                let folder = folder.file_name().unwrap_or_default().to_string_lossy();
                let _ = writeln!(text, "\n![{}]({folder}/{})", plot.title, plot.file);
            }
        }
        let _ = under_load(text, results, section);
        if section == Section::BesideIdle {
            let _ = beside_idle::write(text, results);
        }
    }
    Ok(written.and_then(|()| idle(text, results)).and_then(|()| rest(text, results)))
}

fn machines(text: &mut String, results: &Results) -> std::fmt::Result {
    writeln!(text, "\n## Machine\n")?;
    let mut shown = Vec::new();
    for taken in results.taken.values() {
        if shown.contains(&taken) {
            continue;
        }
        shown.push(taken);
        let parts: Vec<String> = results
            .taken
            .iter()
            .filter(|(_, other)| *other == taken)
            .filter_map(|(section, _)| Some(section.to_possible_value()?.get_name().to_owned()))
            .collect();
        writeln!(
            text,
            "On {}, {} rounds of about {} s each: {}.\n\n| | |\n| --- | --- |",
            taken.machine.day,
            taken.effort.rounds,
            taken.effort.seconds,
            parts.join(", ")
        )?;
        for (name, what) in &taken.machine.facts {
            writeln!(text, "| {name} | {what} |")?;
        }
        writeln!(text)?;
    }
    Ok(())
}

fn summary(text: &mut String, results: &Results) -> std::fmt::Result {
    writeln!(
        text,
        "## Goals\n\nAgainst Redis with its module, where nothing else is said. \
         The threads are those of the host's sessions.\n"
    )?;
    writeln!(text, "| figure | threads | goal | measured | |\n| --- | --- | --- | --- | --- |")?;
    for goal in goals(results) {
        let verdict = match (&goal.measured, goal.met) {
            (None, _) => "not measured",
            (_, true) => "met",
            (_, false) => "**missed**",
        };
        let measured = goal.measured.unwrap_or_default();
        let threads = goal.threads.map_or("both", Threads::name);
        writeln!(
            text,
            "| {} | {threads} | {} | {measured} | {verdict} |",
            goal.figure, goal.wanted
        )?;
    }
    Ok(())
}

fn under_load(text: &mut String, results: &Results, section: Section) -> std::fmt::Result {
    let mut head = format!(
        "\nThe host's plugin to Redis's module:\n\n| load | threads | {RATIO_HEAD} |\n\
         | --- | --- | --- | --- | --- |\n"
    );
    for measured in results.of(section) {
        for threads in Threads::ALL {
            let ours = (measured, threads.contestant());
            let Some(row) = ratios(ours, (measured, Contestant::RedisModule)) else { continue };
            writeln!(text, "{head}| {} | {} | {row} |", load(measured), threads.name())?;
            head.clear();
        }
    }
    writeln!(text, "\n<details><summary>All figures</summary>\n")?;
    writeln!(
        text,
        "| load | server | requests/s | p50 ms | p99 ms | p99.9 ms | CPU per request µs | threads | \
         resident MiB | generator % |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    )?;
    for measured in results.of(section) {
        for (contestant, samples) in &measured.samples {
            let of = |figure: fn(&Sample) -> Option<f64>| {
                shown(spread(samples.iter().filter_map(figure)))
            };
            let most = |figure: fn(&Sample) -> u64| samples.iter().map(figure).max().unwrap_or(0);
            writeln!(
                text,
                "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
                load(measured),
                contestant.name(),
                of(|sample| Some(sample.served.rate)),
                of(|sample| Some(sample.served.p50)),
                of(|sample| Some(sample.served.p99)),
                of(|sample| sample.served.p999),
                of(|sample| Some(sample.cpu)),
                most(|sample| sample.threads),
                short(most(|sample| sample.resident) as f64 / 1024.0),
                of(|sample| sample.generator),
            )?;
        }
    }
    writeln!(text, "\n</details>")?;
    for failure in results.of(section).flat_map(|measured| &measured.failures) {
        writeln!(text, "\nFailed: {failure}")?;
    }
    if let Some(measured) = results.of(section).last() {
        writeln!(text, "\nFor example:\n\n```sh")?;
        for line in measured.commands.values() {
            writeln!(text, "{line}")?;
        }
        writeln!(text, "```")?;
    }
    Ok(())
}

/// The heads of the columns of [`ratios`].
pub const RATIO_HEAD: &str = "rate | p99 | CPU per request";

/// The compared figures: rate, p99, CPU.
const RATIOS: [fn(&Sample) -> f64; 3] =
    [|sample| sample.served.rate, |sample| sample.served.p99, |sample| sample.cpu];

/// Returns the cells of a row: the ratios of the compared figures; `None` where one is missing.
pub fn ratios(
    (ours, of_us): (&Measured, Contestant),
    (theirs, of_them): (&Measured, Contestant),
) -> Option<String> {
    let row: Option<Vec<String>> = RATIOS
        .iter()
        .map(|figure| {
            let compared = (ours.figures(of_us, *figure)?, theirs.figures(of_them, *figure)?);
            Some(shown(ratio(&compared.0, &compared.1)))
        })
        .collect();
    Some(row?.join(" | "))
}

fn shown(spread: Option<Spread>) -> String {
    spread.map_or_else(|| "–".into(), |spread| spread.to_string())
}

fn load(measured: &Measured) -> String {
    let cell = &measured.cell;
    let what = match cell.ask {
        Ask::Nop => String::new(),
        Ask::NopBesideIdle(count) => format!(", beside {} idle ones", grouped(count as i64)),
        Ask::Echo(bytes) => format!(", {} bytes there and back", grouped(bytes as i64)),
        Ask::Burn(micros) => format!(", {micros} µs of a processor each"),
        Ask::PingBesideSleep(millis) => {
            format!(" that ping, beside {BLOCKED} in a worker that sleeps {millis} ms")
        }
    };
    let clients = grouped(i64::from(cell.clients));
    let plural = if cell.clients == 1 { "" } else { "s" };
    format!("{clients} client{plural}{what}, pipeline {}, {}", cell.pipeline, cell.placement.name())
}

fn idle(text: &mut String, results: &Results) -> std::fmt::Result {
    if results.idle.is_empty() {
        return Ok(());
    }
    writeln!(
        text,
        "\n## Sessions that do nothing\n\nEach has asked once. The kernel's part are stacks of threads, page \
         tables and {EPOLL_BYTES} bytes for each registration with epoll; what it keeps for sockets is the same for all.\n\n| server | sessions | KiB each | kernel KiB each | threads | \
         µs from connecting to the first reply | failed |\n| --- | --- | --- | --- | --- | --- | --- |"
    )?;
    for idle in &results.idle {
        writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} |",
            idle.contestant.name(),
            grouped(idle.sessions as i64),
            short(idle.memory),
            short(idle.kernel),
            idle.threads,
            short(idle.coming),
            idle.failed
        )?;
    }
    Ok(())
}

fn rest(text: &mut String, results: &Results) -> std::fmt::Result {
    if let Some(isolated) = &results.isolation {
        isolation::write(text, isolated)?;
    }
    if let Some(fleet) = &results.fleet {
        fleet::write(text, fleet)?;
    }
    if let Some(durable) = &results.durability {
        durability::write(text, durable)?;
    }
    if !results.pieces.is_empty() {
        writeln!(
            text,
            "\n## The pieces of a request\n\nEach by itself, in one thread, for one request. `direct-call` and `plugin-call` \
             both write the reply `OK`; `session16` is a whole session, socket and all, with batches of 16. Instructions are those \
             in user space, counted by callgrind on that day; `cargo xtask instructions` compares the present ones with `bench/instructions.toml`.\n\n\
             | piece | ns | instructions |\n| --- | --- | --- |"
        )?;
        for (name, nanos) in &results.pieces {
            let instructions = results.instructions.get(name).copied();
            let instructions = instructions.map_or_else(|| "–".into(), short);
            writeln!(text, "| {name} | {} | {instructions} |", short(*nanos))?;
        }
    }
    let mut head = "\n## Reloads\n";
    for reload in results.reload.iter().chain(&results.reload_shared) {
        let held = if reload.held { "" } else { " It failed." };
        writeln!(
            text,
            "{head}\nIn the words of `{}`.{held}\n\n```text\n{}\n```",
            reload.command, reload.said
        )?;
        head = "";
    }
    Ok(())
}
