//! Starts the processes of an executable that speaks JSON lines.

use std::{
    io::{self, PipeReader, Write},
    process::{ChildStdin, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};
use platform::{EndableReader, Group, Terminal};

use super::{Hello as WorkerHello, Requests, process::LinesProcess, reader::Shared};
use crate::{
    live::{host_services::PluginServices, manifest::CommandFacts},
    load_error::Refusal,
    process::{
        cause::Exit,
        executable::Executable,
        output::{self, LoggedOutput},
        protocol::{Hello, Launched, Launcher, SLICE, confine},
    },
};

/// The most lines that wait to be written to a worker.
const QUEUED: usize = 256;

/// The remedy for an executable that was not written as a plugin.
const HINT: &str = "a plugin must write a hello first, see the book's page on workers";

/// Starts processes of one executable.
pub struct LinesLauncher {
    /// The executable.
    pub executable: Executable,
    /// The longest time until a process has described itself.
    pub timeout: Duration,
    /// Logs the worker's lines.
    pub services: Arc<PluginServices>,
    /// Takes a new list of commands.
    pub changed: Arc<dyn Fn(Vec<CommandFacts>) + Send + Sync>,
}

impl Launcher for LinesLauncher {
    fn launch(&self, give_up: &dyn Fn() -> bool) -> Result<Launched, Refusal> {
        let failed = |operation: &'static str| {
            move |error: io::Error| Refusal::probe_failed(operation, &error)
        };
        let mut command = self.executable.command(&[]).map_err(failed("prepare its start"))?;
        let (output, out) = io::pipe().map_err(failed("make a pipe for its output"))?;
        let (errors, err) = io::pipe().map_err(failed("make a pipe for its errors"))?;
        command.stdin(Stdio::piped()).stdout(out).stderr(err);
        let mut group = Group::spawn(&mut command, Terminal::None).map_err(failed("start it"))?;
        // This process's copies of the pipes' other ends.
        drop(command);
        let Some(input) = group.child.stdin.take() else {
            return Err(Refusal::probe_failed("start it", &"it has no standard input"));
        };
        let cgroup = confine(&mut group, &self.executable.limits)?;
        match self.begin(input, output, errors, give_up) {
            Ok((process, hello)) => {
                let hello = Hello {
                    manifest: hello.manifest(),
                    saves: hello.has_state,
                    streams: false,
                    configures: false,
                    has_queues: false,
                };
                if let Err(refusal) = hello.manifest.check() {
                    group.kill();
                    return Err(refusal);
                }
                Ok(Launched { group, protocol: Box::new(process), hello, cgroup })
            }
            Err(refusal) => {
                let how = match refusal {
                    NoHello::Refused(refusal) => {
                        group.kill();
                        return Err(refusal);
                    }
                    NoHello::Closed(output) => {
                        let how = ended(&mut group);
                        match output.last_line() {
                            line if line.is_empty() => format!("{how}; {HINT}"),
                            line => format!("{how}: {line}"),
                        }
                    }
                };
                group.kill();
                Err(Refusal::Worker { problem: how })
            }
        }
    }
}

/// The reason for which there is no hello.
enum NoHello {
    Refused(Refusal),
    /// It has closed its output, or has ended.
    Closed(LoggedOutput),
}

/// Describes the end of a process that has closed its output before its hello.
fn ended(group: &mut Group) -> String {
    /// The time for which it may outlive its output.
    const OUTLIVES: Duration = Duration::from_secs(1);
    let closed = "it closed its output before its hello".to_owned();
    let Ok(observer) = group.observer() else { return closed };
    let expires_at = Instant::now() + OUTLIVES;
    loop {
        match group.reap(&observer) {
            Ok(Some(status)) => {
                let exit = Exit::of(status);
                return format!("it ended before its hello: {exit}");
            }
            _ if Instant::now() >= expires_at => return closed,
            _ => observer.wait(expires_at.saturating_duration_since(Instant::now())),
        }
    }
}

impl LinesLauncher {
    /// Greets a new process and waits for its hello.
    fn begin(
        &self,
        input: ChildStdin,
        output: PipeReader,
        errors: PipeReader,
        give_up: &dyn Fn() -> bool,
    ) -> Result<(LinesProcess, WorkerHello), NoHello> {
        let no_thread =
            |error: io::Error| NoHello::Refused(Refusal::probe_failed("start a thread", &error));
        let (lines, queue) = bounded(QUEUED);
        let (send_hello, hello) = bounded(1);
        let shared = Arc::new(Shared::new(&self.services, &self.changed));
        let errors = output::log_lines(errors, &self.services).map_err(no_thread)?;
        let spawn = |name: &str, run: Box<dyn FnOnce() + Send>| {
            thread::Builder::new().name(name.into()).spawn(run).map_err(no_thread)
        };
        spawn("plugin input", Box::new(move || write_lines(input, &queue)))?;
        let reader = Arc::clone(&shared);
        let (output, end) = EndableReader::new(output).map_err(no_thread)?;
        spawn("plugin lines", Box::new(move || reader.read_lines(output, &send_hello)))?;
        let mut greeting = Vec::new();
        Requests::new(&mut greeting).hello();
        let _ = lines.try_send(Some(greeting));
        let expires_at = Instant::now() + self.timeout;
        let hello: WorkerHello = loop {
            match hello.recv_timeout(SLICE) {
                Ok(Ok(hello)) => break hello,
                Ok(Err(problem)) => {
                    let problem = format!("its first line is no hello: {problem}");
                    return Err(NoHello::Refused(Refusal::Worker { problem }));
                }
                Err(RecvTimeoutError::Disconnected) => return Err(NoHello::Closed(errors)),
                Err(RecvTimeoutError::Timeout) if give_up() => {
                    return Err(NoHello::Refused(Refusal::Stopping));
                }
                Err(RecvTimeoutError::Timeout) if Instant::now() >= expires_at => {
                    let millis = u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX);
                    return Err(NoHello::Refused(Refusal::TimedOut { millis }));
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        };
        Ok((LinesProcess::new(lines, shared, hello.concurrency, (end, errors)), hello))
    }
}

/// Writes lines to a worker until the queue is closed or the worker does not read any more.
fn write_lines(mut input: ChildStdin, lines: &Receiver<Option<Vec<u8>>>) {
    while let Ok(Some(line)) = lines.recv() {
        if input.write_all(&line).is_err() {
            break;
        }
    }
}
