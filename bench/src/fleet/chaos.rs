//! Calls over three hosts, of which one is killed and started again each second.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use super::hosts::{Fleet, Nats};
use crate::{durability::Session, error::BenchError, program::check_interrupted, server::Places};

/// Number of clients.
const CLIENTS: usize = 8;

/// The time between two kills.
const INTERVAL: Duration = Duration::from_secs(1);

/// The outcome of all calls.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Chaos {
    /// Number of calls.
    pub calls: usize,
    /// Number of kills.
    pub kills: usize,
    /// Replies that were not the one of their call; a doubled one makes the next ones wrong.
    pub wrong: usize,
    /// Errors of calls that were at the killed host.
    pub lost: usize,
    /// Other errors.
    pub errors: usize,
}

/// Makes this number of calls, each with a text of its own.
pub fn measure(places: &Places, calls: usize) -> Result<Chaos, BenchError> {
    let mut fleet = Fleet::start(places, Nats::start()?)?;
    let url = fleet.nats.url();
    let third = Fleet::start_host(places, "third", true, Some(&url))?;
    let address = fleet.caller.address;
    let (is_over, kills) = (AtomicBool::new(false), AtomicUsize::new(0));
    let counts = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                scope.spawn(move || -> Result<Chaos, BenchError> {
                    let mut session = Session::connect(address)?;
                    let mut counts = Chaos::default();
                    for number in 0..calls / CLIENTS {
                        let text = format!("{client}-{number}");
                        counts.calls += 1;
                        match session.ask(&["echo", &text]) {
                            Ok(reply) if reply == [text] => {}
                            Ok(_) => counts.wrong += 1,
                            Err(error) if error.to_string().contains("HOSTDOWN") => {
                                counts.lost += 1;
                            }
                            Err(_) => counts.errors += 1,
                        }
                    }
                    Ok(counts)
                })
            })
            .collect();
        let killer = scope.spawn(|| -> Result<(), BenchError> {
            while !is_over.load(Ordering::SeqCst) {
                let next = Instant::now() + INTERVAL;
                while Instant::now() < next && !is_over.load(Ordering::SeqCst) {
                    check_interrupted()?;
                    thread::sleep(Duration::from_millis(10));
                }
                fleet.other.signal(Signal::KILL);
                kills.fetch_add(1, Ordering::SeqCst);
                fleet.other = Fleet::start_host(places, "other", true, Some(&url))?;
            }
            Ok(())
        });
        let counts: Vec<_> = clients.into_iter().map(|client| client.join()).collect();
        is_over.store(true, Ordering::SeqCst);
        let panicked = |_| BenchError::Program("a client panicked".into());
        killer.join().map_err(panicked)??;
        let mut all = Chaos { kills: kills.load(Ordering::SeqCst), ..Chaos::default() };
        for one in counts {
            let one = one.map_err(panicked)??;
            all.calls += one.calls;
            all.wrong += one.wrong;
            all.lost += one.lost;
            all.errors += one.errors;
        }
        Ok::<_, BenchError>(all)
    });
    drop(third);
    counts
}
