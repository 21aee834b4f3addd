//! How much memory the requests and replies of all sessions take, and how much they may.

use std::sync::atomic::{AtomicUsize, Ordering};

use telemetry::log_throttle::Throttle;

use super::client_handle::ClientHandle;
use crate::config::Share;

/// The memory of all sessions' buffers. A session counts only while it takes more than an idle one
/// keeps, so that a client with short requests and replies never comes here.
#[derive(Debug)]
pub struct ClientMemory {
    /// `usize::MAX` where there is none.
    limit: usize,
    used: AtomicUsize,
    /// The log's lines about closed sessions.
    pub closed: Throttle,
}

impl ClientMemory {
    /// With this limit. The machine's memory is looked at once.
    #[must_use]
    pub fn new(limit: Share) -> Self {
        let all = match limit {
            Share::Bytes(_) => None,
            Share::Percent(_) => platform::total_memory(),
        };
        let limit = limit.of(all).unwrap_or(usize::MAX);
        Self { limit, used: AtomicUsize::new(0), closed: Throttle::default() }
    }

    /// The limit, in bytes; `usize::MAX` where there is none.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// What all sessions take, in bytes.
    #[must_use]
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Notes what a session takes from now on. Returns whether all sessions together take too much.
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
