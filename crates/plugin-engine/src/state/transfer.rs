//! Hands the state of a generation over as commands, most of it while calls go on.

use std::{
    cell::Cell,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    replay::Replayer,
    stream::{OpenStream, Stream},
};
use crate::live::{
    deadline::{Deadline, TimedOut},
    generation::Generation,
    place,
};

/// Longer than any hand-over takes; it ends earlier if it stands still.
const UNBOUNDED: Duration = Duration::from_secs(3_600);

/// A hand-over, of which the most has been done while calls go on.
pub struct Transfer {
    old: Arc<Generation>,
    /// `None` while a thread has it.
    replayer: Option<Box<Replayer>>,
    stream: OpenStream,
}

impl Transfer {
    /// Hands the most of a state over, while calls of the old generation go on. Gives up if a piece
    /// takes longer than `patience`.
    ///
    /// # Errors
    /// The error of either generation, or that one of them does not return.
    pub fn begin(
        old: &Arc<Generation>,
        new: &Arc<Generation>,
        patience: Duration,
        give_up: &dyn Fn() -> bool,
    ) -> Result<Self, String> {
        let progress = Arc::new(AtomicU64::new(0));
        let (from, to, counted) = (Arc::clone(old), Arc::clone(new), Arc::clone(&progress));
        let work = move || {
            let name = &to.manifest.name;
            place::in_plugin(name, "restore", || {
                let mut replayer = Box::new(Replayer::new(&to));
                let mut stream = Stream::begin(&from)?;
                stream.take_most(&mut |time, commands| {
                    counted.fetch_add(1, Ordering::Relaxed);
                    run(&mut replayer, time, commands)
                })?;
                Ok((replayer, stream.leave_open()))
            })
        };
        let (seen, is_stuck) = (Cell::new((0, Instant::now())), Cell::new(false));
        let give_up = || {
            let count = progress.load(Ordering::Relaxed);
            if count != seen.get().0 {
                seen.set((count, Instant::now()));
            }
            is_stuck.set(seen.get().1.elapsed() >= patience);
            is_stuck.get() || give_up()
        };
        let deadline = Deadline { time: UNBOUNDED, give_up: &give_up };
        let done = new.within(&deadline, "restore", work).unwrap_or_else(|timed_out| {
            let timed_out = if is_stuck.get() { TimedOut::Expired } else { timed_out };
            Err(timed_out.explain("restore", patience))
        });
        let (replayer, stream) = done?;
        Ok(Self { old: Arc::clone(old), replayer: Some(replayer), stream })
    }

    /// Hands over the rest, while no call runs. Returns the length of the whole state, in bytes.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    pub fn finish(mut self, new: &Arc<Generation>, deadline: &Deadline<'_>) -> Result<u64, String> {
        let (from, name, open) = (Arc::clone(&self.old), new.manifest.name.clone(), self.stream);
        let mut replayer = self.replayer.take();
        let work = move || {
            place::in_plugin(&name, "restore", || {
                let mut stream = Stream::resume(&from, open);
                let Some(replayer) = replayer.as_mut() else { return Ok(stream.bytes()) };
                stream.take_rest(&mut |time, commands| run(replayer, time, commands))?;
                Ok(stream.bytes())
            })
        };
        let done = new.within(deadline, "restore", work);
        done.unwrap_or_else(|timed_out| Err(timed_out.explain("restore", deadline.time)))
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        // Changes of the old generation need not be noted any longer.
        self.stream.end(&self.old);
    }
}

fn run(replayer: &mut Replayer, time: u64, commands: &[u8]) -> Result<(), String> {
    replayer.run(0, time, commands).map_err(|error| error.to_string())?;
    replayer.finish().map_err(|error| error.to_string())
}
