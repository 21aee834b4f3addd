//! Calls into a plugin outside the host's process, beside what people use for that today.

mod crash_loop;
mod exchange;
mod go_plugin;
mod goals;
mod report;
mod subject;
mod worker_by_pipes;

use std::{
    collections::{BTreeMap, btree_map::Entry},
    time::{Duration, Instant},
};

use rustix::thread::{CpuSet, sched_setaffinity};
use serde::{Deserialize, Serialize};

pub use crate::isolation::{goals::goals, report::write};
use crate::{
    error::{BenchError, failed},
    generator::Load,
    isolation::{
        crash_loop::BesideCrashes, exchange::Exchange, subject::Subject,
        worker_by_pipes::WorkerByPipes,
    },
    process,
    program::check_interrupted,
    rounds::{Effort, Servers},
    server::{Placement, Places, Server},
    statistics::short,
};

/// Size of the echoed text, in bytes.
const BYTES: usize = 16;

/// Number of concurrent clients of the second load.
const CLIENTS: u32 = 50;

/// Number of requests that each of them sends before it waits.
const PIPELINE: u32 = 16;

/// Time limit of a load.
const LIMIT: Duration = Duration::from_secs(60);

/// All results of this part.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Isolation {
    /// A turn for each round, by subject.
    pub turns: BTreeMap<Subject, Vec<Turn>>,
    /// Another plugin's calls while one crashes.
    pub beside_crashes: Vec<BesideCrashes>,
    /// The subjects that were not measured, with the reason.
    pub left_out: Vec<String>,
}

/// The figures of one turn of one subject.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Turn {
    /// One caller, which waits for each reply.
    pub one: Figures,
    /// The same, with all processes on one processor.
    pub together: Figures,
    /// Many callers at once.
    pub many: Figures,
}

/// The figures of one load. Times are in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Calls per second.
    pub rate: f64,
    /// The median time of a call.
    pub p50: f64,
    /// The 99th percentile of the time of a call.
    pub p99: f64,
    /// Processor time of all processes but the client, per call.
    pub cpu: f64,
}

/// Measures everything that this machine has the programs for.
pub fn measure(
    places: &Places,
    crash_command: &str,
    effort: Effort,
) -> Result<Isolation, BenchError> {
    let mut isolation = Isolation::default();
    let mut servers = Servers::new();
    let mut subjects = Vec::new();
    for subject in Subject::ALL {
        match prepare(subject, places, &mut servers) {
            Ok(()) => subjects.push(subject),
            Err(BenchError::Stopped) => return Err(BenchError::Stopped),
            Err(error) => isolation.leave_out(subject.name(), &error),
        }
    }
    for round in 0..effort.rounds {
        for turn in 0..subjects.len() {
            // Each subject is the first in some round.
            let subject = subjects[(turn + round) % subjects.len()];
            match take_turn(subject, places, &servers, effort.seconds) {
                Ok(turn) => isolation.turns.entry(subject).or_default().push(turn),
                Err(BenchError::Stopped) => return Err(BenchError::Stopped),
                Err(error) => isolation.leave_out(subject.name(), &error),
            }
        }
    }
    servers.into_values().try_for_each(Server::end)?;
    match crash_loop::measure(places, crash_command, effort) {
        Ok(beside) => isolation.beside_crashes = beside,
        Err(BenchError::Stopped) => return Err(BenchError::Stopped),
        Err(error) => isolation.leave_out("beside a plugin that crashes", &error),
    }
    Ok(isolation)
}

impl Isolation {
    fn leave_out(&mut self, what: &str, error: &BenchError) {
        // A server's whole log may be behind the first line.
        let error = error.to_string();
        let line = format!("{what}: {}", error.lines().next().unwrap_or_default());
        println!("  left out: {line}");
        self.left_out.push(line);
    }

    /// Returns the turns of a subject.
    fn of(&self, subject: Subject) -> &[Turn] {
        self.turns.get(&subject).map_or(&[], Vec::as_slice)
    }
}

/// Starts the subject's server, if it has one, and checks that the subject answers.
fn prepare(subject: Subject, places: &Places, servers: &mut Servers) -> Result<(), BenchError> {
    subject.check_installed(places)?;
    let Some((program, command)) = subject.server() else { return Ok(()) };
    if let Entry::Vacant(vacant) = servers.entry(program) {
        let server = Server::start(program, Placement::Free, places)?;
        server.wait_for(&[command.to_owned(), "x".to_owned()])?;
        vacant.insert(server);
    }
    let processes = servers.get(&program).map_or(0, |server| server.processes().len());
    if subject.crosses_processes() && processes < 2 {
        return Err(BenchError::Program("its work is done by the server's own process".into()));
    }
    Ok(())
}

fn take_turn(
    subject: Subject,
    places: &Places,
    servers: &Servers,
    seconds: f64,
) -> Result<Turn, BenchError> {
    check_interrupted()?;
    let measure = |callers: u32, placement: Placement| {
        // The programs that this thread starts inherit it.
        pin_this_thread(placement)?;
        let measured = take_load(subject, places, servers, seconds, callers, placement);
        pin_this_thread(Placement::Free)?;
        measured
    };
    let turn = Turn {
        one: measure(1, Placement::Free)?,
        together: measure(1, Placement::Together)?,
        many: measure(CLIENTS, Placement::Free)?,
    };
    let Turn { one, together, many } = turn;
    let figures = [one.p50, one.cpu, together.p50, many.rate, many.cpu];
    let [p50, cpu, together, rate, cpu_of_many] = figures.map(short);
    println!(
        "  {}: {p50} µs, CPU {cpu} µs; together {together} µs; {rate}/s, CPU {cpu_of_many} µs",
        subject.name()
    );
    Ok(turn)
}

fn take_load(
    subject: Subject,
    places: &Places,
    servers: &Servers,
    seconds: f64,
    callers: u32,
    placement: Placement,
) -> Result<Figures, BenchError> {
    let duration = Duration::from_secs_f64(seconds);
    let Some((program, command)) = subject.server() else {
        return match subject {
            Subject::WorkerByPipes => {
                WorkerByPipes::start(&places.worker)?.measure(callers, duration)
            }
            _ => go_plugin::measure(places, subject, callers, duration),
        };
    };
    let server = servers
        .get(&program)
        .ok_or_else(|| BenchError::Program(format!("{program:?} is not running")))?;
    server.pin(placement)?;
    server.wait_until_idle()?;
    let processes = server.processes();
    match callers {
        1 => one_client(server, command, duration, &processes),
        _ => clients(server, command, (callers, PIPELINE), seconds, &processes),
    }
}

/// Holds this thread to the processors of the generator.
pub fn pin_this_thread(placement: Placement) -> Result<(), BenchError> {
    let mut processors = CpuSet::new();
    match placement.of_generator() {
        Some(one) => processors.set(one),
        None => (0..CpuSet::MAX_CPU).for_each(|any| processors.set(any)),
    }
    let pinned = sched_setaffinity(None, &processors);
    pinned.map_err(|error| failed("pin", "the generator")(error.into()))
}

/// Measures one client that waits for each reply, and the processor time of these processes.
fn one_client(
    server: &Server,
    command: &str,
    time: Duration,
    processes: &[u32],
) -> Result<Figures, BenchError> {
    let mut exchange = Exchange::with_server(server.address, command, BYTES)?;
    exchange.repeat(time / 5)?;
    let before = process::cpu_of(processes)?;
    let mut times = exchange.repeat(time)?;
    Ok(times.figures(process::cpu_of(processes)? - before))
}

/// Measures so many clients with so many requests at once each, for about this many seconds, and
/// the processor time of these processes.
fn clients(
    server: &Server,
    command: &str,
    (clients, pipeline): (u32, u32),
    seconds: f64,
    processes: &[u32],
) -> Result<Figures, BenchError> {
    let load = |requests| Load {
        address: server.address,
        command: vec![command.to_owned()],
        payload: Some(BYTES),
        clients,
        pipeline,
        requests,
        core: None,
        keys: None,
    };
    let least = u64::from(clients) * u64::from(pipeline) * 10;
    let warm_up = load(least).run(LIMIT, &mut || {})?;
    let requests = ((warm_up.rate * seconds) as u64).max(least);
    if !processes.is_empty() {
        server.wait_until_idle()?;
    }
    let before = process::cpu_of(processes)?;
    let served = load(requests).run(LIMIT, &mut || {})?;
    let cpu = (process::cpu_of(processes)? - before) * 1e6 / requests as f64;
    Ok(Figures { rate: served.rate, p50: served.p50 * 1e3, p99: served.p99 * 1e3, cpu })
}

/// The times of calls, in nanoseconds, and of all of them together.
struct Times {
    calls: Vec<u64>,
    /// Number of calls that each of them stands for.
    weight: usize,
    took: Duration,
}

impl Times {
    /// Repeats an exchange for this time, and at least once.
    fn of(
        weight: usize,
        duration: Duration,
        mut exchange: impl FnMut() -> Result<(), BenchError>,
    ) -> Result<Self, BenchError> {
        let (mut calls, started) = (Vec::new(), Instant::now());
        let mut called = started;
        loop {
            exchange()?;
            let now = Instant::now();
            calls.push((now - called).as_nanos() as u64);
            called = now;
            if now - started >= duration {
                return Ok(Self { calls, weight, took: now - started });
            }
        }
    }

    /// Returns the figures of calls that took this processor time, in seconds.
    fn figures(&mut self, cpu: f64) -> Figures {
        self.calls.sort_unstable();
        let at = |part: f64| {
            let place = ((self.calls.len() - 1) as f64 * part) as usize;
            self.calls.get(place).map_or(0.0, |nanos| *nanos as f64 / 1e3)
        };
        let count = (self.calls.len() * self.weight) as f64;
        Figures {
            rate: count / self.took.as_secs_f64(),
            p50: at(0.5),
            p99: at(0.99),
            cpu: cpu * 1e6 / count,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_those_of_the_sorted_times() {
        let calls = (1..=101).rev().map(|micros| micros * 1000).collect();
        let mut times = Times { calls, weight: 2, took: Duration::from_millis(101) };
        let figures = times.figures(0.000_404);
        let expected = Figures { rate: 2000.0, p50: 51.0, p99: 100.0, cpu: 2.0 };
        assert!((figures.cpu - expected.cpu).abs() < 1e-9, "{figures:?}");
        assert!((figures.rate - expected.rate).abs() < 1e-6, "{figures:?}");
        assert_eq!((figures.p50, figures.p99), (expected.p50, expected.p99));
    }
}
