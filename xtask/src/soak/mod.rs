//! The soak: reloads or crashes under load, with failures, losses, leaks and times.

mod crashes;
mod figures;
mod load;
mod resources;
pub mod served;
#[path = "../../../tests/src/stall.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod stall;

use std::{
    fmt::Display,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

#[cfg(not(unix))]
use self::figures::Figures;
#[cfg(unix)]
pub use self::{crashes::kill, figures::Figures, load::connect, stall::Stopwatch};
use self::{
    load::{Load, Probe},
    served::{Retired, Served},
};
use crate::{cargo, error::TaskError, threads::Threads, workspace};

/// Number of keys in the store while its gap is measured.
const KEYS: usize = 100_000;

/// Number of reloads after which memory counts as stable.
const WARM: usize = 50;

/// The plugins that are reloaded.
const RELOADED: [&str; 2] = ["text", "store"];

/// The options of the soak.
#[derive(Clone, Debug, clap::Args)]
pub struct Soak {
    /// Folder of the built host and plugins; otherwise they are built for release.
    #[arg(long, value_name = "DIR")]
    pub built: Option<PathBuf>,
    /// Reloads of each of the two plugins under load.
    #[arg(long, default_value_t = 1000)]
    pub reloads: usize,
    /// Clients at full speed; every second one sends batches of 16.
    #[arg(long, default_value_t = 50)]
    pub clients: usize,
    /// Run this plugin in a process of its own; repeatable, `all` for all.
    #[arg(long, value_name = "PLUGIN")]
    pub isolate: Vec<String>,
    /// The host's threads of sessions; the host's default if not given.
    #[arg(long, value_name = "HOW", value_enum)]
    pub threads: Option<Threads>,
    /// Instead of the reloads, have a plugin in a process of its own crash this often under load.
    #[arg(long, value_name = "N", conflicts_with = "isolate")]
    pub crashes: Option<usize>,
    /// Reloads in each of the measurements without load; 0 skips them.
    #[arg(long, default_value_t = 200)]
    pub timed: usize,
    /// Leave out this shipped plugin.
    #[arg(long, value_name = "PLUGIN")]
    pub without: Vec<String>,
    /// Skip the tests of bad files at the end.
    #[arg(long)]
    pub figures_only: bool,
}

impl Soak {
    /// Returns the names of the host's plugins.
    fn plugins(&self) -> Result<Vec<String>, TaskError> {
        let mut plugins = workspace::shipped_plugins()?;
        plugins.retain(|name| !self.without.contains(name));
        Ok(plugins)
    }

    /// Returns the host's flags for these plugins in processes of their own.
    fn flags(&self, isolated: &[String]) -> Vec<String> {
        let isolate = isolated.iter().map(|plugin| format!("--isolate={plugin}"));
        isolate.chain(self.threads.map(Threads::flag)).collect()
    }

    /// Returns true if this plugin runs in a process of its own.
    fn is_isolated(&self, plugin: &str) -> bool {
        self.isolate.iter().any(|isolated| isolated == plugin || isolated == "all")
    }

    fn goals(&self, plugin: &str) -> &'static Goals {
        if self.is_isolated(plugin) { &IN_PROCESS } else { &IN_HOST }
    }

    /// Returns the number of private copies on the disk after reloads: a process may be started
    /// again from its copy, or from the one before it after a rollback.
    fn copies(&self) -> Result<usize, TaskError> {
        let plugins = self.plugins()?;
        let served = plugins.iter().map(String::as_str);
        Ok(served.chain(RELOADED).filter(|plugin| self.is_isolated(plugin)).count())
    }
}

/// The goals for times, in milliseconds.
struct Goals {
    /// The median from the rename to the first reply of the new code.
    median_delay: u64,
    /// The longest such time.
    worst_delay: u64,
    /// The longest wait for a reply of a plugin that keeps no state while it is reloaded.
    wait: u64,
    /// The same for a plugin with [`KEYS`] keys.
    wait_for_state: u64,
}

/// The goals for plugins that run in the host.
const IN_HOST: Goals = Goals { median_delay: 25, worst_delay: 100, wait: 5, wait_for_state: 50 };

/// The goals for plugins in processes of their own: each reload starts a process, and state
/// crosses to it.
const IN_PROCESS: Goals =
    Goals { median_delay: 50, worst_delay: 200, wait: 10, wait_for_state: 200 };

/// A time of this many times its goal fails the task: the machine alone does not explain it.
const TOLERANCE: u32 = 5;

/// Runs all measurements. A count that is not zero or exact fails the task, and so does a lost
/// session. A time is reported with its goal, and fails the task at [`TOLERANCE`] times the goal.
pub fn run(soak: &Soak) -> Result<(), TaskError> {
    let built = match &soak.built {
        Some(built) => built.clone(),
        None => {
            // It ships no plugin that crashes.
            cargo::build_as_shipped("release", &["--package", crashes::PLUGIN])?;
            cargo::output("release")
        }
    };
    let mut verdict = Verdict::default();
    if let Some(count) = soak.crashes {
        crashes::run(count, soak, &built, &mut verdict)?;
    } else {
        under_load(soak, &built, &mut verdict)?;
        if soak.timed > 0 {
            delay(soak, &built, &mut verdict)?;
            gaps(soak, &built, &mut verdict)?;
        }
    }
    if verdict.failures.is_empty() {
        println!("\nsoak: all checks passed");
        return Ok(());
    }
    Err(TaskError::Failed(format!("the soak ({})", verdict.failures.join("; "))))
}

/// Reloads both plugins, in turn, under clients that send without pause.
fn under_load(soak: &Soak, built: &Path, verdict: &mut Verdict) -> Result<(), TaskError> {
    println!("\n{} reloads each of text and store under {} clients", soak.reloads, soak.clients);
    let mut host = Served::start(built, &soak.plugins()?, &soak.flags(&soak.isolate))?;
    let started = Instant::now();
    let load = Load::start(host.address(), soak.clients);
    let mut warm = None;
    let mut taken = Figures::default();
    for reload in 0..soak.reloads {
        for plugin in RELOADED {
            taken.add(host.reload(plugin)?);
        }
        if reload + 1 == WARM.min(soak.reloads) {
            host.wait_until_drained(&RELOADED)?;
            warm = Some(host.memory()?);
        }
    }
    host.wait_until_drained(&RELOADED)?;
    let end = host.memory()?;
    let done = load.stop();
    let seconds = started.elapsed().as_secs_f64();
    println!("requests                {} ({:.0}/s)", done.requests, done.requests as f64 / seconds);
    verdict.exact("failed requests", done.failed, 0);
    verdict.exact("dropped sessions", done.dropped, 0);
    verdict.exact("sum of incr", host.integer("get soak")?, done.increments);
    println!("a reload under load     {taken}");
    let warm = warm.unwrap_or(end);
    let growth = (end as f64 / warm as f64 - 1.0) * 100.0;
    println!("resident memory         {warm} kB after {WARM}, {end} kB at the end: {growth:+.1} %");
    verdict.holds("memory within 5 %", growth <= 5.0);
    let Retired { draining, lingering } = host.retired(&RELOADED)?;
    println!("retired, not unloaded   {draining} draining, {lingering} lingering");
    verdict.exact("private copies left on disk", host.copies()?, soak.copies()?);
    let status = host.end()?;
    verdict.exact("exit status", status, 0);
    verdict.exact("unexpected files in the state directory", host.leftovers()?, 0);
    Ok(())
}

/// Measures the time from the rename into the folder to the first reply of the new code, without
/// other load.
fn delay(soak: &Soak, built: &Path, verdict: &mut Verdict) -> Result<(), TaskError> {
    println!("\nfrom the rename to the first reply by the new code, {} reloads each", soak.timed);
    let mut host = Served::start(built, &soak.plugins()?, &soak.flags(&soak.isolate))?;
    for plugin in RELOADED {
        let mut figures = Figures::default();
        for _ in 0..soak.timed {
            figures.add(host.reload(plugin)?);
        }
        let Goals { median_delay, worst_delay, .. } = soak.goals(plugin);
        println!("{plugin:<23} {figures}   goal: median {median_delay} ms, worst {worst_delay} ms");
        verdict.goal(figures.median(), *median_delay, plugin, "median delay");
        verdict.goal(figures.worst(), *worst_delay, plugin, "worst delay");
    }
    verdict.exact("exit status", host.end()?, 0);
    Ok(())
}

/// Measures the longest time that one client waits for a reply while plugins are reloaded.
fn gaps(soak: &Soak, built: &Path, verdict: &mut Verdict) -> Result<(), TaskError> {
    println!(
        "\nlongest wait of one client for one reply during a reload, {} reloads each",
        soak.timed
    );
    let mut host = Served::start(built, &soak.plugins()?, &soak.flags(&soak.isolate))?;
    host.fill_store(KEYS)?;
    for (reloaded, asked, goal) in [
        (None, "echo x", None),
        (Some("text"), "echo x", Some(soak.goals("text").wait)),
        (Some("store"), "get key:7", Some(soak.goals("store").wait_for_state)),
        (Some("store"), "echo x", None),
        (Some("text"), "get key:7", None),
    ] {
        let probe = Probe::start(host.address(), asked);
        let mut waits = Figures::default();
        for _ in 0..soak.timed {
            match reloaded {
                Some(plugin) => {
                    host.reload(plugin)?;
                }
                None => host.rest(),
            }
            waits.add(probe.longest());
        }
        let lost = probe.stop();
        let what = format!(
            "{asked}, {}",
            reloaded.map_or("no reload".into(), |p| format!("{p} reloaded"))
        );
        let shown = goal.map(|goal| format!("   goal: worst {goal} ms")).unwrap_or_default();
        println!("{what:<31} {waits}{shown}");
        if let Some(why) = lost {
            verdict.holds(&format!("{what}: its session was lost ({why})"), false);
        }
        if let Some(goal) = goal {
            verdict.goal(waits.worst(), goal, &what, "longest wait");
        }
    }
    verdict.exact("exit status", host.end()?, 0);
    Ok(())
}

/// The failed checks.
#[derive(Default)]
struct Verdict {
    failures: Vec<String>,
}

impl Verdict {
    fn exact<T: PartialEq + Display>(&mut self, what: &str, is: T, must_be: T) {
        println!("{what:<23} {is} (must be {must_be})");
        self.holds(&format!("{what}: {is} instead of {must_be}"), is == must_be);
    }

    fn holds(&mut self, what: &str, holds: bool) {
        if !holds {
            self.failures.push(what.to_owned());
        }
    }

    /// Reports a missed goal, in milliseconds. A goal that is missed by far fails the task;
    /// otherwise the machine may just be busy.
    fn goal(&mut self, is: Duration, goal: u64, of: &str, what: &str) {
        let goal = Duration::from_millis(goal);
        if is >= goal {
            println!("  goal missed: {what} of {of}");
        }
        self.holds(
            &format!("{what} of {of}: {is:?}, {TOLERANCE} times its goal or more"),
            is < goal * TOLERANCE,
        );
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Arguments {
        #[command(flatten)]
        soak: Soak,
    }

    #[test]
    fn host_gets_the_flags_of_the_soak() {
        let flags = |arguments: &[&str]| {
            let soak = Arguments::parse_from([&["soak"], arguments].concat()).soak;
            soak.flags(&soak.isolate)
        };
        assert!(flags(&[]).is_empty());
        let all = flags(&["--isolate", "text", "--isolate", "store", "--threads", "shared"]);
        assert_eq!(all, ["--isolate=text", "--isolate=store", "--threads=shared"]);
    }
}
