//! Starts the worker processes of a library.

use std::{
    io,
    process::{Command, ExitStatus, Stdio},
    sync::{Arc, Weak},
    thread,
    time::{Duration, Instant},
};

use platform::{Group, Terminal, WorkerLink, shared_memory::SharedMemory};

use super::{
    message::{Init, Ready, kind, level},
    process::{MOST, NativeProcess, open},
    wire::{Received, Side, Wire},
};
use crate::{
    live::{
        host_services::{PluginServices, level_of},
        probe,
    },
    load_error::Refusal,
    process::{
        output::{self, LoggedOutput},
        protocol::{Hello, Launched, Launcher, confine, pause},
    },
};

/// The variable that asks a worker process for a backtrace when it crashes.
pub const BACKTRACE: &str = "DROPIN_BACKTRACE";

/// Starts worker processes of one library.
pub struct NativeLauncher {
    /// The facts for the process.
    pub init: Init,
    /// The host's start.
    pub started: Instant,
    /// The longest time until the process has described itself.
    pub timeout: Duration,
    /// The longest time of a call.
    pub call_timeout: Option<Duration>,
    /// Logs the plugin's lines.
    pub services: Arc<PluginServices>,
}

impl Launcher for NativeLauncher {
    fn launch(&self, give_up: &dyn Fn() -> bool) -> Result<Launched, Refusal> {
        let failed = |operation: &'static str| {
            move |error: io::Error| Refusal::probe_failed(operation, &error)
        };
        let program = platform::own_program().map_err(failed("find the host's program"))?;
        let (output, input) = io::pipe().map_err(failed("make a pipe for its output"))?;
        let mut command = Command::new(program);
        if log::max_level() >= log::LevelFilter::Debug {
            command.env(BACKTRACE, "1");
        }
        command.arg("worker").stderr(input.try_clone().map_err(failed("make a pipe"))?);
        command.stdout(Stdio::from(input));
        let spawn = |command: &mut Command| Group::spawn(command, Terminal::None);
        let (link, mut group) = WorkerLink::start(command, spawn, |group| &mut group.child)
            .map_err(failed("start its process"))?;
        let cgroup = confine(&mut group, &self.init.limits)?;
        let started = self.begin(&link, output, &mut group, give_up);
        match started {
            Ok((wire, memory, hello, output)) => {
                let pause = pause(self.call_timeout);
                let process = NativeProcess::new(link, (wire, memory), output, &self.init, pause);
                Ok(Launched { group, protocol: Box::new(process), hello, cgroup })
            }
            Err(NotBegun::Refused(refusal)) => {
                group.kill();
                Err(refusal)
            }
            Err(NotBegun::Gone) => {
                // It may still be writing its memory to a file.
                let ended = wait(&mut group, self.timeout);
                group.kill();
                Err(match ended {
                    Some(status) => Refusal::Died { how: probe::describe(status, "at its start") },
                    None => Refusal::Died { how: "it closed its connection".into() },
                })
            }
        }
    }
}

/// The first connection to a process, the process's description and its output.
type Begun = (Wire, Option<Weak<SharedMemory>>, Hello, LoggedOutput);

/// The reason for which a process has not described itself.
enum NotBegun {
    Refused(Refusal),
    Gone,
}

impl NativeLauncher {
    /// Has a new process open the library, and waits until it has described itself.
    fn begin(
        &self,
        link: &WorkerLink,
        output: io::PipeReader,
        group: &mut Group,
        give_up: &dyn Fn() -> bool,
    ) -> Result<Begun, NotBegun> {
        let gone = |_: io::Error| NotBegun::Gone;
        let control = link.control().map_err(gone)?;
        let control = Wire::new((control, None), Side::Host, None).map_err(gone)?;
        let output = output::log_lines(output, &self.services).map_err(no_thread)?;
        log_messages(control, &self.services).map_err(no_thread)?;
        let (mut wire, memory) = open(link, pause(self.call_timeout)).map_err(gone)?;
        let mut init = self.init.clone();
        init.uptime_millis = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        init.level = level();
        let init = serde_json::to_vec(&init).map_err(io::Error::from).map_err(gone)?;
        wire.send(kind::INIT, |out| out.extend_from_slice(&init), &mut || true).map_err(gone)?;
        let expires_at = Instant::now() + self.timeout;
        let observer = group.observer().map_err(gone)?;
        loop {
            match wire.receive(MOST).map_err(gone)? {
                Received::Message(kind::READY, opened) => {
                    let ready = Ready::read(opened).map_err(NotBegun::Refused)?;
                    let Ready { manifest, saves, streams, configures } = ready;
                    let has_queues = true;
                    let hello = Hello { manifest, saves, streams, configures, has_queues };
                    return Ok((wire, memory, hello, output));
                }
                Received::Message(..) => {
                    let problem = "its process breaks the protocol".into();
                    return Err(NotBegun::Refused(Refusal::Manifest { problem }));
                }
                // Nobody wakes this thread when the process ends.
                Received::Nothing if !matches!(group.reap(&observer), Ok(None)) => {
                    return Err(NotBegun::Gone);
                }
                Received::Nothing if give_up() => {
                    return Err(NotBegun::Refused(Refusal::Stopping));
                }
                Received::Nothing if Instant::now() >= expires_at => {
                    let millis = u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX);
                    return Err(NotBegun::Refused(Refusal::TimedOut { millis }));
                }
                Received::Nothing => {}
            }
        }
    }
}

fn no_thread(error: io::Error) -> NotBegun {
    NotBegun::Refused(Refusal::probe_failed("start a thread", &error))
}

/// Waits for a process that has closed its connection.
fn wait(group: &mut Group, time: Duration) -> Option<ExitStatus> {
    let observer = group.observer().ok()?;
    let expires_at = Instant::now() + time;
    while Instant::now() < expires_at {
        if let Ok(Some(status)) = group.reap(&observer) {
            return Some(status);
        }
        observer.wait(expires_at.saturating_duration_since(Instant::now()));
    }
    None
}

/// Logs the lines that a process sends on its own, until it has ended or its link is dropped.
fn log_messages(mut control: Wire, services: &Arc<PluginServices>) -> io::Result<()> {
    let services = Arc::clone(services);
    thread::Builder::new().name("plugin log".into()).spawn(move || {
        while let Ok(received) = control.receive(MOST) {
            if let Received::Message(kind::LOG, [level, text @ ..]) = received {
                services.log_line(level_of(u32::from(*level)), text);
            }
        }
    })?;
    Ok(())
}
