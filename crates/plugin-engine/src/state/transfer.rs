//! Hands the state of a generation over as commands, most of it while calls go on.

use std::sync::Arc;

use super::{
    replay::Replayer,
    stream::{OpenStream, Stream},
};
use crate::live::{deadline::Deadline, generation::Generation, place};

/// A hand-over, of which the most has been done while calls go on.
pub struct Transfer {
    old: Arc<Generation>,
    /// `None` while a thread has it.
    replayer: Option<Box<Replayer>>,
    stream: OpenStream,
}

impl Transfer {
    /// Hands the most of a state over, while calls of the old generation go on. Gives up if a piece
    /// takes longer than the deadline's time.
    ///
    /// # Errors
    /// The error of either generation, or that one of them does not return.
    pub fn begin(
        old: &Arc<Generation>,
        new: &Arc<Generation>,
        deadline: &Deadline<'_>,
    ) -> Result<Self, String> {
        let (from, to) = (Arc::clone(old), Arc::clone(new));
        let work = move |progress: &dyn Fn()| {
            let name = &to.manifest.name;
            place::in_plugin(name, "restore", || {
                let mut replayer = Box::new(Replayer::new(&to));
                let mut stream = Stream::begin(&from)?;
                stream.take_most(&mut |time, commands| {
                    progress();
                    run(&mut replayer, time, commands)
                })?;
                Ok((replayer, stream.leave_open()))
            })
        };
        let done = new.within_progress(deadline, "restore", work);
        let done =
            done.unwrap_or_else(|timed_out| Err(timed_out.explain("restore", deadline.time)));
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
