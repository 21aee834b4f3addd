//! The longest wait of a client that writes, while a snapshot is taken or the plugin is replaced.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::{
    folder,
    session::{Session, key_of, value_of},
    subject::{Kept, Started, Subject, Sync},
};
use crate::{
    error::BenchError,
    isolation::pin_this_thread,
    process,
    program::check_interrupted,
    server::{Placement, Places},
    statistics::short,
};

/// Numbers of keys.
pub const KEYS: [usize; 2] = [100_000, 3_000_000];

/// Time for which the client writes before and after the event.
const AROUND: Duration = Duration::from_millis(200);

/// The client's time without an event.
const QUIET: Duration = Duration::from_secs(1);

/// Time limit of a reload or a snapshot.
const LIMIT: Duration = Duration::from_secs(120);

/// The event that the client may notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// None: what the machine itself does.
    Nothing,
    /// A snapshot; in Redis BGREWRITEAOF.
    Snapshot,
    /// A reload of the store.
    Reload,
}

/// The waits of the client.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Paused {
    /// The server.
    pub subject: Subject,
    /// The event.
    pub event: Event,
    /// The number of keys.
    pub keys: usize,
    /// For each round: the longest wait and the 99.9th percentile, and the duration of the event, in
    /// milliseconds.
    pub rounds: Vec<(f64, f64, f64)>,
    /// The resident memory before, and the most meanwhile, in MiB.
    pub resident: (f64, f64),
}

/// Measures both servers, with few keys and with many.
pub fn measure(places: &Places, rounds: usize) -> Result<Vec<Paused>, BenchError> {
    let mut all = Vec::new();
    for keys in KEYS {
        for subject in Subject::ALL {
            let folder = folder()?;
            let server = Kept::prepare(subject, Sync::Everysec, folder.path(), places)?;
            let started = server.start()?;
            let mut session = Session::connect(started.address)?;
            session.fill(keys)?;
            save(subject, &mut session)?;
            let events: &[Event] = match subject {
                Subject::Host => &[Event::Nothing, Event::Snapshot, Event::Reload],
                Subject::Redis => &[Event::Nothing, Event::Snapshot],
            };
            for event in events {
                let mut paused = Paused {
                    subject,
                    event: *event,
                    keys,
                    rounds: Vec::new(),
                    resident: (resident(&started), 0.0),
                };
                for _ in 0..rounds {
                    check_interrupted()?;
                    round(&server, &started, &mut session, &mut paused)?;
                }
                let longest: Vec<String> = paused
                    .rounds
                    .iter()
                    .map(|(longest, p999, took)| {
                        format!("{} ({}, in {})", short(*longest), short(*p999), short(*took))
                    })
                    .collect();
                println!(
                    "  {}, {keys} keys, {event:?}: longest wait (p99.9) {} ms; {} to {} MiB",
                    subject.name(),
                    longest.join(", "),
                    short(paused.resident.0),
                    short(paused.resident.1)
                );
                all.push(paused);
            }
        }
    }
    Ok(all)
}

/// Takes a snapshot, and waits for its end.
pub fn save(subject: Subject, session: &mut Session) -> Result<(), BenchError> {
    match subject {
        Subject::Host => session.ask(&["plugin", "save", "store"]).map(drop),
        Subject::Redis => {
            session.ask(&["bgrewriteaof"])?;
            wait_until(|| {
                let info = session.ask(&["info", "persistence"])?.concat();
                Ok(info.contains("aof_rewrite_in_progress:0")
                    && info.contains("aof_rewrite_scheduled:0"))
            })
        }
    }
}

fn round(
    server: &Kept,
    started: &Started,
    session: &mut Session,
    paused: &mut Paused,
) -> Result<(), BenchError> {
    let stop = AtomicBool::new(false);
    let (mut took, mut most) = (0.0, 0.0_f64);
    let (address, keys) = (started.address, paused.keys);
    let waits = thread::scope(|scope| {
        let writer = scope.spawn(|| write(address, keys, &stop));
        let sampler = scope.spawn(|| sample(started, &stop));
        thread::sleep(AROUND);
        let began = Instant::now();
        let done = match paused.event {
            Event::Nothing => {
                thread::sleep(QUIET);
                Ok(())
            }
            Event::Snapshot => save(paused.subject, session),
            Event::Reload => reload(server, session),
        };
        took = began.elapsed().as_secs_f64() * 1e3;
        thread::sleep(AROUND);
        stop.store(true, Ordering::SeqCst);
        most = most.max(sampler.join().unwrap_or_default());
        let waits = writer.join().map_err(|_| BenchError::Program("the client panicked".into()))?;
        done.and(waits)
    });
    let mut waits = waits?;
    waits.sort_unstable();
    let at = |part: f64| {
        let place = (waits.len().saturating_sub(1) as f64 * part) as usize;
        waits.get(place).map_or(0.0, |nanos| *nanos as f64 / 1e6)
    };
    paused.rounds.push((at(1.0), at(0.999), took));
    paused.resident.1 = paused.resident.1.max(most);
    Ok(())
}

/// Sets one key after the other. Returns the time of each, in nanoseconds.
fn write(address: SocketAddr, keys: usize, stop: &AtomicBool) -> Result<Vec<u64>, BenchError> {
    pin_this_thread(Placement::Apart)?;
    let mut session = Session::connect(address)?;
    let (mut waits, mut key) = (Vec::new(), 0);
    while !stop.load(Ordering::Relaxed) {
        // All over the store, and each to the value that it has.
        key = (key + 7919) % keys;
        let (name, value) = (key_of(key), value_of(key));
        let asked = Instant::now();
        session.ask(&["set", &name, &value])?;
        waits.push(asked.elapsed().as_nanos() as u64);
    }
    Ok(waits)
}

/// Returns the most resident memory until `stop`, in MiB.
fn sample(started: &Started, stop: &AtomicBool) -> f64 {
    let mut most = 0.0_f64;
    while !stop.load(Ordering::Relaxed) {
        most = most.max(resident(started));
        thread::sleep(Duration::from_millis(5));
    }
    most
}

/// Returns the resident memory of a server and its children, in MiB.
fn resident(started: &Started) -> f64 {
    process::size(started.id()).resident as f64 / 1024.0
}

/// Replaces the store by the same code, and waits until the new one serves.
fn reload(server: &Kept, session: &mut Session) -> Result<(), BenchError> {
    let before = generation(session)?;
    server.replace_library(before)?;
    wait_until(|| Ok(generation(session)? != before))
}

fn generation(session: &mut Session) -> Result<u64, BenchError> {
    let info = session.ask(&["plugin", "info", "store"])?;
    let number = info.iter().skip_while(|text| *text != "generation").nth(1);
    let number = number.and_then(|number| number.parse().ok());
    number.ok_or_else(|| BenchError::Program("plugin info: no generation".into()))
}

fn wait_until(mut is_over: impl FnMut() -> Result<bool, BenchError>) -> Result<(), BenchError> {
    let began = Instant::now();
    while !is_over()? {
        check_interrupted()?;
        if began.elapsed() > LIMIT {
            return Err(BenchError::Program("a snapshot or reload does not end".into()));
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}
