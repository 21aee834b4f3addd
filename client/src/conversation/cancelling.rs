//! The wish that a running command ends early, for as long as it is wanted.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// One such wish, shared by who has it and the thread that takes it to the host. To be sent and to
/// be called off exclude each other: the first of the two decides.
#[derive(Clone, Debug)]
pub struct Cancelling(Arc<AtomicBool>);

impl Cancelling {
    /// A wish that is neither sent nor called off.
    pub fn new() -> Self {
        Self(Arc::new(AtomicBool::new(true)))
    }

    /// Whether it may be sent now, which it then counts as.
    pub fn begin_sending(&self) -> bool {
        self.0.swap(false, Ordering::SeqCst)
    }

    /// It is not wanted any more; false where it is sent already.
    pub fn call_off(&self) -> bool {
        self.0.swap(false, Ordering::SeqCst)
    }

    /// Whether both are the same wish.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_called_off_is_not_sent_and_what_is_sent_is_not_called_off() {
        let wish = Cancelling::new();
        let carried = wish.clone();
        assert!(wish.call_off());
        assert!(!carried.begin_sending());
        let wish = Cancelling::new();
        assert!(wish.clone().begin_sending());
        assert!(!wish.call_off());
    }

    #[test]
    fn a_wish_is_no_other() {
        let wish = Cancelling::new();
        assert!(wish.is(&wish.clone()));
        assert!(!wish.is(&Cancelling::new()));
    }
}
