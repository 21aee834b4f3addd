//! The calls of a plugin while another plugin, in a worker process, crashes again and again.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpStream},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use crate::{
    error::{BenchError, failed},
    isolation::{Figures, clients, one_client, subject::check_isolates},
    program::check_interrupted,
    rounds::Effort,
    server::{Placement, Places, Program, Server, request},
};

/// Pause between two calls that crash.
pub const PAUSE: Duration = Duration::from_millis(50);

/// Time limit of a connection or a reply.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Clients of the other plugin.
const COUNTS: [u32; 2] = [1, 50];

/// The figures of another plugin's calls, with the crashes and without.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BesideCrashes {
    /// True if the other plugin is isolated as well.
    pub isolated: bool,
    /// Number of clients of the other plugin, each of which waits for every reply.
    pub clients: u32,
    /// A pair for each round: without crashes and with them.
    pub rounds: Vec<(Figures, Figures)>,
    /// Crashes per second, in each round.
    pub crashes: Vec<f64>,
}

/// Measures both places of the other plugin.
pub fn measure(
    places: &Places,
    command: &str,
    effort: Effort,
) -> Result<Vec<BesideCrashes>, BenchError> {
    check_isolates(places)?;
    if !places.crashes.is_file() {
        let text = format!("{} is missing", places.crashes.display());
        return Err(BenchError::Program(text));
    }
    let mut results = Vec::new();
    for program in [Program::HostBesideCrashes, Program::HostIsolatedBesideCrashes] {
        let server = Server::start(program, Placement::Free, places)?;
        server.wait_for(&["echo".to_owned(), "x".to_owned()])?;
        for clients in COUNTS {
            let isolated = program == Program::HostIsolatedBesideCrashes;
            let mut beside =
                BesideCrashes { isolated, clients, rounds: Vec::new(), crashes: Vec::new() };
            for round in 0..effort.rounds {
                beside.measure(&server, command, effort.seconds, round % 2 == 1)?;
            }
            results.push(beside);
        }
        server.end()?;
    }
    Ok(results)
}

impl BesideCrashes {
    /// Measures one round; the crashes come first in every other.
    fn measure(
        &mut self,
        server: &Server,
        command: &str,
        seconds: f64,
        crashes_first: bool,
    ) -> Result<(), BenchError> {
        check_interrupted()?;
        let alone = || {
            if self.clients == 1 {
                one_client(server, "echo", Duration::from_secs_f64(seconds), &[])
            } else {
                clients(server, "echo", (self.clients, 1), seconds, &[])
            }
        };
        let (without, (with, crashes)) = if crashes_first {
            let with = while_crashing(server.address, command, alone)?;
            (alone()?, with)
        } else {
            (alone()?, while_crashing(server.address, command, alone)?)
        };
        println!("  p99 {:.1} µs, with {crashes:.1} crashes/s {:.1} µs", without.p99, with.p99);
        self.rounds.push((without, with));
        self.crashes.push(crashes);
        Ok(())
    }
}

/// Measures while another client crashes the plugin; returns the crashes per second as well.
fn while_crashing(
    address: SocketAddr,
    command: &str,
    measure: impl Fn() -> Result<Figures, BenchError>,
) -> Result<(Figures, f64), BenchError> {
    let (stop, started) = (AtomicBool::new(false), Instant::now());
    let (figures, crashes) = thread::scope(|scope| {
        let crasher = scope.spawn(|| crash_until(&stop, address, command));
        let figures = measure();
        stop.store(true, Ordering::SeqCst);
        let crashes = crasher.join();
        (figures, crashes)
    });
    let crashes =
        crashes.map_err(|_| BenchError::Program("the crashing client panics".into()))??;
    if crashes == 0 {
        return Err(BenchError::Program(format!("'{command}' does not crash")));
    }
    Ok((figures?, crashes as f64 / started.elapsed().as_secs_f64()))
}

/// Calls the command that crashes, and returns the number of crashes. A plugin that is not
/// available is restarted by `plugin restart`, so that quarantine does not end the crashes.
fn crash_until(stop: &AtomicBool, address: SocketAddr, command: &str) -> Result<u64, BenchError> {
    let mut crashes = 0;
    while !stop.load(Ordering::SeqCst) {
        let reply = ask(address, &[command])?;
        if reply.starts_with("-CRASHED") {
            crashes += 1;
        } else if reply.starts_with("-UNAVAILABLE") {
            let name = reply.split('\'').nth(1).unwrap_or_default();
            ask(address, &["plugin", "restart", name])?;
        } else {
            return Err(BenchError::Program(format!("'{command}' replies '{reply}'")));
        }
        thread::sleep(PAUSE);
    }
    Ok(crashes)
}

/// Returns the first line of the reply, by a connection of its own.
fn ask(address: SocketAddr, command: &[&str]) -> Result<String, BenchError> {
    let failure = || failed("ask", "the server");
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT).map_err(failure())?;
    stream.set_read_timeout(Some(TIMEOUT)).map_err(failure())?;
    let command: Vec<String> = command.iter().copied().map(str::to_owned).collect();
    stream.write_all(&request(&command)).map_err(failure())?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).map_err(failure())?;
    Ok(line.trim_end().to_owned())
}
