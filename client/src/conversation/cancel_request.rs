//! The request to cancel a running command.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// A request that one thread makes and another one sends to the host.
///
/// Sending and revoking exclude each other: the first of the two decides.
#[derive(Clone, Debug)]
pub struct CancelRequest {
    is_open: Arc<AtomicBool>,
}

impl CancelRequest {
    /// Returns a request that is neither sent nor revoked.
    pub fn new() -> Self {
        Self { is_open: Arc::new(AtomicBool::new(true)) }
    }

    /// Marks the request as sent; false when it is revoked already.
    pub fn begin_sending(&self) -> bool {
        self.is_open.swap(false, Ordering::SeqCst)
    }

    /// Revokes the request; false when it is sent already.
    pub fn revoke(&self) -> bool {
        self.is_open.swap(false, Ordering::SeqCst)
    }

    /// Returns true when both are the same request.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.is_open, &other.is_open)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sending_and_revoking_exclude_each_other() {
        let request = CancelRequest::new();
        let carried = request.clone();
        assert!(request.revoke());
        assert!(!carried.begin_sending());
        let request = CancelRequest::new();
        assert!(request.clone().begin_sending());
        assert!(!request.revoke());
    }

    #[test]
    fn requests_differ_from_each_other() {
        let request = CancelRequest::new();
        assert!(request.is_same(&request.clone()));
        assert!(!request.is_same(&CancelRequest::new()));
    }
}
