//! Journals and snapshots, beside Redis's append-only file.

mod goals;
mod pause;
mod report;
mod restart;
mod session;
mod subject;

use std::{
    collections::BTreeMap, fs::Permissions, os::unix::fs::PermissionsExt as _, path::Path,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tempfile::TempDir;

pub use crate::durability::{goals::goals, report::write, session::Session};
use crate::{
    durability::{
        pause::Paused,
        restart::Restart,
        subject::{Kept, Subject, Sync},
    },
    error::{BenchError, failed},
    generator::{Load, LoadResult},
    process,
    program::check_interrupted,
    rounds::Effort,
    server::{Placement, Places},
    statistics::short,
};

/// Number of concurrent clients.
const CLIENTS: u32 = 50;

/// Numbers of requests that each client sends before it waits.
const PIPELINES: [u32; 2] = [1, 16];

/// Number of keys that the clients set.
const KEYS: u64 = 100_000;

/// Number of `incr` whose bytes on the disk are counted.
const COUNTED: u64 = 100_000;

/// Time limit of a load.
const LIMIT: Duration = Duration::from_secs(60);

/// All results of this part.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Durability {
    /// A sample for each round, by server, policy and pipeline.
    pub sets: Vec<Sets>,
    /// Bytes on the disk for each `incr`.
    pub bytes: BTreeMap<Subject, f64>,
    /// The times of starts.
    pub restarts: Vec<Restart>,
    /// The longest waits of a writer.
    pub pauses: Vec<Paused>,
}

/// The samples of `set` on one server.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sets {
    /// The server.
    pub subject: Subject,
    /// The time at which its log is flushed.
    pub sync: Sync,
    /// Number of requests at once.
    pub pipeline: u32,
    /// A sample for each round: the clients' figures, and the processor time of a request in
    /// microseconds.
    pub samples: Vec<(LoadResult, f64)>,
}

/// Measures everything.
pub fn measure(places: &Places, effort: Effort) -> Result<Durability, BenchError> {
    let mut durability = Durability::default();
    for sync in Sync::ALL {
        durability.sets.extend(sets(places, sync, effort)?);
    }
    for subject in Subject::ALL {
        let bytes = bytes(places, subject)?;
        println!("  {}: {} bytes for each incr", subject.name(), short(bytes));
        durability.bytes.insert(subject, bytes);
    }
    durability.restarts = restart::measure(places, effort.rounds)?;
    durability.pauses = pause::measure(places, effort.rounds)?;
    Ok(durability)
}

/// Makes a folder that only its owner can read.
fn folder() -> Result<TempDir, BenchError> {
    let mut builder = tempfile::Builder::new();
    builder.permissions(Permissions::from_mode(0o700));
    builder.tempdir().map_err(failed("make", "a folder"))
}

/// Measures `set` on both servers, in turn.
fn sets(places: &Places, sync: Sync, effort: Effort) -> Result<Vec<Sets>, BenchError> {
    let mut running = Vec::new();
    for subject in Subject::ALL {
        let folder = folder()?;
        let kept = Kept::prepare(subject, sync, folder.path(), places)?.start()?;
        running.push((subject, kept, folder));
    }
    let mut all = Vec::new();
    for pipeline in PIPELINES {
        let mut sets: Vec<Sets> = running
            .iter()
            .map(|(subject, ..)| Sets { subject: *subject, sync, pipeline, samples: Vec::new() })
            .collect();
        let mut requests = Vec::new();
        for (_, server, _) in &running {
            let least = u64::from(CLIENTS) * u64::from(pipeline) * 20;
            let warm_up = load(server, pipeline, least).run(LIMIT, &mut || {})?;
            requests.push(((warm_up.rate * effort.seconds) as u64).max(least));
        }
        for round in 0..effort.rounds {
            for turn in 0..running.len() {
                check_interrupted()?;
                // Each is the first in some round.
                let turn = (turn + round) % running.len();
                let (_, server, _) = &running[turn];
                let before = process::cpu(server.id())?;
                let served = load(server, pipeline, requests[turn]).run(LIMIT, &mut || {})?;
                let cpu = (process::cpu(server.id())? - before) * 1e6 / requests[turn] as f64;
                sets[turn].samples.push((served, cpu));
            }
        }
        for one in &sets {
            let last = one.samples.last();
            let shown = last.map_or_else(String::new, |(served, cpu)| {
                let (rate, p99) = (short(served.rate), short(served.p99));
                format!("{rate}/s, p99 {p99} ms, CPU {} µs", short(*cpu))
            });
            println!("  {} {sync:?}, pipeline {pipeline}: {shown}", one.subject.name());
        }
        all.extend(sets);
    }
    Ok(all)
}

fn load(server: &subject::Started, pipeline: u32, requests: u64) -> Load {
    Load {
        address: server.address,
        command: ["set", "key:__rand_int__", "value-of-a-key"].map(str::to_owned).into(),
        payload: None,
        clients: CLIENTS,
        pipeline,
        requests,
        core: Placement::Apart.of_generator(),
        keys: Some(KEYS),
    }
}

/// Returns the bytes that a log grows by for each `incr`.
fn bytes(places: &Places, subject: Subject) -> Result<f64, BenchError> {
    let folder = folder()?;
    let server = Kept::prepare(subject, Sync::Everysec, folder.path(), places)?.start()?;
    let mut session = Session::connect(server.address)?;
    session.ask(&["incr", "counter"])?;
    let before = log_bytes(folder.path(), subject)?;
    for _ in 0..COUNTED / 1000 {
        let one: &[&str] = &["incr", "counter"];
        session.ask_all(&[one; 1000])?;
    }
    Ok((log_bytes(folder.path(), subject)? - before) as f64 / COUNTED as f64)
}

/// Returns the length of all files of a log.
fn log_bytes(folder: &Path, subject: Subject) -> Result<u64, BenchError> {
    let mut bytes = 0;
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).map_err(failed("read", &folder))?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            match entry.metadata() {
                Ok(data) if data.is_dir() => folders.push(entry.path()),
                Ok(data) if name.contains(subject.log()) => bytes += data.len(),
                _ => {}
            }
        }
    }
    Ok(bytes)
}
