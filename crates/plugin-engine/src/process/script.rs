//! A script that is run once for each call.

use std::{
    ffi::OsString,
    io::{self, PipeReader, Read},
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, bounded};
use platform::{EndableReader, Group, ReaderEnd, Terminal};
use protocol::Encoder;
use sandbox::Cgroup;

use super::{
    cause::{Exit, seconds},
    executable::Executable,
    output,
    protocol::{SLICE, confine, pause},
    settings::PluginSettings,
    status::ProcessStatus,
    turns::Turns,
};
use crate::{
    call::{Answer, Call, Worker},
    live::{gate::Gate, generation::Generation, host_services::PluginServices, plugin::Plugin},
};

/// The most processes of one script at the same time, unless `processes` says otherwise.
const AT_ONCE: usize = 16;

/// The time from a script's cancellation to its end by force.
const MERCY: Duration = Duration::from_secs(1);

/// A script that is run once for each call.
pub struct ScriptPlugin {
    gate: Gate,
    executable: Executable,
    settings: PluginSettings,
    /// Logs its standard error.
    services: Arc<PluginServices>,
    /// The turns of its processes.
    turns: Turns,
    running: Mutex<Vec<u32>>,
}

/// A started run of a script, which is killed when this drops.
struct Run<'a> {
    group: Group,
    plugin: &'a ScriptPlugin,
    /// Removed once the group has been killed.
    _cgroup: Option<Cgroup>,
}

/// The result of a run.
enum Outcome {
    Ended(ExitStatus),
    Cancelled,
    TooLong,
    TooLarge,
}

impl ScriptPlugin {
    /// Makes the plugin of a script.
    #[must_use]
    pub fn new(
        executable: Executable,
        settings: PluginSettings,
        services: Arc<PluginServices>,
    ) -> Self {
        let most = match settings.processes {
            0 | 1 => AT_ONCE,
            processes => processes as usize,
        };
        let (gate, running) = (Gate::default(), Mutex::default());
        Self { gate, executable, settings, services, turns: Turns::new(most), running }
    }

    fn call(&self, name: &str, call: &Call<'_>, reply: &mut Encoder) -> Answer {
        let Some(_guard) = self.gate.enter() else { return Answer::Retired };
        let failed = |reply: &mut Encoder, problem: String| {
            reply.error("ERR", problem.as_bytes());
            Answer::Written
        };
        let _turn = loop {
            if let Some(turn) = self.turns.wait(SLICE) {
                break turn;
            }
            if call.context.wait_for_cancel(Duration::ZERO) {
                return failed(reply, "cancelled before it was started".to_owned());
            }
        };
        match self.run(name, call, reply) {
            Ok(()) => Answer::Written,
            Err(error) => {
                reply.reset();
                failed(reply, format!("cannot run the script of '{name}': {error}"))
            }
        }
    }

    /// Runs the script and writes its reply.
    fn run(&self, name: &str, call: &Call<'_>, reply: &mut Encoder) -> io::Result<()> {
        let words = call.arguments().map(to_word).collect::<io::Result<Vec<_>>>()?;
        let mut command = self.executable.command(&words)?;
        let (output, out) = io::pipe()?;
        let (errors, err) = io::pipe()?;
        command
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .env("DROPIN_COMMAND", name)
            .env("DROPIN_SESSION_ID", call.context.session_id().to_string())
            .env("DROPIN_SESSION_PEER", call.context.peer().to_string())
            .env("DROPIN_SESSION_NAME", call.context.session_name());
        let mut group = Group::spawn(&mut command, Terminal::None)?;
        drop(command);
        let limits = &self.executable.limits;
        let _cgroup = confine(&mut group, limits).map_err(io::Error::other)?;
        self.running().push(group.child.id());
        let mut run = Run { group, plugin: self, _cgroup };
        let most = reply.most();
        let output = read_on_thread(output, most.saturating_add(2))?;
        let errors = output::log_lines(errors, &self.services)?;
        let outcome = self.wait(&mut run, call, &output)?;
        // The pipes give the rest at once: all writers are dead.
        drop(run);
        let output = output.finish();
        match outcome {
            Outcome::Ended(status) if status.success() => {
                let text = output.strip_suffix(b"\n").unwrap_or(&output);
                reply.text(text.strip_suffix(b"\r").unwrap_or(text));
            }
            Outcome::Ended(status) => {
                let problem = match errors.last_line() {
                    line if line.is_empty() => Exit::of(status).to_string(),
                    line => line,
                };
                reply.error("ERR", problem.as_bytes());
            }
            Outcome::Cancelled => reply.error("ERR", b"cancelled"),
            Outcome::TooLarge => reply.refuse_as_too_large(),
            Outcome::TooLong => {
                let timeout = self.settings.call_timeout.unwrap_or_default();
                let plugin = &self.executable.stem;
                let text = format!(
                    "plugin '{plugin}': exceeded its call-timeout of {} in '{name}'",
                    seconds(timeout)
                );
                reply.error("CRASHED", text.as_bytes());
            }
        }
        Ok(())
    }

    /// Waits for the end of a run, or ends it.
    fn wait(&self, run: &mut Run<'_>, call: &Call<'_>, output: &Reading) -> io::Result<Outcome> {
        let observer = run.group.observer()?;
        let (timeout, started) = (self.settings.call_timeout, Instant::now());
        let mut asked: Option<(Instant, Outcome)> = None;
        loop {
            if let Some(status) = run.group.reap(&observer)? {
                return Ok(asked.map_or(Outcome::Ended(status), |(_, outcome)| outcome));
            }
            if output.is_too_large() {
                return Ok(Outcome::TooLarge);
            }
            if let Some((at, outcome)) = asked.take() {
                if at.elapsed() >= MERCY {
                    return Ok(outcome);
                }
                asked = Some((at, outcome));
            } else if timeout.is_some_and(|timeout| started.elapsed() >= timeout) {
                run.group.ask_to_end();
                asked = Some((Instant::now(), Outcome::TooLong));
            } else if call.context.wait_for_cancel(Duration::ZERO) {
                run.group.ask_to_end();
                asked = Some((Instant::now(), Outcome::Cancelled));
            }
            observer.wait(pause(timeout));
        }
    }

    fn running(&self) -> std::sync::MutexGuard<'_, Vec<u32>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        let pid = self.group.child.id();
        self.group.kill();
        self.plugin.running().retain(|running| *running != pid);
    }
}

impl Plugin for ScriptPlugin {
    fn gate(&self) -> &Gate {
        &self.gate
    }

    fn worker(self: Arc<Self>, generation: Arc<Generation>, index: u32) -> Box<dyn Worker> {
        let command = generation.manifest.commands.get(index as usize);
        let name = command.map(|command| command.name.clone()).unwrap_or_default();
        Box::new(ScriptWorker { plugin: self, generation, name })
    }

    fn saves(&self) -> bool {
        false
    }

    fn save(&self) -> Result<Option<Vec<u8>>, String> {
        Ok(None)
    }

    fn restore(&self, _: &[u8]) -> Result<(), String> {
        Ok(())
    }

    fn configures(&self) -> bool {
        false
    }

    fn configure(&self, _: &str) -> Result<(), String> {
        Ok(())
    }

    fn end(&self) -> bool {
        // Each process ends with its call.
        self.gate.is_drained()
    }

    fn is_process(&self) -> bool {
        true
    }

    fn status(&self) -> Option<ProcessStatus> {
        Some(ProcessStatus {
            place: "script",
            pids: self.running().clone(),
            limits: self.settings.limits.clone(),
            call_timeout: self.settings.call_timeout,
            ..ProcessStatus::default()
        })
    }
}

/// Calls a command of a script.
struct ScriptWorker {
    plugin: Arc<ScriptPlugin>,
    generation: Arc<Generation>,
    name: String,
}

impl Worker for ScriptWorker {
    fn call(&self, call: &Call<'_>, reply: &mut Encoder) -> Answer {
        let answer = self.plugin.call(&self.name, call, reply);
        if reply.failed() {
            self.generation.count_error();
        }
        answer
    }
}

/// Output that a thread reads until this drops.
struct Reading {
    kept: Arc<Mutex<Vec<u8>>>,
    most: usize,
    done: Receiver<()>,
    /// A process that has left the script's group may keep the pipe open.
    reader: ReaderEnd,
}

/// Reads output on a thread of its own, and keeps at most `most` bytes and one more.
fn read_on_thread(output: PipeReader, most: usize) -> io::Result<Reading> {
    let (mut output, reader) = EndableReader::new(output)?;
    let kept = Arc::<Mutex<Vec<u8>>>::default();
    let keeping = Arc::clone(&kept);
    let (alive, done) = bounded::<()>(0);
    thread::Builder::new().name("script output".into()).spawn(move || {
        let _alive = alive;
        let mut buffer = [0; 16 << 10];
        loop {
            let read = match output.read(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Ok(0) | Err(_) => break,
                Ok(read) => read,
            };
            let mut kept = keeping.lock().unwrap_or_else(PoisonError::into_inner);
            let room = most.saturating_add(1).saturating_sub(kept.len()).min(read);
            kept.extend_from_slice(&buffer[..room]);
        }
        // Before the end is known.
        drop(output);
    })?;
    Ok(Reading { kept, most, done, reader })
}

impl Reading {
    fn is_too_large(&self) -> bool {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).len() > self.most
    }

    /// Returns what was read, and what is in the pipe; later output is not waited for.
    fn finish(self) -> Vec<u8> {
        const LEFT: Duration = Duration::from_millis(500);
        self.reader.end();
        let _ = self.done.recv_timeout(LEFT);
        std::mem::take(&mut *self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Turns an argument into a word of a command line.
fn to_word(argument: &[u8]) -> io::Result<OsString> {
    if argument.contains(&0) {
        return Err(io::Error::other("an argument has a zero byte, which a script cannot take"));
    }
    #[cfg(unix)]
    return Ok(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(argument).to_owned());
    #[cfg(not(unix))]
    match std::str::from_utf8(argument) {
        Ok(text) => Ok(OsString::from(text)),
        Err(_) => Err(io::Error::other("an argument is not UTF-8")),
    }
}

// The programs that they run are those of Unix.
#[cfg(test)]
#[cfg(unix)]
#[path = "script_tests.rs"]
mod tests;
