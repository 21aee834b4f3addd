//! Programs that the benchmark starts: each has a time limit, and none outlives it.

use std::{
    process::{Child, Command, ExitStatus},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::error::{BenchError, failed};

static STOPPED: AtomicBool = AtomicBool::new(false);

/// Interval between two checks whether a program has ended.
const PAUSE: Duration = Duration::from_millis(5);

/// Time limit of a program that has been asked to end.
const GRACE: Duration = Duration::from_secs(10);

/// Makes Ctrl-C and SIGTERM end the benchmark in order, with the programs that it has started.
pub fn end_on_signals() -> Result<(), BenchError> {
    ctrlc::set_handler(|| STOPPED.store(true, Ordering::SeqCst)).map_err(|error| {
        BenchError::Caused(format!("cannot listen for signals: {error}"), error.into())
    })
}

/// Fails once the benchmark has been interrupted.
pub fn check_interrupted() -> Result<(), BenchError> {
    if STOPPED.load(Ordering::SeqCst) { Err(BenchError::Stopped) } else { Ok(()) }
}

/// A running program. It is killed when this drops.
pub struct Running {
    child: Child,
    name: String,
}

impl Running {
    /// Starts a program.
    pub fn start(command: &mut Command) -> Result<Self, BenchError> {
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command.spawn().map_err(failed("start", &name))?;
        Ok(Self { child, name })
    }

    /// Returns its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns the child, for its streams.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Waits for its end, and calls `look` meanwhile.
    pub fn wait(
        &mut self,
        limit: Duration,
        look: &mut dyn FnMut(),
    ) -> Result<ExitStatus, BenchError> {
        let started = Instant::now();
        loop {
            check_interrupted()?;
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            if started.elapsed() > limit {
                let seconds = limit.as_secs();
                return Err(BenchError::Program(format!(
                    "{} has not ended within {seconds} s",
                    self.name
                )));
            }
            look();
            thread::sleep(PAUSE);
        }
    }

    /// Asks it to end, and kills it after [`GRACE`].
    pub fn end(mut self) -> Result<(), BenchError> {
        let id = i32::try_from(self.id()).ok().and_then(rustix::process::Pid::from_raw);
        if let (None, Some(id)) = (self.ended()?, id) {
            // It is not reaped yet, so the id is still its own.
            let _ = rustix::process::kill_process(id, rustix::process::Signal::TERM);
        }
        let asked = Instant::now();
        while self.ended()?.is_none() && asked.elapsed() < GRACE {
            thread::sleep(PAUSE);
        }
        Ok(())
    }

    fn ended(&mut self) -> Result<Option<ExitStatus>, BenchError> {
        self.child.try_wait().map_err(failed("wait for", &self.name))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Fails if the program has just ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the first line of a program's output, or `None` if it is missing.
pub fn first_line(program: &str, arguments: &[&str]) -> Option<String> {
    let said = Command::new(program).args(arguments).output().ok()?;
    let line = String::from_utf8_lossy(&said.stdout).lines().next()?.trim().to_owned();
    (said.status.success() && !line.is_empty()).then_some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_program_is_reported_and_killed() {
        let mut sleep = Running::start(Command::new("sleep").arg("600")).unwrap();
        let error = sleep.wait(Duration::from_millis(20), &mut || {}).unwrap_err();
        assert_eq!(error.to_string(), "sleep has not ended within 0 s");
        let id = sleep.id();
        drop(sleep);
        assert!(!std::path::Path::new(&format!("/proc/{id}")).exists());
    }
}
