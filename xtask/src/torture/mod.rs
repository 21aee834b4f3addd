//! The crash tester: kills the host, or the process of a plugin, at random moments under clients
//! that write, and compares what is there afterwards with what was acknowledged.

mod client;
mod damage;
mod host;
mod model;
mod reply;

use std::{
    path::PathBuf,
    process,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use fastrand::Rng;
use tempfile::TempDir;

use self::{
    client::Outcome,
    host::{Control, Host, PLUGIN, Place},
    model::{Model, SharedBase, Violation},
};
use crate::{cargo, error::TaskError, soak::Figures, threads::Threads};

/// The times at which a journal is flushed.
const POLICIES: [&str; 3] = ["always", "everysec", "never"];

/// A kill comes so many milliseconds after the plugin serves.
const MOMENTS: (u64, u64) = (5, 150);

/// Of a hundred kills, so many come while a snapshot is taken.
const IN_SNAPSHOT: u64 = 25;

/// Of a hundred kills, so many are followed by one while the next start replays.
const IN_START: u64 = 20;

/// Before so many of a hundred kills, a snapshot is taken, so that the journal is cut.
const SNAPSHOTS: u64 = 30;

/// Of a hundred kills with `--isolate`, so many kill the host.
const HOST_KILLS: u64 = 10;

/// The most starts in a row that may find the port in use: the system may keep the port of a host
/// that was killed for some milliseconds.
const BUSY: usize = 10;

/// Time limit of a plugin's start after its process was killed.
const LIMIT: Duration = Duration::from_secs(30);

/// The options of the crash tester.
#[derive(Clone, Debug, clap::Args)]
pub struct Torture {
    /// Folder of the built host and plugins; otherwise they are built for release.
    #[arg(long, value_name = "DIR")]
    built: Option<PathBuf>,
    /// Number of kills, over all policies.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    kills: usize,
    /// Clients at full speed; every second one sends batches of up to 16.
    #[arg(long, value_name = "N", default_value_t = 4)]
    clients: usize,
    /// The time at which the journal is flushed: always, everysec, never, or all in turn.
    #[arg(long, value_name = "POLICY", default_value = "all",
        value_parser = ["always", "everysec", "never", "all"])]
    sync: String,
    /// Run the store in a process of its own and kill that, and sometimes the host.
    #[arg(long)]
    isolate: bool,
    /// The host's threads of sessions; the host's default if not given.
    #[arg(long, value_name = "HOW", value_enum)]
    threads: Option<Threads>,
    /// Replace the store's library all the time.
    #[arg(long)]
    reloads: bool,
    /// Choose moments and commands by this number; by the clock if not given.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

impl Torture {
    /// Returns the host's flags.
    fn flags(&self) -> Vec<String> {
        let isolate = self.isolate.then(|| format!("--isolate={PLUGIN}"));
        isolate.into_iter().chain(self.threads.map(Threads::flag)).collect()
    }
}

/// The counts and times of a run.
#[derive(Default)]
struct Summary {
    kills: usize,
    in_snapshot: usize,
    in_start: usize,
    of_host: usize,
    busy: usize,
    acknowledged: u64,
    refused: u64,
    snapshots: usize,
    reloads: u64,
    replayed: u64,
    starts: Figures,
    damage: damage::Tests,
}

/// The reason for which a run ended early.
enum Ended {
    /// The state is not what it must be.
    Wrong(Vec<Violation>),
    /// The tester itself failed.
    Task(TaskError),
}

/// Runs the kills of each policy. Keeps the folder where the state is wrong.
pub fn run(torture: &Torture) -> Result<(), TaskError> {
    let built = match &torture.built {
        Some(built) => built.clone(),
        None => {
            cargo::build_as_shipped("release", &[])?;
            cargo::output("release")
        }
    };
    let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let seed = torture.seed.unwrap_or_else(|| clock.subsec_nanos().into());
    let policies: Vec<&str> =
        POLICIES.into_iter().filter(|it| torture.sync == "all" || torture.sync == *it).collect();
    println!("{} kills under {} clients, seed {seed}", torture.kills, torture.clients);
    let began = Instant::now();
    let mut summary = Summary::default();
    for (index, policy) in policies.iter().enumerate() {
        let share = (torture.kills + index) / policies.len();
        let folder = tempfile::tempdir()
            .map_err(|error| TaskError::Io("make", "a directory".into(), error))?;
        let place = Place::new(folder.path(), &built, policy, torture.flags())?;
        let mut run = Run {
            torture,
            place,
            random: Rng::with_seed(seed.wrapping_add(index as u64)),
            models: (0..torture.clients).map(Model::new).collect(),
            shared: SharedBase::default(),
            has_transactions: false,
            summary: &mut summary,
        };
        let first = run.summary.kills;
        let ended = run.all_kills(share);
        let kill = run.summary.kills - first;
        let log = run.place.log();
        run.summary.replayed += replayed(&log);
        match ended {
            Ok(()) => println!("journal-sync {policy:<10} {kill} kills"),
            Err(Ended::Task(error)) => return Err(error),
            Err(Ended::Wrong(violations)) => {
                return Err(report(&violations, (seed, policy, kill), folder));
            }
        }
    }
    summary.print(began.elapsed());
    println!("\ntorture: all checks passed");
    Ok(())
}

/// Prints what is wrong, and keeps the folder.
fn report(
    violations: &[Violation],
    (seed, policy, kill): (u64, &str, usize),
    folder: TempDir,
) -> TaskError {
    for violation in violations.iter().take(10) {
        println!("seed {seed}, journal-sync {policy}, kill {kill}: {violation}");
    }
    println!("the folder is kept: {}", folder.keep().display());
    TaskError::Failed(format!("the torture ({} violations)", violations.len()))
}

/// Returns the number of records that the log reports as replayed.
fn replayed(log: &str) -> u64 {
    let count = |line: &str| -> Option<u64> {
        line.split(" records of its journal").next()?.rsplit(' ').next()?.parse().ok()
    };
    log.lines().filter(|line| line.contains(" records of its journal")).filter_map(count).sum()
}

/// The kills of one policy.
struct Run<'a> {
    torture: &'a Torture,
    place: Place,
    random: Rng,
    models: Vec<Model>,
    shared: SharedBase,
    has_transactions: bool,
    summary: &'a mut Summary,
}

impl Run<'_> {
    fn all_kills(&mut self, kills: usize) -> Result<(), Ended> {
        let stop = AtomicBool::new(false);
        let (place, replaces) = (self.place.clone(), self.torture.reloads);
        let reloads = thread::scope(|scope| {
            let reloads = scope.spawn(|| if replaces { reload_until(&stop, &place) } else { 0 });
            let ended = self.kill_and_check(kills);
            stop.store(true, Ordering::Relaxed);
            ended.map(|()| reloads.join().unwrap_or_default())
        })?;
        self.summary.reloads += reloads;
        let mut known: Vec<_> = self.models.iter().flat_map(Model::names).collect();
        known.extend((0..model::SHARED).map(model::shared_counter));
        let damaged = damage::run(&self.place, &known, &mut self.summary.damage);
        let violations = damaged.map_err(|failed| match failed {
            damage::Failed::Start(problem) => self.does_not_serve(problem),
            damage::Failed::Task(error) => Ended::Task(error),
        })?;
        if violations.is_empty() { Ok(()) } else { Err(Ended::Wrong(violations)) }
    }

    fn kill_and_check(&mut self, kills: usize) -> Result<(), Ended> {
        let (mut host, mut control) = self.start()?;
        let multi = control.ask(&["multi"]);
        self.has_transactions = multi.is_ok_and(|reply| reply.error().is_none());
        if self.has_transactions {
            // Its reply is of no interest.
            let _ = control.ask(&["discard"]);
        }
        let last = self.summary.kills + kills;
        while self.summary.kills < last {
            let stop = Arc::new(AtomicBool::new(false));
            let clients: Vec<_> = std::mem::take(&mut self.models)
                .into_iter()
                .map(|model| {
                    let (stop, address) = (Arc::clone(&stop), host.address());
                    let random = self.random.fork();
                    let has_transactions = self.has_transactions;
                    thread::spawn(move || {
                        client::run(address, model, &stop, random, has_transactions)
                    })
                })
                .collect();
            self.wait_for_moment(&mut control);
            self.summary.kills += 1;
            let is_worker = self.torture.isolate && self.random.u64(..100) >= HOST_KILLS;
            let killed = if is_worker {
                control.kill_workers();
                // Calls go on meanwhile, and are answered by errors.
                thread::sleep(Duration::from_millis(self.random.u64(..10)));
                Some(host)
            } else {
                self.summary.of_host += 1;
                host.kill();
                None
            };
            stop.store(true, Ordering::Relaxed);
            let outcomes: Vec<Outcome> =
                clients.into_iter().filter_map(|client| client.join().ok()).collect();
            let mut violations: Vec<Violation> = Vec::new();
            for outcome in outcomes {
                self.summary.refused += outcome.refused;
                violations.extend(outcome.violation);
                self.models.push(outcome.model);
            }
            if !violations.is_empty() {
                return Err(Ended::Wrong(violations));
            }
            (host, control) = match killed {
                Some(host) => self.restart_worker(host)?,
                None => self.restart()?,
            };
            violations = self.check(&mut control)?;
            if !violations.is_empty() {
                return Err(Ended::Wrong(violations));
            }
        }
        self.summary.acknowledged += self.models.iter().map(|it| it.acknowledged).sum::<u64>();
        host.kill();
        Ok(())
    }

    /// Waits for the moment of the next kill, and takes snapshots before it.
    fn wait_for_moment(&mut self, control: &mut Control) {
        let wait = MOMENTS.0 + self.random.u64(..MOMENTS.1 - MOMENTS.0);
        let save = ["plugin", "save", PLUGIN];
        if self.random.u64(..100) < SNAPSHOTS {
            thread::sleep(Duration::from_millis(wait / 2));
            self.summary.snapshots += usize::from(control.ask(&save).is_ok());
            thread::sleep(Duration::from_millis(wait / 2));
        } else {
            thread::sleep(Duration::from_millis(wait));
        }
        if self.random.u64(..100) < IN_SNAPSHOT {
            self.summary.in_snapshot += 1;
            // In a session of its own, whose reply nobody reads.
            let saving = control.beside();
            let _saving = saving.and_then(|mut saving| saving.send(&save).map(|()| saving));
            thread::sleep(Duration::from_micros(self.random.u64(..6000)));
        }
    }

    /// Starts the host again, sometimes after one that is killed while it starts.
    fn restart(&mut self) -> Result<(Host, Control), Ended> {
        if self.random.u64(..100) < IN_START {
            let host = self.place.start().map_err(Ended::Task)?;
            thread::sleep(Duration::from_micros(self.random.u64(..40_000)));
            host.kill();
            self.summary.kills += 1;
            self.summary.in_start += 1;
        }
        self.start()
    }

    fn start(&mut self) -> Result<(Host, Control), Ended> {
        let mut tries = 0;
        loop {
            let mut host = self.place.start().map_err(Ended::Task)?;
            match host.wait_until_served() {
                Ok((control, took)) => {
                    self.summary.starts.add(took);
                    return Ok((host, control));
                }
                Err(_) if tries < BUSY && self.is_port_busy() => {
                    tries += 1;
                    self.summary.busy += 1;
                    thread::sleep(Duration::from_millis(20));
                }
                Err(problem) => return Err(self.does_not_serve(problem)),
            }
        }
    }

    /// Returns true if the last host has ended because the system still had its port.
    fn is_port_busy(&self) -> bool {
        self.place.log().lines().next_back().is_some_and(|line| line.contains("is in use"))
    }

    /// Starts the plugin's process again, and sometimes kills the first one while it starts.
    fn restart_worker(&mut self, host: Host) -> Result<(Host, Control), Ended> {
        let started = Instant::now();
        let restart = ["plugin", "restart", PLUGIN];
        let fails = |error: std::io::Error| error.to_string();
        let mut restarted = || -> Result<Control, String> {
            let mut control = Control::connect(host.address()).map_err(fails)?;
            if self.random.u64(..100) < IN_START {
                let mut other = control.beside().map_err(fails)?;
                other.send(&restart).map_err(fails)?;
                thread::sleep(Duration::from_micros(self.random.u64(..20_000)));
                if control.kill_workers() {
                    self.summary.kills += 1;
                    self.summary.in_start += 1;
                }
                // Its end is noticed first.
                thread::sleep(Duration::from_millis(2));
            }
            control.ask(&restart).map_err(fails)?;
            control.wait_until_answered(LIMIT)?;
            Ok(control)
        };
        let control = restarted().map_err(|problem| self.does_not_serve(problem))?;
        self.summary.starts.add(started.elapsed());
        Ok((host, control))
    }

    fn check(&mut self, control: &mut Control) -> Result<Vec<Violation>, Ended> {
        let mut names: Vec<_> = self.models.iter().flat_map(Model::names).collect();
        names.extend((0..model::SHARED).map(model::shared_counter));
        let found = control.values(&names).map_err(|problem| self.does_not_serve(problem))?;
        let (now, mut violations) = model::check_shared(&self.models, &self.shared, &found);
        violations.extend(self.models.iter().flat_map(|model| model.check(&found)));
        let size = control.ask(&["dbsize"]);
        if !size.as_ref().is_ok_and(|it| *it == reply::Reply::Integer(found.len() as i64)) {
            violations.push(Violation {
                key: "(number of keys)".into(),
                expected: found.len().to_string(),
                found: format!("{size:?}"),
            });
        }
        self.shared = now;
        self.models.iter_mut().for_each(|model| model.settle(&found, &now));
        Ok(violations)
    }

    fn does_not_serve(&self, problem: String) -> Ended {
        let log = self.place.log();
        let last: Vec<&str> = log.lines().rev().take(5).collect();
        let last = last.into_iter().rev().collect::<Vec<_>>().join("\n  ");
        Ended::Wrong(vec![Violation {
            key: "(the start)".into(),
            expected: format!("plugin {PLUGIN} is served"),
            found: format!("{problem}\n  {last}"),
        }])
    }
}

/// Replaces the library again and again. Returns how often.
fn reload_until(stop: &AtomicBool, place: &Place) -> u64 {
    let mut count = u64::from(process::id()) << 32;
    let first = count;
    while !stop.load(Ordering::Relaxed) {
        count += 1;
        if let Err(error) = place.replace_library(count) {
            println!("  not replaced: {error}");
        }
        thread::sleep(Duration::from_millis(20));
    }
    count - first
}

impl Summary {
    fn print(&self, took: Duration) {
        let Self { kills, in_snapshot, in_start, of_host, .. } = self;
        let each = took.as_secs_f64() / (*kills).max(1) as f64;
        println!(
            "kills                   {kills} in {:.0} s, {each:.2} s each",
            took.as_secs_f64()
        );
        println!("  while a snapshot is taken {in_snapshot}, while it starts {in_start}");
        println!("  of the host before it is started again {of_host}");
        println!("acknowledged effects    {}, none lost, none twice", self.acknowledged);
        println!("calls refused           {}", self.refused);
        println!("snapshots, reloads      {}, {}", self.snapshots, self.reloads);
        println!("starts, port in use     {}", self.busy);
        println!("replayed records        {}", self.replayed);
        println!("from start to reply     {}", self.starts);
        let damage::Tests { cuts, flips, starts } = self.damage;
        println!("damaged journals        {cuts} cuts, {flips} wrong bits, {starts} by a host");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replayed_records_are_counted() {
        let log = "x INFO host: plugin store: 12 records of its journal replayed, from 3 on\n\
                   x INFO host: plugin store: its state and 30 records of its journal\nelse\n";
        assert_eq!(replayed(log), 42);
    }
}
