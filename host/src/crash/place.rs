//! Notes for each thread which plugin code it may be running.

use std::{cell::Cell, ptr};

use crate::runtime::client_handle::ClientHandle;

/// The code that a thread runs. A pointer is valid while the thread is inside [`within`].
#[derive(Clone, Copy)]
pub(super) enum Place {
    /// Outside of sessions and of plugins, as far as the host knows.
    Elsewhere,
    /// A session, whose handle notes the command that it runs.
    Session(*const ClientHandle),
    /// The operation of this name in this plugin.
    Plugin(*const str, &'static str),
}

thread_local! {
    // Constant and without a destructor, so that a signal handler may read it.
    static PLACE: Cell<Place> = const { Cell::new(Place::Elsewhere) };
}

/// Returns the place of this thread.
pub(super) fn here() -> Place {
    PLACE.try_with(Cell::get).unwrap_or(Place::Elsewhere)
}

/// Runs a session.
pub fn in_session<R>(handle: &ClientHandle, run: impl FnOnce() -> R) -> R {
    within(Place::Session(ptr::from_ref(handle)), run)
}

/// Runs code of a plugin outside of any session.
pub fn in_plugin<R>(plugin: &str, operation: &'static str, run: impl FnOnce() -> R) -> R {
    within(Place::Plugin(ptr::from_ref(plugin), operation), run)
}

fn within<R>(place: Place, run: impl FnOnce() -> R) -> R {
    /// Restores the note when it drops, also after a panic in `run`.
    struct Restore(Place);

    impl Drop for Restore {
        fn drop(&mut self) {
            PLACE.set(self.0);
        }
    }

    let _restore = Restore(PLACE.replace(place));
    run()
}
