//! Crashes of one plugin under load of others, which must not notice them.

use std::{
    io::{self, BufRead, BufReader, Write},
    net::TcpStream,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use super::{
    Soak, Verdict,
    figures::Figures,
    load::{Load, connect},
    resources::Resources,
    served::Served,
    stall::Stopwatch,
};
use crate::error::TaskError;

/// The package of the plugin that crashes, and the plugin's name.
pub const PLUGIN: &str = "crashes";

/// A plugin under load in a process of its own; the other one, `store`, runs in the host.
const ISOLATED: &str = "text";

/// Number of crashes before the resources count as those of the start.
const WARM: usize = 10;

/// In each such row of crashes the first ones wait for their starts, until quarantine; after the
/// others `plugin restart` starts the process at once.
const ROW: usize = 100;

/// Number of crashes that lead to quarantine.
const QUARANTINE: usize = 5;

/// Time limit for a process to serve again, and for the resources to be given back.
const LIMIT: Duration = Duration::from_secs(60);

/// The goal for the time from a crash to the error of the call in it, in milliseconds.
const TO_ERROR: u64 = 10;

/// The goal for the time until the plugin serves again, in milliseconds.
const TO_ANSWER: u64 = 100;

/// Pause between two questions to a plugin that is not available.
const PAUSE: Duration = Duration::from_millis(1);

/// The command that replies [`SLEPT`] after so many milliseconds, unless its process ends meanwhile.
const SLEEP: &str = "crash.sleep";

const SLEPT: &str = "slept";

/// The ways in which the process ends, in turn: the command, and the cause in its error.
const WAYS: [(&str, &str); 4] = [
    ("crash.sleep 5000", "signal 9 in 'crash.sleep'"),
    ("crash.fault", "signal 11 in 'crash.fault'"),
    ("crash.abort", "signal 6 in 'crash.abort'"),
    ("crash.exit 3", "exit status 3 in 'crash.exit'"),
];

/// The times and counts of all crashes.
#[derive(Default)]
struct Crashes {
    /// From `SIGKILL`, or the command that crashes, to the error.
    errors: [Figures; WAYS.len()],
    /// From the error to the next good answer, by the kind of start.
    at_once: Figures,
    after_pause: Figures,
    /// From `plugin restart` to the next good answer.
    asked: Figures,
    /// The number of ends since the last `plugin restart`.
    ends: usize,
    wrong: u64,
    quarantines: usize,
    restarts: usize,
    /// The number of calls that had not reached the process when it was killed.
    missed: usize,
}

/// Has the plugin crash `count` times. Other plugins must lose no answer, and the host must hold no
/// more resources in the end.
pub fn run(
    count: usize,
    soak: &Soak,
    built: &Path,
    verdict: &mut Verdict,
) -> Result<(), TaskError> {
    if cfg!(not(unix)) {
        return Err(TaskError::Refused("only Unix has the signals of the crashes".into()));
    }
    println!("\n{count} crashes of a plugin under {} clients of two others", soak.clients);
    let plugins = [PLUGIN, ISOLATED, "store"].map(str::to_owned);
    let flags = soak.flags(&[PLUGIN, ISOLATED].map(str::to_owned));
    let mut host = Served::start(built, &plugins, &flags)?;
    let load = Load::start(host.address(), soak.clients);
    let mut client = Client::connect(&host)?;
    let mut crashes = Crashes::default();
    let (mut before, mut memory) = (Resources::of(host.pid()), host.memory()?);
    let started = Instant::now();
    for number in 0..count {
        crashes.crash(number, &mut host, &mut client)?;
        if number + 1 == WARM.min(count) {
            (before, memory) = (Resources::of(host.pid()), host.memory()?);
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    let after = settled(&host, before);
    let end = host.memory()?;
    let done = load.stop();
    println!("crashes                 {count} in {seconds:.0} s, {} missed", crashes.missed);
    crashes.report(verdict);
    println!("requests of the others  {} ({:.0}/s)", done.requests, done.requests as f64 / seconds);
    verdict.exact("failed requests", done.failed, 0);
    verdict.exact("dropped sessions", done.dropped, 0);
    verdict.exact("sum of incr", host.integer("get soak")?, done.increments);
    println!("resources after {WARM}      {before}");
    println!("resources at the end    {after}");
    verdict.holds(&format!("resources: {after} instead of {before}"), after.are_back(before));
    println!("resident memory         {memory} kB after {WARM}, {end} kB at the end");
    verdict.exact("exit status", host.end()?, 0);
    Ok(())
}

/// Returns the host's resources once they are back, or after [`LIMIT`].
fn settled(host: &Served, before: Resources) -> Resources {
    let waits = Stopwatch::start();
    loop {
        let now = Resources::of(host.pid());
        if now.are_back(before) || waits.left(LIMIT).is_zero() {
            return now;
        }
        thread::sleep(Duration::from_millis(50));
    }
}

impl Crashes {
    /// Ends the process in the way whose turn it is, and waits until it serves again.
    fn crash(
        &mut self,
        number: usize,
        host: &mut Served,
        client: &mut Client,
    ) -> Result<(), TaskError> {
        self.ends += 1;
        let way = number % WAYS.len();
        let (command, cause) = WAYS[way];
        let (crashed, error) = if command.starts_with(SLEEP) {
            self.kill(command, host, client)?
        } else {
            let crashed = Instant::now();
            (crashed, client.ask(command)?)
        };
        self.errors[way].add(crashed.elapsed());
        if !(error.starts_with("error: ") && error.contains(cause)) {
            println!("  wrong error of {command}: {error}");
            self.wrong += 1;
        }
        self.wait_until_served(number % ROW < QUARANTINE, host, client)
    }

    /// Kills the process in a call. Returns the time of the kill and the call's error.
    fn kill(
        &mut self,
        command: &str,
        host: &mut Served,
        client: &mut Client,
    ) -> Result<(Instant, String), TaskError> {
        loop {
            client.send(command)?;
            // By then the call, which was sent first, has reached the process.
            let pids = host.pids(PLUGIN)?;
            let crashed = Instant::now();
            pids.iter().for_each(|pid| kill(*pid));
            let reply = client.line()?;
            if reply.starts_with("error: ") {
                return Ok((crashed, reply));
            }
            self.missed += 1;
            self.ends += 1;
        }
    }

    /// Waits for a good answer. Unless the pauses before a start are waited for, the process is
    /// started at once.
    fn wait_until_served(
        &mut self,
        with_pauses: bool,
        host: &mut Served,
        client: &mut Client,
    ) -> Result<(), TaskError> {
        let (mut since, waits) = (Instant::now(), Stopwatch::start());
        let mut was_asked = false;
        loop {
            let reply = client.ask("crash.sleep 0")?;
            if reply == SLEPT {
                break;
            }
            let is_quarantined = reply.contains("is quarantined");
            if !(is_quarantined || reply.contains("starts again in")) {
                println!("  wrong answer after a crash: {reply}");
                self.wrong += 1;
            }
            if waits.left(LIMIT).is_zero() {
                return Err(TaskError::Failed(format!("the start after a crash: '{reply}'")));
            }
            if !was_asked && (is_quarantined || !with_pauses) {
                self.quarantines += usize::from(is_quarantined);
                self.restarts += 1;
                was_asked = true;
                since = Instant::now();
                host.restart(PLUGIN)?;
            }
            thread::sleep(PAUSE);
        }
        // There is no pause after the first end.
        let figures = match (was_asked, self.ends) {
            (true, _) => &mut self.asked,
            (false, 1) => &mut self.at_once,
            (false, _) => &mut self.after_pause,
        };
        figures.add(since.elapsed());
        if was_asked {
            self.ends = 0;
        }
        Ok(())
    }

    fn report(&self, verdict: &mut Verdict) {
        println!("quarantines             {}, restarts {}", self.quarantines, self.restarts);
        println!("from the crash to the error of the call in it");
        for ((command, _), figures) in WAYS.iter().zip(&self.errors) {
            println!("  {command:<21} {figures}   goal: median {TO_ERROR} ms");
            verdict.goal(figures.median(), TO_ERROR, command, "median to the error");
        }
        println!("from the error to the next good answer");
        for (kind, figures) in
            [("after the first end", &self.at_once), ("by `plugin restart`", &self.asked)]
        {
            println!("  {kind:<21} {figures}   goal: median {TO_ANSWER} ms");
            verdict.goal(figures.median(), TO_ANSWER, kind, "median to the answer");
        }
        println!("  after a pause         {}", self.after_pause);
        verdict.exact("wrong answers", self.wrong, 0);
    }
}

/// Kills a process.
#[cfg(unix)]
pub fn kill(pid: u32) {
    use rustix::process::{Pid, Signal, kill_process};
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // Fails if it has just ended.
        let _ = kill_process(pid, Signal::KILL);
    }
}

#[cfg(not(unix))]
fn kill(_: u32) {}

/// The client whose calls crash the plugin's process.
struct Client {
    stream: TcpStream,
    replies: BufReader<TcpStream>,
}

impl Client {
    fn connect(host: &Served) -> Result<Self, TaskError> {
        let connected = || -> io::Result<Self> {
            let stream = connect(host.address())?;
            Ok(Self { replies: BufReader::new(stream.try_clone()?), stream })
        };
        connected().map_err(failed("connect to"))
    }

    fn ask(&mut self, command: &str) -> Result<String, TaskError> {
        self.send(command)?;
        self.line()
    }

    fn send(&mut self, command: &str) -> Result<(), TaskError> {
        self.stream.write_all(format!("{command}\n").as_bytes()).map_err(failed("write to"))
    }

    fn line(&mut self) -> Result<String, TaskError> {
        let mut line = String::new();
        let read = self.replies.read_line(&mut line).map_err(failed("read from"))?;
        if read == 0 {
            return Err(TaskError::Failed("the host ended early; its run".into()));
        }
        Ok(line.trim_end().to_owned())
    }
}

fn failed(operation: &'static str) -> impl FnOnce(io::Error) -> TaskError {
    move |error| TaskError::Io(operation, "the host".into(), error)
}
