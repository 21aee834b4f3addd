//! The host measured beside Redis, with a report. `cargo xtask bench` builds everything and starts
//! this.

mod beside_idle;
mod boundary;
mod durability;
mod error;
mod fleet;
mod generator;
mod goals;
mod idle;
mod isolation;
mod launch;
mod limits;
mod machine;
mod plan;
mod plots;
mod process;
mod program;
mod reload;
mod report;
mod results;
mod rounds;
mod server;
mod statistics;
mod threads;

use std::{
    env, fs,
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::{Parser, ValueEnum as _};

use crate::{
    error::{BenchError, failed},
    machine::Machine,
    plan::{Cell, Contestant, Section},
    results::{Results, Taken},
    rounds::{Effort, Servers},
    server::{Placement, Places, Server},
    threads::Threads,
};

/// Measures the host beside Redis and writes a report.
#[derive(Parser)]
struct Arguments {
    /// Measure a few points of each curve in two short rounds.
    #[arg(long)]
    quick: bool,
    /// Measure only these parts; the report keeps its results of the others.
    #[arg(long, num_args = 1..)]
    only: Vec<Section>,
    /// Number of turns of each server.
    #[arg(long)]
    rounds: Option<usize>,
    /// The report; plots and figures are in a folder beside it.
    #[arg(long)]
    out: PathBuf,
    /// The host's program.
    #[arg(long)]
    host: PathBuf,
    /// The folder of the plugins, the module and the program `boundary`.
    #[arg(long)]
    built: PathBuf,
    /// The program whose `soak` measures reloads.
    #[arg(long)]
    xtask: PathBuf,
    /// The library of a plugin that crashes; the one of the tests if not given.
    #[arg(long)]
    crash_library: Option<PathBuf>,
    /// Its command that crashes.
    #[arg(long, default_value = "crash.fault")]
    crash_command: String,
}

/// Time after which no further cell is started.
const MOST: Duration = Duration::from_secs(40 * 60);

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), BenchError> {
    program::end_on_signals()?;
    limits::raise_descriptor_limit();
    let started = Instant::now();
    let bench = env::current_dir().map_err(failed("find", "the current folder"))?.join("bench");
    let folder = arguments.out.parent().unwrap_or(&arguments.out).join("benchmarks");
    fs::create_dir_all(&folder).map_err(failed("make", &folder))?;
    let figures = folder.join("results.json");
    let mut results =
        if arguments.only.is_empty() { Results::default() } else { Results::read(&figures)? };
    let effort = if arguments.quick {
        Effort { rounds: arguments.rounds.unwrap_or(2), seconds: 0.3 }
    } else {
        Effort { rounds: arguments.rounds.unwrap_or(5), seconds: 0.7 }
    };
    let places = Places {
        host: arguments.host.clone(),
        built: arguments.built.clone(),
        original: bench.join("original.py"),
        worker: bench.join("worker.py"),
        crashes: arguments
            .crash_library
            .clone()
            .unwrap_or_else(|| arguments.built.join("libcrashes.so")),
    };
    let machine = Machine::current();
    for section in Section::value_variants() {
        if !arguments.only.is_empty() && !arguments.only.contains(section) {
            continue;
        }
        results.forget(*section);
        results.taken.insert(*section, Taken { machine: machine.clone(), effort });
        println!("{section:?} ({:.0} s)", started.elapsed().as_secs_f64());
        match section {
            Section::Idle => idle(&places, arguments.quick, &mut results)?,
            Section::BesideIdle => beside_idle(&places, effort, arguments.quick, &mut results)?,
            Section::Boundary => {
                let kept = bench.join("instructions.toml");
                boundary::measure(&arguments.built, &kept, &mut results)?;
            }
            Section::Reload => {
                let measure = |threads| {
                    reload::measure(&arguments.xtask, &arguments.host, threads, arguments.quick)
                };
                results.reload = Some(measure(Threads::PerClient)?);
                results.reload_shared = Some(measure(Threads::Shared)?);
            }
            Section::Isolation => {
                let command = &arguments.crash_command;
                results.isolation = Some(isolation::measure(&places, command, effort)?);
            }
            Section::Durability => {
                results.durability = Some(durability::measure(&places, effort)?);
            }
            Section::Fleet => {
                results.fleet = Some(fleet::measure(&places, effort, arguments.quick)?);
            }
            _ => under_load(*section, &places, effort, arguments.quick, started, &mut results)?,
        }
        results.write(&figures)?;
    }
    report::write(&results, &bench.join("remarks.md"), &arguments.out, &folder)?;
    println!("{} ({:.0} s)", arguments.out.display(), started.elapsed().as_secs_f64());
    Ok(())
}

fn under_load(
    section: Section,
    places: &Places,
    effort: Effort,
    quick: bool,
    started: Instant,
    results: &mut Results,
) -> Result<(), BenchError> {
    let cells = section.cells(quick);
    // A server stays on the processors that it was started on.
    for cells in cells.chunk_by(|one, next| one.placement == next.placement) {
        let servers = start(cells, places)?;
        for cell in cells {
            let mut measured = rounds::Measured::without_results(cell);
            if started.elapsed() < MOST {
                measured = rounds::measure(cell, &servers, effort)?;
            } else {
                measured.failures.push(format!("{cell:?}: skipped for lack of time"));
            }
            println!("{}", measured.one_line());
            results.measured.push(measured);
        }
        servers.into_values().try_for_each(Server::end)?;
    }
    Ok(())
}

/// Starts the servers of these cells, all of which have one placement.
fn start(cells: &[Cell], places: &Places) -> Result<Servers, BenchError> {
    let mut servers = Servers::new();
    for cell in cells {
        for program in cell.contestants.iter().map(|contestant| contestant.program()) {
            if !servers.contains_key(&program) && program.is_installed() {
                servers.insert(program, Server::start(program, cell.placement, places)?);
            }
        }
    }
    Ok(servers)
}

fn beside_idle(
    places: &Places,
    effort: Effort,
    quick: bool,
    results: &mut Results,
) -> Result<(), BenchError> {
    let cells = Section::BesideIdle.cells(quick);
    let [alone, beside] = &cells[..] else { return Ok(()) };
    let servers = start(&cells, places)?;
    for measured in beside_idle::measure((alone, beside), &servers, effort)? {
        println!("{}", measured.one_line());
        results.measured.push(measured);
    }
    servers.into_values().try_for_each(Server::end)
}

fn idle(places: &Places, quick: bool, results: &mut Results) -> Result<(), BenchError> {
    use Contestant::{HostPlugin, HostShared, Original, RedisModule};
    let counts: &[usize] = if quick { &[1000] } else { &[1000, 10_000] };
    for count in counts {
        for contestant in [HostPlugin, HostShared, RedisModule, Original] {
            if contestant == Original && *count > 1000 {
                continue;
            }
            // A new server, since an earlier one would reuse its memory.
            let server = Server::start(contestant.program(), Placement::Free, places)?;
            results.idle.push(idle::measure(contestant, &server, *count)?);
            server.end()?;
        }
    }
    Ok(())
}
