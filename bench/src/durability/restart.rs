//! The time from a start to the first correct reply, after the server was killed.

use serde::{Deserialize, Serialize};

use super::{
    folder,
    pause::save,
    session::{Session, key_of, value_of},
    subject::{Kept, Subject, Sync},
};
use crate::{error::BenchError, server::Places, statistics::short};

/// Number of keys.
pub const KEYS: usize = 1_000_000;

/// The files that a server starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum From {
    /// A log of one `set` for each key.
    Log,
    /// A snapshot; in Redis the file that BGREWRITEAOF writes.
    Snapshot,
}

/// The starts of one server.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Restart {
    /// The server.
    pub subject: Subject,
    /// The files that it starts from.
    pub from: From,
    /// The time of each round, in milliseconds.
    pub millis: Vec<f64>,
}

/// Measures the starts of both servers, in turn.
pub fn measure(places: &Places, rounds: usize) -> Result<Vec<Restart>, BenchError> {
    let mut all = Vec::new();
    let mut kept = Vec::new();
    for subject in Subject::ALL {
        let folder = folder()?;
        let server = Kept::prepare(subject, Sync::Everysec, folder.path(), places)?;
        // It is killed when it drops.
        Session::connect(server.start()?.address).map(drop)?;
        let started = server.start()?;
        Session::connect(started.address)?.fill(KEYS)?;
        drop(started);
        kept.push((subject, server, folder));
    }
    for from in [From::Log, From::Snapshot] {
        let mut restarts: Vec<Restart> = kept
            .iter()
            .map(|(subject, ..)| Restart { subject: *subject, from, millis: Vec::new() })
            .collect();
        if from == From::Snapshot {
            for (subject, server, _) in &kept {
                let started = server.start_until(&has_last_key)?;
                save(*subject, &mut Session::connect(started.address)?)?;
            }
        }
        for round in 0..rounds {
            for turn in 0..kept.len() {
                let turn = (turn + round) % kept.len();
                let started = kept[turn].1.start_until(&has_last_key)?;
                restarts[turn].millis.push(started.took.as_secs_f64() * 1e3);
            }
        }
        for restart in &restarts {
            let times: Vec<String> = restart.millis.iter().map(|it| short(*it)).collect();
            println!("  {} from {from:?}: {} ms", restart.subject.name(), times.join(", "));
        }
        all.extend(restarts);
    }
    Ok(all)
}

fn has_last_key(session: &mut Session) -> bool {
    let reply = session.ask(&["get", &key_of(KEYS - 1)]);
    reply.is_ok_and(|texts| texts == [value_of(KEYS - 1)])
}
