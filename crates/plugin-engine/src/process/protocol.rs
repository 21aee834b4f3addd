//! The host's side of a protocol with a worker process.

use std::time::{Duration, Instant};

use platform::Group;
use protocol::Encoder;
use sandbox::{Cgroup, Limits};

use super::{call_timer::CallTimer, cause::Cause, running::Running};
use crate::{
    call::{Call, CallContext, CallQueue},
    context::Shutdown,
    live::manifest::Manifest,
    load_error::Refusal,
};

/// Interval at which a waiting caller looks for a cancellation and for its time limit.
pub const SLICE: Duration = Duration::from_millis(50);

/// A protocol with one running process.
pub trait Protocol: Send + Sync {
    /// Calls a command, by its index and its name, and writes its reply.
    ///
    /// # Errors
    /// The process has ended, or has broken the protocol.
    fn call(
        &self,
        command: (u32, &str),
        call: &Call<'_>,
        reply: &mut Encoder,
        watch: &mut CallWatch<'_>,
    ) -> Result<(), Lost>;

    /// Returns true if it finds commands by their names, which may be new ones.
    fn calls_by_name(&self) -> bool {
        false
    }

    /// Returns true if it answers several calls together.
    fn has_queues(&self) -> bool {
        false
    }

    /// Answers the calls of a queue in order, and calls `finish` when a reply is complete.
    ///
    /// # Errors
    /// As [`call`](Self::call); calls without a complete reply have none.
    fn run(
        &self,
        _queue: &CallQueue,
        _context: &dyn CallContext,
        _reply: &mut Encoder,
        _finish: &mut dyn FnMut(&mut Encoder),
        _watch: &mut CallWatch<'_>,
    ) -> Result<(), Lost> {
        Err(Lost::Broken("it has no queues".to_owned()))
    }

    /// Returns the plugin's state; `None` if it keeps none.
    ///
    /// # Errors
    /// The plugin's error, or that the process has ended.
    fn save(&self, running: &Running) -> Result<Option<Vec<u8>>, Failed>;

    /// Hands state to the plugin.
    ///
    /// # Errors
    /// As [`save`](Self::save).
    fn restore(&self, state: &[u8], running: &Running) -> Result<(), Failed>;

    /// Begins a stream of the state as commands.
    ///
    /// # Errors
    /// As [`save`](Self::save).
    fn stream_begin(&self, _: &Running) -> Result<(), Failed> {
        Ok(())
    }

    /// Returns the next commands of the stream; `None` if it has nothing to send now.
    ///
    /// # Errors
    /// As [`save`](Self::save).
    fn stream_next(&self, _: &Running) -> Result<Option<Vec<u8>>, Failed> {
        Ok(None)
    }

    /// Ends the stream.
    fn stream_end(&self, _: &Running) {}

    /// Hands the plugin the text of its configuration.
    ///
    /// # Errors
    /// As [`save`](Self::save).
    fn configure(&self, text: &str, running: &Running) -> Result<(), Failed>;

    /// Asks the process to end the plugin and itself. Must not block.
    fn stop(&self);

    /// Frees callers that wait for a process that has ended.
    fn abandon(&self);

    /// Returns true if the process has closed its output, so that it must be ended.
    fn is_closed(&self) -> bool {
        false
    }
}

/// The process has ended, or must be ended, before it has answered.
#[derive(Debug)]
pub enum Lost {
    /// Its connection is closed.
    Gone,
    /// It has broken the protocol.
    Broken(String),
    /// The host ends it for this reason.
    Ended(Cause),
    /// It serves, but this call cannot reach it; the text is for people.
    Unable(String),
}

/// The reason for which an operation other than a call failed.
#[derive(Debug)]
pub enum Failed {
    /// The plugin refused it.
    Refused(String),
    /// The process has ended, or must be ended.
    Lost(Lost),
}

impl From<Lost> for Failed {
    fn from(lost: Lost) -> Self {
        Self::Lost(lost)
    }
}

/// A process that has been started and has described itself.
pub struct Launched {
    /// The process.
    pub group: Group,
    /// The way to talk to it.
    pub protocol: Box<dyn Protocol>,
    /// The plugin that it serves.
    pub hello: Hello,
    /// The control group that it runs in, if a limit needs one.
    pub cgroup: Option<Cgroup>,
}

/// Puts a process that has just been started into a control group, if a limit needs one.
///
/// # Errors
/// The system has none for it; the process is killed.
pub fn confine(group: &mut Group, limits: &Limits) -> Result<Option<Cgroup>, Refusal> {
    if limits.cpu.is_none() {
        return Ok(None);
    }
    let pid = group.child.id();
    let confined = Cgroup::create(&format!("plugin-{pid}"), limits).and_then(|cgroup| {
        cgroup.add(pid)?;
        Ok(cgroup)
    });
    confined.map(Some).map_err(|error| {
        group.kill();
        Refusal::probe_failed("limit its processor time", &error)
    })
}

/// A plugin as its process describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Hello {
    /// Its manifest, which has been checked.
    pub manifest: Manifest,
    /// True if it hands its state over.
    pub saves: bool,
    /// True if its state travels as commands.
    pub streams: bool,
    /// True if it accepts a configuration.
    pub configures: bool,
    /// True if its process answers several calls together.
    pub has_queues: bool,
}

/// Starts the processes of one plugin.
pub trait Launcher: Send + Sync {
    /// Starts a process, puts its limits in force and waits until it has described itself. Ends
    /// early if `give_up` returns true.
    ///
    /// # Errors
    /// The reason for which the plugin must not be served by it.
    fn launch(&self, give_up: &dyn Fn() -> bool) -> Result<Launched, Refusal>;
}

/// Watches a call that waits for its process.
pub struct CallWatch<'a> {
    running: &'a Running,
    timer: CallTimer,
    /// The host's end, at whose deadline the process is ended; `None` if it has state to save.
    shutdown: Option<&'a dyn Shutdown>,
    /// The time of the next look around.
    next_step: Instant,
}

/// The next step of a caller that has waited in vain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Waits on.
    Wait,
    /// Asks the process to cancel the call, once, and waits on.
    Cancel,
}

impl<'a> CallWatch<'a> {
    /// Watches a call that starts now.
    #[must_use]
    pub fn new(
        running: &'a Running,
        timeout: Option<Duration>,
        shutdown: Option<&'a dyn Shutdown>,
    ) -> Self {
        let now = Instant::now();
        let next_step = now + pause(timeout);
        Self { running, timer: CallTimer::start(timeout, now), shutdown, next_step }
    }

    /// Returns the process that answers the call.
    #[must_use]
    pub fn running(&self) -> &'a Running {
        self.running
    }

    /// Returns the longest time after which [`step`](Self::step) is to be asked.
    #[must_use]
    pub fn pause(&self) -> Duration {
        pause(self.timer.timeout())
    }

    /// Starts the time of the call anew, since it has waited for its turn, or that of the next call
    /// of a queue.
    pub fn start_clock(&mut self) {
        self.timer.restart(Instant::now());
    }

    /// Works as [`step`](Self::step), but at most once each [`pause`](Self::pause): for a caller
    /// whose process sends messages all the time.
    ///
    /// # Errors
    /// As [`step`](Self::step).
    pub fn step_if_due(&mut self, context: &dyn CallContext) -> Result<Step, Lost> {
        if Instant::now() < self.next_step { Ok(Step::Wait) } else { self.step(context) }
    }

    /// Decides about a caller that has waited for [`pause`](Self::pause).
    ///
    /// # Errors
    /// The process has ended, or has to be ended, since the call takes too long.
    pub fn step(&mut self, context: &dyn CallContext) -> Result<Step, Lost> {
        if self.running.has_ended() {
            return Err(Lost::Gone);
        }
        if self.running.is_condemned() {
            // Another caller has, and tells the cause.
            return Err(Lost::Gone);
        }
        let now = Instant::now();
        self.next_step = now + self.pause();
        let deadline = self.shutdown.and_then(Shutdown::deadline);
        let is_cancelled = || context.wait_for_cancel(Duration::ZERO);
        self.timer.step(now, deadline, is_cancelled).map_err(Lost::Ended)
    }
}

/// Returns the interval at which callers with this time limit look around.
#[must_use]
pub fn pause(timeout: Option<Duration>) -> Duration {
    let shortest = Duration::from_millis(1);
    timeout.map_or(SLICE, |timeout| (timeout / 4).clamp(shortest, SLICE))
}
