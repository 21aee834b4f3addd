//! Commands that run with no other writing command of the same plugins between them, and are one
//! record of each plugin's journal.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use plugin_api::commands::put_command;
use protocol::Encoder;

use super::{
    OrderGuard, WriteOrder, WritingWorker, now, order::NotWritable, write_context::WriteContext,
};
use crate::call::{Answer, Call, CallContext, Worker};

/// The first time within which a transaction tries to take each turn.
const SLICE: Duration = Duration::from_millis(50);

/// The turns of a transaction's writing commands, taken together.
///
/// The caller begins it, passes its [`context`](Self::context) to each call, and commits it.
pub struct Transaction {
    time: u64,
    parts: Mutex<Vec<Part>>,
}

/// The part of a transaction that one plugin answers.
struct Part {
    order: Arc<WriteOrder>,
    /// The commands that have succeeded.
    record: Vec<u8>,
    /// True once the plugin's process has ended, and the effects of its commands with it.
    is_lost: bool,
    _turn: OrderGuard,
}

/// The reason for which a transaction has not begun; nothing has run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotBegun {
    /// A plugin has been replaced: its commands are to be looked up again.
    Retired,
    /// An error: its kind and its text.
    Refused(&'static str, String),
}

impl Transaction {
    /// Waits for the turns of all these workers.
    ///
    /// # Errors
    /// A plugin has been replaced, its process does not start, its disk fails, or the session was
    /// cancelled.
    pub fn begin<'a>(
        workers: impl IntoIterator<Item = &'a dyn Worker>,
        context: &dyn CallContext,
    ) -> Result<Self, NotBegun> {
        let mut writing: Vec<&'a dyn Worker> = Vec::new();
        let mut waits = true;
        for worker in workers {
            match worker.order() {
                None => waits = waits && worker.wait_until_ready().is_ok(),
                Some(order) if writing.iter().any(|known| has_order(*known, order)) => {}
                Some(_) => writing.push(worker),
            }
        }
        // Always in the same order, so that two transactions do not wait for each other.
        writing.sort_by_key(|worker| worker.order().map(|order| Arc::as_ptr(order) as usize));
        loop {
            for worker in &writing {
                let ready = worker.wait_until_ready();
                if worker.order().is_some_and(|order| order.is_retired()) {
                    return Err(NotBegun::Retired);
                }
                ready.map_err(|text| NotBegun::Refused("UNAVAILABLE", text))?;
            }
            let parts = wait_for_turns(&writing, context)?;
            // The start of a process waits for the turn, so the turn must not wait for the start.
            if writing.iter().all(|worker| worker.is_ready()) {
                return Ok(Self { time: now(), parts: Mutex::new(parts) });
            }
        }
    }

    /// Returns the context of its calls: that of the session, and this transaction.
    #[must_use]
    pub fn context<'a>(&'a self, session: &'a dyn CallContext) -> WriteContext<'a> {
        WriteContext { session, time: 0, transaction: Some(self) }
    }

    /// Calls a worker within the transaction.
    pub(super) fn call(
        &self,
        worker: &WritingWorker,
        call: &Call<'_>,
        reply: &mut Encoder,
    ) -> Answer {
        let order = worker.order().map(Arc::as_ptr);
        let is_of = |part: &Part| Some(Arc::as_ptr(&part.order)) == order;
        if !self.parts().iter().any(is_of) {
            let text = "the plugin was replaced while the transaction ran";
            reply.error("ERR", text.as_bytes());
            return Answer::Written;
        }
        let answer = worker.call_in_turn(call, self.time, reply);
        if answer == Answer::Written {
            let mut parts = self.parts();
            if let Some(part) = parts.iter_mut().find(|part| is_of(part)) {
                match reply.is_refused() {
                    true => part.is_lost |= !worker.is_ready(),
                    false => put_command(&mut part.record, call.words()),
                }
            }
        }
        answer
    }

    /// Appends a record for each plugin, and lets others have their turn. The reply, which begins
    /// at `start`, must not leave before `context` lets it.
    ///
    /// # Errors
    /// The process of a plugin with a journal has ended in between, so that the plugin keeps
    /// nothing; or a plugin was replaced by force meanwhile: the kind and the text of an error.
    pub fn commit(
        self,
        context: &dyn CallContext,
        start: usize,
    ) -> Result<(), (&'static str, String)> {
        let parts = self.parts.into_inner().unwrap_or_else(PoisonError::into_inner);
        context.hold_from(start);
        let mut committed = Ok(());
        for Part { order, record, is_lost, _turn } in parts {
            let Some(durable) = order.journal() else { continue };
            if is_lost {
                // The next process replays the journal, so that a record would be a part of it.
                let name = durable.name();
                let text = format!(
                    "plugin '{name}': its process ended while the transaction ran; it keeps none \
                     of the commands in it"
                );
                committed = committed.and(Err(("CRASHED", text)));
                continue;
            }
            if record.is_empty() {
                continue;
            }
            match durable.append(order.owner(), self.time, &record) {
                Some(number) => context.hold(durable, number),
                None => {
                    let text = "a plugin was replaced by force while the transaction ran; its \
                                effect may be lost, look before repeating";
                    committed = Err(("ERR", text.to_owned()));
                }
            }
        }
        committed
    }

    fn parts(&self) -> MutexGuard<'_, Vec<Part>> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn has_order(worker: &dyn Worker, order: &Arc<WriteOrder>) -> bool {
    worker.order().is_some_and(|own| Arc::ptr_eq(own, order))
}

fn wait_for_turns(
    writing: &[&dyn Worker],
    context: &dyn CallContext,
) -> Result<Vec<Part>, NotBegun> {
    // Longer from trial to trial, so that one of them succeeds.
    let mut patience = SLICE;
    loop {
        match take_turns(writing, patience)? {
            Ok(parts) => return Ok(parts),
            // The writers of the other plugins go on meanwhile.
            Err(busy) => drop(busy.wait_for_lock(context).map_err(|_| {
                let text = "the transaction was cancelled before it ran".to_owned();
                NotBegun::Refused("CANCELLED", text)
            })?),
        }
        patience = patience.saturating_mul(2);
    }
}

/// Takes the turns of all workers, each within this time; otherwise has none of them, and returns
/// the order in which another command had its turn for longer.
fn take_turns<'a>(
    writing: &[&'a dyn Worker],
    patience: Duration,
) -> Result<Result<Vec<Part>, &'a Arc<WriteOrder>>, NotBegun> {
    let mut parts = Vec::new();
    for order in writing.iter().filter_map(|worker| worker.order()) {
        let Some(turn) = order.lock_until(Instant::now() + patience, &|| false) else {
            return Ok(Err(order));
        };
        if order.is_retired() {
            return Err(NotBegun::Retired);
        }
        order.check().map_err(|NotWritable(kind, text)| NotBegun::Refused(kind, text))?;
        let (order, record) = (Arc::clone(order), Vec::new());
        parts.push(Part { order, record, is_lost: false, _turn: turn });
    }
    Ok(Ok(parts))
}
