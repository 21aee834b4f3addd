//! Commands that another host answers over NATS, beside requests over NATS without a host.

mod chaos;
mod hosts;
mod report;
mod rollout;

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

pub use self::report::{goals, write};
use self::{
    chaos::Chaos,
    hosts::{Fleet, Nats},
};
use crate::{
    durability::Session,
    error::{BenchError, failed},
    program::Running,
    rounds::Effort,
    server::Places,
    statistics::Spread,
};

/// Number of clients of a rate.
const CLIENTS: usize = 50;

/// Requests for a rate in a second of effort: of another host's command, and of the host's own in
/// one turn.
const REMOTE: f64 = 30_000.0;
const LOCAL: f64 = 40_000.0;

/// Turns of each of two hosts that are compared in a round. The machine is faster at one moment
/// than at another, by more than the hosts differ.
const TURNS: usize = 8;

/// Time limit of a program that sends requests.
const LIMIT: Duration = Duration::from_secs(120);

/// Figures of requests: the median in microseconds, and requests a second of many clients.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Figures {
    /// The median of one client.
    pub p50: f64,
    /// The rate of all clients.
    pub rate: f64,
}

/// One round.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Round {
    /// Requests over NATS without a host.
    pub bare: Figures,
    /// Commands that another host answers.
    pub remote: Figures,
    /// Commands that the host itself answers, as a member of a fleet.
    pub local: Figures,
    /// The same without a fleet.
    pub alone: Figures,
    /// The same as a member whose NATS server has been killed.
    pub cut: Figures,
    /// The same without a fleet, at that time.
    pub alone_then: Figures,
    /// Milliseconds from the kill of the other host to the error of a call.
    pub killed: f64,
    /// Milliseconds from the stop of the other host, as by a cut cable, to the error.
    pub stopped: f64,
    /// Milliseconds from the rename of a plugin's file to the moment at which three hosts serve it.
    #[serde(default)]
    pub rolled_out: f64,
}

/// The results of a fleet.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct FleetResults {
    /// The rounds.
    pub rounds: Vec<Round>,
    /// Calls while a host is killed and started again each second.
    pub chaos: Option<Chaos>,
}

/// Measures a fleet of three hosts.
pub fn measure(places: &Places, effort: Effort, quick: bool) -> Result<FleetResults, BenchError> {
    let mut results = FleetResults::default();
    for _ in 0..effort.rounds {
        let round = round(places, effort)?;
        println!("  {round:?}");
        results.rounds.push(round);
    }
    let calls = if quick { 5000 } else { 100_000 };
    let chaos = chaos::measure(places, calls)?;
    println!("  {chaos:?}");
    results.chaos = Some(chaos);
    Ok(results)
}

fn round(places: &Places, effort: Effort) -> Result<Round, BenchError> {
    let mut round = Round::default();
    let requests = |each: f64| (each * effort.seconds) as usize;
    let alone = Fleet::start_host(places, "alone", true, None)?;
    let nats = Nats::start()?;
    round.bare = bare(places, &nats, &requests)?;
    let mut fleet = Fleet::start(places, nats)?;
    round.remote = of_host(&fleet.caller, &requests, REMOTE)?;
    [round.alone, round.local] = in_turns([&alone, &fleet.other], &requests)?;
    round.rolled_out = rollout::measure(places)?;
    round.stopped = fleet.time_to_error(places, false)?;
    round.killed = fleet.time_to_error(places, true)?;
    fleet.nats.kill();
    let mut session = Session::connect(fleet.caller.address)?;
    let end = Instant::now() + LIMIT;
    while !session.ask(&["echo", "x"]).is_err_and(|error| error.to_string().contains("UNAVAIL")) {
        if Instant::now() >= end {
            return Err(BenchError::Program("a host does not notice the end of NATS".into()));
        }
    }
    let restarted = Fleet::start_host(places, "cut", true, Some(&fleet.nats.url()))?;
    [round.cut, round.alone_then] = in_turns([&restarted, &alone], &requests)?;
    Ok(round)
}

/// Measures own commands of two hosts in turns, and returns the medians of each.
fn in_turns(
    hosts: [&hosts::Host; 2],
    requests: &dyn Fn(f64) -> usize,
) -> Result<[Figures; 2], BenchError> {
    let mut all = [Vec::new(), Vec::new()];
    for turn in 0..TURNS {
        // Neither always follows the other.
        for place in [turn % 2, (turn + 1) % 2] {
            all[place].push(of_host(hosts[place], requests, LOCAL)?);
        }
    }
    let median = |turns: &Vec<Figures>, figure: fn(&Figures) -> f64| {
        crate::statistics::spread(turns.iter().map(figure)).map_or(0.0, |spread| spread.median)
    };
    Ok(all.each_ref().map(|turns| Figures {
        p50: median(turns, |figures| figures.p50),
        rate: median(turns, |figures| figures.rate),
    }))
}

/// Measures requests over NATS without a host.
fn bare(
    places: &Places,
    nats: &Nats,
    requests: &dyn Fn(f64) -> usize,
) -> Result<Figures, BenchError> {
    let program = places.built.join("bare-nats");
    let mut respond = Command::new(&program);
    respond.args(["respond", &nats.url(), "bare"]).stdout(Stdio::piped());
    let mut responder = Running::start(&mut respond)?;
    hosts::wait_for_line(responder.child(), "ready")?;
    let request = |tasks: usize, count: usize| -> Result<serde_json::Value, BenchError> {
        let mut request = Command::new(&program);
        request.args(["request", &nats.url(), "bare", &tasks.to_string(), &count.to_string()]);
        let output = request.output().map_err(failed("start", "bare-nats"))?;
        serde_json::from_slice(&output.stdout).map_err(|error| {
            BenchError::Caused(
                format!("cannot parse the output of bare-nats: {error}"),
                error.into(),
            )
        })
    };
    let figure = |value: &serde_json::Value, name: &str| value[name].as_f64().unwrap_or_default();
    let (one, many) = (request(1, requests(3000.0))?, request(CLIENTS, requests(40_000.0))?);
    Ok(Figures { p50: figure(&one, "p50"), rate: figure(&many, "rate") })
}

/// Measures a command of a host, with so many requests for a rate in a second of effort.
fn of_host(
    host: &hosts::Host,
    requests: &dyn Fn(f64) -> usize,
    many: f64,
) -> Result<Figures, BenchError> {
    let one = load(host, 1, requests(3000.0))?;
    let many = load(host, CLIENTS, requests(many))?;
    Ok(Figures { p50: one.p50, rate: many.rate })
}

/// Sends `echo` from so many clients, with the payload of the requests without a host.
fn load(host: &hosts::Host, clients: usize, requests: usize) -> Result<Figures, BenchError> {
    let mut benchmark = Command::new("redis-benchmark");
    benchmark.args(["-h", "127.0.0.1", "-p", &host.address.port().to_string(), "--csv"]);
    benchmark.args(["-c", &clients.to_string(), "-n", &requests.to_string()]);
    benchmark.args(["echo", &"x".repeat(64)]);
    let output = benchmark.output().map_err(failed("start", "redis-benchmark"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().last().unwrap_or_default();
    // Rate, mean, minimum, median, 95th and 99th percentile, maximum.
    let fields: Vec<f64> =
        line.split(',').rev().map_while(|field| field.trim_matches('"').parse().ok()).collect();
    match fields[..] {
        [_, _, _, p50, _, _, rate] => Ok(Figures { p50: p50 * 1e3, rate }),
        _ => Err(BenchError::Program(format!("cannot parse redis-benchmark: {text}"))),
    }
}

impl FleetResults {
    /// Returns the spread of a figure of each round.
    fn spread(&self, figure: impl Fn(&Round) -> f64) -> Option<Spread> {
        crate::statistics::spread(self.rounds.iter().map(figure))
    }
}
