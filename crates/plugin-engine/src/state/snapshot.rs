//! Takes a snapshot of a plugin, and begins a new file of its journal behind it.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    durable::{Busy, Durable, Taken},
    handover::{self, Quiesced},
    store::{self, States},
    stream::Stream,
};
use crate::live::{
    deadline::{Deadline, TimedOut},
    generation::Generation,
    place,
};

/// The longest wait for a running command that writes.
const TURN: Duration = Duration::from_secs(10);

/// The calls of the plugin while a snapshot is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Calls {
    /// They go on. Those that must wait do so for at most this time for the running ones.
    GoOn(Duration),
    /// They are held back already.
    Held,
}

/// A generation, and where its state is kept.
#[derive(Clone)]
pub struct Place {
    /// The generation.
    pub generation: Arc<Generation>,
    /// Its journal and its snapshots.
    pub durable: Arc<Durable>,
    /// The disk.
    pub states: Arc<States>,
    /// The right to take a snapshot, until the last thread that takes it has ended.
    pub _busy: Arc<Busy>,
}

impl Place {
    /// Takes a snapshot within the deadline, which does not hold for the disk while calls go on.
    ///
    /// # Errors
    /// The plugin's error, that a command that writes does not end, or that the disk is full or
    /// fails. The snapshot before is still there, and so is the journal.
    pub fn take(&self, calls: Calls, deadline: &Deadline<'_>) -> Result<Taken, String> {
        let (started, count) = (Instant::now(), self.generation.calls());
        let (record, bytes, paused) = if !self.generation.live().streams() {
            self.take_bytes(calls, deadline)?
        } else if calls == Calls::Held {
            self.take_held_stream(deadline)?
        } else {
            self.take_stream(calls)?
        };
        let taken = Taken { record, bytes, took: started.elapsed(), paused };
        self.durable.note_taken(&taken, count);
        Ok(taken)
    }

    /// Takes a stream while its callers wait, on a thread of its own.
    fn take_held_stream(&self, deadline: &Deadline<'_>) -> Result<(u64, u64, Duration), String> {
        let place = self.clone();
        let taken =
            self.generation.within(deadline, "save", move || place.take_stream(Calls::Held));
        taken.unwrap_or_else(|timed_out| {
            if timed_out == TimedOut::NoThread {
                // Without a deadline rather than not at all.
                return self.take_stream(Calls::Held);
            }
            self.durable.give_up();
            let stage = self.states.saves().stage(self.durable.name());
            let stage = stage.map_or_else(String::new, |stage| format!(" ({stage})"));
            Err(format!("{}{stage}", timed_out.explain("save", deadline.time)))
        })
    }

    fn take_stream(&self, calls: Calls) -> Result<(u64, u64, Duration), String> {
        let Self { generation, durable, states, .. } = self;
        let failed = |problem: String| io::Error::other(problem);
        let mut paused = Duration::ZERO;
        let kept = states.keep_commands(durable.name(), &mut |content| {
            let mut put = |time: u64, commands: &[u8]| {
                if durable.is_cancelled() {
                    return Err("it was given up".to_owned());
                }
                content.put_commands(time, commands).map_err(|error| error.to_string())
            };
            place::in_plugin(durable.name(), "save", || {
                let mut stream = Stream::begin(generation)?;
                let turn = match calls {
                    Calls::Held => None,
                    Calls::GoOn(_) => {
                        stream.take_most(&mut put)?;
                        durable.prepare_cut().map_err(|problem| problem.to_string())?;
                        // A little more has changed meanwhile.
                        stream.take_most(&mut put)?;
                        let give_up = || durable.is_cancelled();
                        let turn = generation.order.lock_until(Instant::now() + TURN, &give_up);
                        Some(turn.ok_or_else(in_the_way)?)
                    }
                };
                let since = Instant::now();
                stream.take_rest(&mut put)?;
                let record = durable.cut().map_err(|problem| problem.to_string())?;
                drop(turn);
                paused = since.elapsed();
                Ok(record)
            })
            .map_err(failed)
        });
        let (record, bytes) = kept?;
        Ok((record, bytes, paused))
    }

    fn take_bytes(
        &self,
        calls: Calls,
        deadline: &Deadline<'_>,
    ) -> Result<(u64, u64, Duration), String> {
        let Self { generation, durable, states, .. } = self;
        let mut since = Instant::now();
        let quiesced = match calls {
            Calls::Held => None,
            Calls::GoOn(pause) => {
                durable.prepare_cut().map_err(|problem| problem.to_string())?;
                let give_up = || durable.is_cancelled() || (deadline.give_up)();
                since = Instant::now();
                let pause = Deadline { time: pause, give_up: &give_up };
                let quiesced = Quiesced::begin(generation, &pause);
                Some(quiesced.map_err(|problem| problem.to_string())?)
            }
        };
        let state = match calls {
            Calls::Held => handover::save_last(generation, deadline)?,
            Calls::GoOn(_) => handover::save(generation, deadline)?,
        };
        let record = durable.cut().map_err(|problem| problem.to_string())?;
        drop(quiesced);
        let paused = since.elapsed();
        let Some(state) = state else { return Ok((record, 0, paused)) };
        let bytes = state.len() as u64;
        let time = deadline.time.saturating_add(store::restore_time(bytes));
        states.keep(durable.name(), (state, record), &Deadline { time, ..*deadline })?;
        Ok((record, bytes, paused))
    }
}

fn in_the_way() -> String {
    format!("a command that writes did not end within {} s", TURN.as_secs())
}
