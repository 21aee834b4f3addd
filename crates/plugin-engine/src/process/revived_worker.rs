//! Calls a process that does not serve yet, to hand it its state.

use std::sync::Arc;

use protocol::Encoder;

use super::{
    native::queue,
    protocol::{CallWatch, Lost},
    serving::Serving,
};
use crate::call::{Answer, Call, CallContext, CallQueue, QueuedWorker, Worker};

/// Calls a command of a process that does not serve yet.
pub(super) struct RevivedWorker {
    pub(super) serving: Arc<Serving>,
    pub(super) index: u32,
    pub(super) name: String,
}

impl RevivedWorker {
    /// Returns a worker for a command that is not in the list of the process; `None` if that finds
    /// its commands by their numbers.
    pub(super) fn late(serving: &Arc<Serving>, name: &str) -> Option<Box<dyn Worker>> {
        let late = || Self { serving: Arc::clone(serving), index: u32::MAX, name: name.to_owned() };
        serving.protocol.calls_by_name().then(|| Box::new(late()) as _)
    }

    fn explain(&self, lost: Lost, reply: &mut Encoder) {
        reply.reset();
        reply.error("CRASHED", self.serving.settle(lost).as_bytes());
    }
}

impl Worker for RevivedWorker {
    fn call(&self, call: &Call<'_>, reply: &mut Encoder) -> Answer {
        let mut watch = CallWatch::new(&self.serving.running, None, None);
        let command = (self.index, self.name.as_str());
        if let Err(lost) = self.serving.protocol.call(command, call, reply, &mut watch) {
            self.explain(lost, reply);
        }
        Answer::Written
    }

    fn as_queued(&self) -> Option<&dyn QueuedWorker> {
        self.serving.protocol.has_queues().then_some(self)
    }
}

impl QueuedWorker for RevivedWorker {
    fn queue_id(&self) -> usize {
        0
    }

    fn push(&self, call: &Call<'_>, queue: &mut CallQueue) {
        queue::push(self.index, call, queue);
    }

    fn run(
        &self,
        queue: &CallQueue,
        context: &dyn CallContext,
        reply: &mut Encoder,
        finish: &mut dyn FnMut(&mut Encoder),
    ) -> Answer {
        let mut watch = CallWatch::new(&self.serving.running, None, None);
        let run = self.serving.protocol.run(queue, context, reply, finish, &mut watch);
        if let Err(lost) = run {
            self.explain(lost, reply);
            finish(reply);
        }
        Answer::Written
    }
}
