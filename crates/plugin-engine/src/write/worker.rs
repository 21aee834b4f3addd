//! The worker of a command that writes: takes its turn, calls the plugin's worker, and appends the
//! record.

use std::sync::Arc;

use plugin_api::commands::put_command;
use protocol::Encoder;

use super::{WriteOrder, now, order::NotWritable, write_context::WriteContext};
use crate::call::{Answer, Call, CallContext, CallQueue, QueuedWorker, Worker, call_alone};

/// The worker of a command that writes.
pub struct WritingWorker {
    inner: Box<dyn Worker>,
    order: Arc<WriteOrder>,
}

/// The error for a command whose plugin was replaced by force while it ran.
const REPLACED: &str =
    "the plugin was replaced while the command ran; its effect may be lost, look before repeating";

impl WritingWorker {
    /// Makes the worker of a command that writes, around the plugin's own.
    #[must_use]
    pub fn new(inner: Box<dyn Worker>, order: Arc<WriteOrder>) -> Self {
        Self { inner, order }
    }

    /// Calls the plugin's worker at `time`, in the turn of the call or of its transaction. A worker
    /// that takes queues gets a queue of one.
    pub(super) fn call_in_turn(&self, call: &Call<'_>, time: u64, reply: &mut Encoder) -> Answer {
        let context = WriteContext { session: call.context, time, transaction: None };
        let call = Call { context: &context, ..*call };
        call_alone(&*self.inner, &call, reply)
    }

    fn call_alone(&self, call: &Call<'_>, reply: &mut Encoder) -> Result<Answer, NotWritable> {
        let mut record = self.order.wait(&*self.inner, call.context)?;
        self.order.check()?;
        let (start, time) = (reply.len(), now());
        let answer = self.call_in_turn(call, time, reply);
        if answer != Answer::Written || reply.is_refused() {
            return Ok(answer);
        }
        if let Some(durable) = self.order.journal() {
            record.clear();
            put_command(&mut record, call.words());
            let number = durable.append(self.order.owner(), time, &record);
            record.shrink_to(64 << 10);
            drop(record);
            let number = number.ok_or_else(|| NotWritable("ERR", REPLACED.into()))?;
            call.context.hold_from(start);
            call.context.hold(durable, number);
        }
        Ok(answer)
    }

    fn run_alone(
        &self,
        queue: &CallQueue,
        queued: &dyn QueuedWorker,
        context: &dyn CallContext,
        reply: &mut Encoder,
        finish: &mut dyn FnMut(&mut Encoder),
    ) -> Result<Answer, NotWritable> {
        let _turn = self.order.wait(&*self.inner, context)?;
        self.order.check()?;
        context.hold_from(reply.len());
        let (mut records, mut last) = (queue.records.iter(), None);
        let durable = self.order.journal();
        let mut finish = |reply: &mut Encoder| {
            let record = records.next();
            if let (Some(durable), Some((time, record)), false) =
                (durable, record, reply.is_refused())
            {
                match durable.append(self.order.owner(), *time, record) {
                    Some(number) => last = Some(number),
                    None => {
                        reply.reset();
                        reply.error("ERR", REPLACED.as_bytes());
                    }
                }
            }
            finish(reply);
        };
        let answer = queued.run(queue, context, reply, &mut finish);
        if let (Some(durable), Some(number)) = (durable, last) {
            context.hold(durable, number);
        }
        Ok(answer)
    }
}

impl Worker for WritingWorker {
    fn call(&self, call: &Call<'_>, reply: &mut Encoder) -> Answer {
        if let Some(transaction) = call.context.transaction() {
            return transaction.call(self, call, reply);
        }
        if self.inner.as_queued().is_some() {
            return Answer::Queued;
        }
        self.call_alone(call, reply).unwrap_or_else(|NotWritable(kind, text)| {
            reply.reset();
            reply.error(kind, text.as_bytes());
            Answer::Written
        })
    }

    fn as_queued(&self) -> Option<&dyn QueuedWorker> {
        self.inner.as_queued().map(|_| self as _)
    }

    fn order(&self) -> Option<&Arc<WriteOrder>> {
        Some(&self.order)
    }

    fn wait_until_ready(&self) -> Result<(), String> {
        self.inner.wait_until_ready()
    }

    fn is_ready(&self) -> bool {
        self.inner.is_ready()
    }
}

impl QueuedWorker for WritingWorker {
    // Not that of commands which do not write: those wait for no turn.
    fn queue_id(&self) -> usize {
        Arc::as_ptr(&self.order) as usize
    }

    fn push(&self, call: &Call<'_>, queue: &mut CallQueue) {
        let Some(queued) = self.inner.as_queued() else { return };
        let time = now();
        let context = WriteContext { session: call.context, time, transaction: None };
        queued.push(&Call { context: &context, ..*call }, queue);
        let mut record = Vec::new();
        if self.order.journal().is_some() {
            put_command(&mut record, call.words());
        }
        queue.records.push((time, record));
    }

    fn run(
        &self,
        queue: &CallQueue,
        context: &dyn CallContext,
        reply: &mut Encoder,
        finish: &mut dyn FnMut(&mut Encoder),
    ) -> Answer {
        let Some(queued) = self.inner.as_queued() else { return Answer::Retired };
        let run = self.run_alone(queue, queued, context, reply, finish);
        run.unwrap_or_else(|NotWritable(kind, text)| {
            for _ in &queue.commands {
                reply.reset();
                reply.error(kind, text.as_bytes());
                finish(reply);
            }
            Answer::Written
        })
    }
}
