//! The lease of the waiting: what a thread that waits for many sessions gives up before one blocks.

/// A thread's lease of the waiting for many sessions.
pub trait Lease: Send {
    /// Gives the waiting to another thread, since the session that this one serves is about to take
    /// long. Does nothing if it was given up, or taken away, already.
    fn give_up(&self);
}
