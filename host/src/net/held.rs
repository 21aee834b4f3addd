//! Replies that must not leave before records are safe.

use std::sync::Arc;

use plugin_engine::state::durable::Durable;
use protocol::Encoder;

/// The records that the replies of a session wait for.
#[derive(Default)]
pub struct Held {
    /// Of the first reply that waits: its offset in the pending bytes, and the number of commands
    /// that were answered before it.
    first: Option<(usize, u64)>,
    /// The number of replies since then that answered no command, but a line that is none.
    others: u64,
    /// The last record of each plugin.
    records: Vec<(Arc<Durable>, u64)>,
}

impl Held {
    /// Returns true if replies wait.
    #[inline]
    pub fn is_any(&self) -> bool {
        self.first.is_some()
    }

    /// Returns true if [`settle`](Self::settle) waits for a disk.
    pub fn is_slow(&self) -> bool {
        self.records.iter().any(|(durable, _)| durable.waits_for_disk())
    }

    /// Notes that the reply at offset `start` may wait, after this number of answered commands.
    pub fn begin(&mut self, start: usize, answered: u64) {
        self.first.get_or_insert((start, answered));
    }

    /// Counts a reply that answers no command.
    pub fn count_other(&mut self) {
        self.others += u64::from(self.is_any());
    }

    /// Adds a record.
    pub fn add(&mut self, durable: &Arc<Durable>, record: u64) {
        match self.records.iter_mut().find(|(known, _)| Arc::ptr_eq(known, durable)) {
            Some((_, last)) => *last = record.max(*last),
            None => self.records.push((Arc::clone(durable), record)),
        }
    }

    /// Waits for the records. If they cannot be written, replaces the replies from the first one
    /// that waits by errors: those behind it may tell of effects that are not safe. `answered` is
    /// the number of answered commands now.
    pub fn settle(&mut self, replies: &mut Encoder, answered: u64) {
        let Some((start, before)) = self.first.take() else { return };
        let count = answered.saturating_sub(before) + std::mem::take(&mut self.others);
        let failed = self.records.iter().find_map(|(durable, last)| durable.wait(*last).err());
        self.records.clear();
        let Some(problem) = failed else { return };
        replies.truncate(start);
        for _ in 0..count {
            replies.begin();
            replies.error("MISCONF", problem.as_bytes());
            replies.finish();
        }
    }
}
