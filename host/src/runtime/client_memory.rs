//! The memory that the requests and replies of all sessions take, and its limit.

use std::sync::atomic::{AtomicUsize, Ordering};

use telemetry::log_throttle::Throttle;

use super::client_handle::ClientHandle;
use crate::config::Share;

/// The memory of all sessions' buffers. A session counts only while it takes more than an idle one
/// keeps, so that a client with short requests and replies costs nothing here.
#[derive(Debug)]
pub struct ClientMemory {
    /// In bytes; `usize::MAX` without a limit.
    limit: usize,
    used: AtomicUsize,
    /// Limits the log lines about closed sessions.
    pub closed: Throttle,
}

impl ClientMemory {
    /// Makes a count with this limit. A limit in percent uses the machine's memory at this moment.
    pub fn new(limit: Share) -> Self {
        let all = match limit {
            Share::Bytes(_) => None,
            Share::Percent(_) => platform::total_memory(),
        };
        let limit = limit.of(all).unwrap_or(usize::MAX);
        Self { limit, used: AtomicUsize::new(0), closed: Throttle::default() }
    }

    /// Returns the limit in bytes; `usize::MAX` without one.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Returns the memory that all sessions take, in bytes.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Records how many bytes a session takes. Returns whether this raised the sum above the limit.
    pub fn note(&self, handle: &ClientHandle, bytes: usize) -> bool {
        let before = handle.note_memory(bytes);
        if bytes <= before {
            self.used.fetch_sub(before - bytes, Ordering::Relaxed);
            return false;
        }
        let more = bytes - before;
        self.used.fetch_add(more, Ordering::Relaxed).saturating_add(more) > self.limit
    }
}
