//! The measurement of a cell: every contestant has one turn in each round, so that disturbances of
//! the machine affect all of them.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use tempfile::tempfile;

use crate::{
    error::{BenchError, failed},
    generator::{Load, LoadResult},
    plan::{Ask, BLOCKED, Cell, Contestant},
    process,
    program::check_interrupted,
    server::{Program, Server},
    statistics::{short, spread},
};

/// The extent of a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Effort {
    /// Number of turns of each contestant.
    pub rounds: usize,
    /// Approximate duration of a turn, in seconds.
    pub seconds: f64,
}

/// The result of one turn of one contestant.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Sample {
    /// The clients' figures.
    pub served: LoadResult,
    /// Processor time of the server's threads per request, in microseconds. It includes connecting
    /// and disconnecting.
    pub cpu: f64,
    /// Maximum number of threads of the server.
    pub threads: u64,
    /// Maximum resident memory of the server, in KiB.
    pub resident: u64,
    /// The part of the time in which the generator, which has one thread, used a processor, in
    /// percent; `None` in results that were measured without it.
    #[serde(default)]
    pub generator: Option<f64>,
}

/// A cell and its results.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Measured {
    /// The cell.
    pub cell: Cell,
    /// A sample for each round, by contestant; fewer if a turn has failed.
    pub samples: BTreeMap<Contestant, Vec<Sample>>,
    /// The failures.
    pub failures: Vec<String>,
    /// The generator's last command line for each contestant.
    pub commands: BTreeMap<Contestant, String>,
}

impl Measured {
    /// Returns a cell without results.
    pub fn without_results(cell: &Cell) -> Self {
        Self {
            cell: cell.clone(),
            samples: BTreeMap::new(),
            failures: Vec::new(),
            commands: BTreeMap::new(),
        }
    }

    /// Adds a turn and its command line.
    pub fn add(&mut self, contestant: Contestant, (sample, line): (Sample, String)) {
        self.samples.entry(contestant).or_default().push(sample);
        self.commands.insert(contestant, line);
    }

    /// Notes the failure of a contestant.
    ///
    /// # Errors
    /// The benchmark has been interrupted.
    pub fn note_failure(&mut self, of: Contestant, error: BenchError) -> Result<(), BenchError> {
        if matches!(error, BenchError::Stopped) {
            return Err(error);
        }
        self.failures.push(format!("{}: {error}", of.name()));
        Ok(())
    }

    /// Returns a figure of each round of a contestant; `None` without any.
    pub fn figures(&self, of: Contestant, figure: fn(&Sample) -> f64) -> Option<Vec<f64>> {
        Some(self.samples.get(&of)?.iter().map(figure).collect())
    }

    /// Returns rates and CPU in one line, for the terminal.
    pub fn one_line(&self) -> String {
        let Cell { ask, clients, pipeline, placement, .. } = &self.cell;
        let mut line = format!("  {ask:?} {clients} x {pipeline} {placement:?}");
        for (contestant, samples) in &self.samples {
            let middle = |figure: fn(&Sample) -> f64| {
                spread(samples.iter().map(figure)).map_or_else(String::new, |it| short(it.median))
            };
            let (rate, cpu) = (middle(|it| it.served.rate), middle(|it| it.cpu));
            line.push_str(&format!(" | {contestant:?} {rate}/s {cpu} µs"));
        }
        for failure in &self.failures {
            line.push_str(&format!("\n    failed: {failure}"));
        }
        line
    }
}

/// The running servers.
pub type Servers = BTreeMap<Program, Server>;

/// Time limit of a turn.
const LIMIT: Duration = Duration::from_secs(40);

/// Minimum number of requests per client: with fewer, p99 would be meaningless.
const LEAST_EACH: u64 = 10;

/// Measures a cell.
pub fn measure(cell: &Cell, servers: &Servers, effort: Effort) -> Result<Measured, BenchError> {
    let mut measured = Measured::without_results(cell);
    let mut turns: Vec<(Contestant, &Server, u64)> = Vec::new();
    for contestant in &cell.contestants {
        let Some(server) = servers.get(&contestant.program()) else { continue };
        match prepare(cell, *contestant, server, effort) {
            Ok(requests) => turns.push((*contestant, server, requests)),
            Err(error) => measured.note_failure(*contestant, error)?,
        }
    }
    for round in 0..effort.rounds {
        for turn in 0..turns.len() {
            // Each contestant is the first in some round.
            let (contestant, server, requests) = turns[(turn + round) % turns.len()];
            match sample(cell, contestant, server, requests) {
                Ok(turn) => measured.add(contestant, turn),
                Err(error) => measured.note_failure(contestant, error)?,
            }
        }
    }
    Ok(measured)
}

/// Warms the server up and determines the number of requests of a turn of the wanted duration.
pub fn prepare(
    cell: &Cell,
    contestant: Contestant,
    server: &Server,
    effort: Effort,
) -> Result<u64, BenchError> {
    let mut asked = contestant.command(cell.ask);
    asked.extend(cell.ask.payload().map(|_| "x".to_owned()));
    server.ask(&asked)?;
    let batch = u64::from(cell.clients) * u64::from(cell.pipeline);
    let (mut requests, mut rate) = ((batch * 2).max(200), 0.0);
    if matches!(cell.ask, Ask::PingBesideSleep(_)) {
        requests = batch * 2;
    }
    for _ in 0..3 {
        let (sample, _) = sample(cell, contestant, server, requests)?;
        rate = sample.served.rate;
        if requests as f64 > rate * effort.seconds / 8.0 {
            break;
        }
        requests = (rate * effort.seconds / 4.0) as u64;
    }
    let least = LEAST_EACH * u64::from(cell.clients).max(20);
    let most = (rate * LIMIT.as_secs_f64() / 4.0) as u64;
    Ok(((rate * effort.seconds) as u64).max(least.min(most)).max(batch))
}

/// Has a contestant serve so many requests of a cell. Returns the figures, and the generator's
/// command line.
pub fn sample(
    cell: &Cell,
    contestant: Contestant,
    server: &Server,
    requests: u64,
) -> Result<(Sample, String), BenchError> {
    check_interrupted()?;
    server.wait_until_idle()?;
    let load = Load {
        address: server.address,
        command: contestant.command(cell.ask),
        payload: cell.ask.payload(),
        clients: cell.clients,
        pipeline: cell.pipeline,
        requests,
        core: cell.placement.of_generator(),
        keys: None,
    };
    let scrap = tempfile().map_err(failed("make a file for", "the generator's output"))?;
    // Killed when it drops, since it has no end of its own.
    let _beside = match contestant.beside(cell.ask) {
        None => None,
        Some(command) => {
            let (clients, requests) = (BLOCKED, 1_000_000_000);
            Some(Load { command, clients, requests, ..load.clone() }.start(&scrap)?)
        }
    };
    let before = process::cpu(server.id())?;
    let (started, others) = (Instant::now(), process::cpu_of_ended_children()?);
    let (mut size, mut looked) = (process::size(server.id()), Instant::now());
    let served = load.run(LIMIT, &mut || {
        if looked.elapsed() > Duration::from_millis(100) {
            let now = process::size(server.id());
            size.threads = size.threads.max(now.threads);
            size.resident = size.resident.max(now.resident);
            looked = Instant::now();
        }
    })?;
    let took = started.elapsed();
    let cpu = (process::cpu(server.id())? - before) * 1e6 / requests as f64;
    let busy = process::cpu_of_ended_children()? - others;
    let generator = Some(100.0 * busy / took.as_secs_f64());
    let sample = Sample { served, cpu, threads: size.threads, resident: size.resident, generator };
    Ok((sample, load.arguments().join(" ")))
}
