//! Notes for each thread which session it runs.

use std::{cell::Cell, ptr};

use crate::runtime::client_handle::ClientHandle;

thread_local! {
    // Constant and without a destructor, so that a signal handler may read it.
    static SESSION: Cell<*const ClientHandle> = const { Cell::new(ptr::null()) };
}

/// Returns the session that this thread runs, null for none. The pointer is valid while the thread
/// is inside [`in_session`].
pub(super) fn session() -> *const ClientHandle {
    SESSION.try_with(Cell::get).unwrap_or(ptr::null())
}

/// Runs a session.
pub fn in_session<R>(handle: &ClientHandle, run: impl FnOnce() -> R) -> R {
    /// Clears the note when it drops, also after a panic in `run`.
    struct Restore;

    impl Drop for Restore {
        fn drop(&mut self) {
            SESSION.set(ptr::null());
        }
    }

    SESSION.set(ptr::from_ref(handle));
    let _restore = Restore;
    run()
}
